"""TLS contexts: certificates by server name, read again when files change; connections keep theirs."""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flexipy.transport.errors import TransportError
from flexipy.transport.options import TransportOptions
from flexipy.transport.specs import TransportSpec

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Which files make one certificate, and what is asked of the other side."""

    certificate: str
    key: str
    authorities: str
    verify: ssl.VerifyMode

    def fingerprint(self) -> tuple[tuple[int, int, int], ...]:
        """Changes when one of the files is replaced or written."""
        return tuple(_file_state(path) for path in (self.certificate, self.key, self.authorities))


def _file_state(path: str) -> tuple[int, int, int]:
    try:
        state = Path(path).stat() if path else None
    except OSError:
        return (0, 0, -1)
    return (0, 0, 0) if state is None else (state.st_mtime_ns, state.st_size, state.st_ino)


def files_of(spec: TransportSpec, options: TransportOptions) -> TlsFiles:
    """The files of a listening point: its own parameters before those of [global].

    Raises:
        TransportError: no certificate is configured.

    """
    params = spec.params
    directory = params.get("tls-certificates-dir", "")
    certificate = params.get("tls-certificates-file", f"{directory}/agent.pem" if directory else "")
    key = params.get("tls-certificates-private-key", "")
    authorities = params.get("tls-certificates-ca-file", f"{directory}/cafile.pem" if directory else "")
    if not certificate:
        certificate, key = options.tls_certificates_file, options.tls_certificates_private_key
    authorities = authorities or options.tls_certificates_ca_file
    if not certificate:
        raise TransportError(f"{spec}: tls-certificates-file is not set")
    return TlsFiles(certificate, key, authorities, _verify_mode(spec, options, bool(authorities)))


def _verify_mode(spec: TransportSpec, options: TransportOptions, authorities: bool) -> ssl.VerifyMode:
    required = spec.flag("require-peer-certificate", options.tls_require_peer_certificate)
    if spec.flag("tls-verify-incoming", required):
        missing_allowed = spec.flag("tls-allow-missing-client-certificate", False)
        return ssl.CERT_OPTIONAL if missing_allowed else ssl.CERT_REQUIRED
    return ssl.CERT_OPTIONAL if authorities else ssl.CERT_NONE


class TlsIdentity:
    """The certificate of one listening point, and further ones by server name (SNI)."""

    __slots__ = ("_contexts", "_names", "_options", "_states", "context")

    def __init__(self, files: TlsFiles, options: TransportOptions) -> None:
        self._options = options
        self._names: dict[str, TlsFiles] = {"": files}
        """Files by server name; "" is what a client gets that names none or an unknown one."""
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._states: dict[str, object] = {}
        for name, (certificate, key) in options.tls_sni.items():
            self._names[name.lower()] = TlsFiles(certificate, key, files.authorities, files.verify)
        for name in self._names:
            self._load(name)
        self.context = self._contexts[""]

    def add_name(self, spec: TransportSpec) -> None:
        """Serve another certificate to clients that ask for the host of `spec`."""
        self._names[spec.host] = files_of(spec, self._options)
        self._load(spec.host)

    def reload(self, only_changed: bool) -> list[str]:
        """Read the files again; a bad one leaves its old certificate in place.

        Returns:
            Problems as text.

        """
        problems = []
        for name, files in self._names.items():
            if only_changed and files.fingerprint() == self._states[name]:
                continue
            try:
                self._load(name)
            except TransportError as error:
                problems.append(str(error))
            else:
                _log.info("certificate %s loaded again", files.certificate)
        self.context = self._contexts[""]
        return problems

    def _load(self, name: str) -> None:
        files = self._names[name]
        self._states[name] = files.fingerprint()
        context = server_context(files, self._options.tls_ciphers)
        if name == "":
            context.sni_callback = self._choose
        self._contexts[name] = context

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """RFC 6066 section 3: an unknown name is no reason to refuse, the client judges the certificate."""
        chosen = self._contexts.get(name.lower()) if name else None
        if chosen is not None and chosen is not context:
            connection.context = chosen


class TlsIdentities:
    """All certificates of a server, and the contexts for connections that it opens."""

    __slots__ = ("_clients", "_identities", "_options")

    def __init__(self, options: TransportOptions) -> None:
        self._options = options
        self._identities: dict[TlsFiles, TlsIdentity] = {}
        self._clients: dict[tuple[TlsFiles | None, bool], tuple[ssl.SSLContext, object]] = {}

    def identity(self, spec: TransportSpec) -> TlsIdentity:
        """The identity for a listening point; those with the same files share one.

        Raises:
            TransportError: a file is missing or does not hold what it should.

        """
        files = files_of(spec, self._options)
        found = self._identities.get(files)
        if found is None:
            found = self._identities[files] = TlsIdentity(files, self._options)
        return found

    def client_context(self, spec: TransportSpec | None) -> ssl.SSLContext:
        """The context for connections that leave in the name of a listening point; made at first use.

        Raises:
            OSError: a file cannot be read.

        """
        options = self._options
        verify = (
            options.tls_verify_outgoing
            if spec is None
            else spec.flag("tls-verify-outgoing", options.tls_verify_outgoing)
        )
        try:
            files = None if spec is None else files_of(spec, options)
        except TransportError:
            files = None
        state = files.fingerprint() if files else None
        cached = self._clients.get((files, verify))
        if cached is None or cached[1] != state:
            authorities = files.authorities if files else options.tls_certificates_ca_file
            cached = (client_context(files, authorities, verify), state)
            self._clients[files, verify] = cached
        return cached[0]

    def reload(self) -> list[str]:
        """Read every file again.

        Returns:
            Problems as text; the old certificates stay where there was one.

        """
        self._clients.clear()
        return [text for identity in self._identities.values() for text in identity.reload(only_changed=False)]

    def reload_changed(self) -> None:
        """Read those files again that have changed; problems are logged."""
        for identity in self._identities.values():
            for problem in identity.reload(only_changed=True):
                _log.error("%s; the old certificate stays in use", problem)


def server_context(files: TlsFiles, ciphers: str) -> ssl.SSLContext:
    """A context for incoming connections.

    Raises:
        TransportError: with the file and the reason.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _set_ciphers(context, ciphers)
    _guarded(files.certificate, lambda: _load_chain(context, files))
    if files.authorities:
        _guarded(files.authorities, lambda: context.load_verify_locations(files.authorities))
    elif files.verify != ssl.CERT_NONE:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = files.verify
    return context


def client_context(files: TlsFiles | None, authorities: str, verify: bool) -> ssl.SSLContext:
    """A context for connections we open; shows our certificate to servers that ask for one."""
    context = (
        ssl.create_default_context(cafile=authorities or None) if verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 began to refuse authorities that do not say what their key is for, as nearly all are that people make
    # themselves.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if files is not None:
        _load_chain(context, files)
    return context


def _load_chain(context: ssl.SSLContext, files: TlsFiles) -> None:
    # A password callback, so that OpenSSL does not ask for one on the terminal.
    context.load_cert_chain(files.certificate, files.key or None, password=lambda: "")


def _guarded(path: str, load: Callable[[], None]) -> None:
    try:
        load()
    except (OSError, ValueError) as error:
        raise TransportError(f"{path}: {error}") from error


def _set_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    if not ciphers:
        return
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError as error:
        _log.warning("tls-ciphers '%s' not accepted (%s): OpenSSL's defaults are used", ciphers, error)
