"""`flexipy certificate`: a certificate for a server that no authority of the Internet can vouch for.

    flexipy certificate --self-signed myhouse --also 192.168.1.10 --output tls
    flexipy certificate --renew --output tls

It makes an authority of your own, whose certificate the telephones are told to trust, and the server's certificate,
which that authority signs. A renewed one is signed by the same authority, so that nothing changes for the telephones.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flexipy.cli.authority import Authority, Issued, Names

_DEFAULT_DAYS: Final = 825
"""The longest that systems of Apple take from an authority that a user added."""
_SECRET: Final = 0o600
_PUBLIC: Final = 0o644


class _CommandError(Exception):
    """What went wrong, in one line for the operator."""


class Folder:
    """The files of one house.

    Attributes:
        authority: the certificate to trust.
        authority_key: its secret key; only needed to renew.
        certificate: the server's, with its issuer behind it.
        key: its secret key.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = directory / "ca.pem"
        self.authority_key = directory / "ca-key.pem"
        self.certificate = directory / "cert.pem"
        self.key = directory / "key.pem"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `flexipy certificate`; those of the process where None.

    Returns:
        The exit status: 0 done, 1 not done, 2 wrong usage.
    """
    options = _parser().parse_args(argv)
    try:
        from flexipy.cli.authority import CertificateError
    except ImportError as error:
        print(
            f"flexipy certificate: needs the Python package 'cryptography' ({error}): "
            f"{sys.executable} -m pip install cryptography",
            file=sys.stderr,
        )
        return 1
    try:
        _make(options, Folder(options.output))
    except (_CommandError, CertificateError) as error:
        print(f"flexipy certificate: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"flexipy certificate: {error.filename or options.output}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flexipy certificate",
        description="Make a certificate for TLS, and an authority of your own that signs it.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--self-signed", metavar="NAME", help="host name or address that telephones call the server by")
    what.add_argument("--renew", action="store_true", help="make the certificate anew, for the same names")
    parser.add_argument("--also", metavar="NAME", nargs="+", action="extend", default=[], help="further names")
    parser.add_argument(
        "--output", type=Path, default=Path("tls"), metavar="DIR", help="folder of the files (default: %(default)s)"
    )
    parser.add_argument(
        "--days",
        type=_days,
        default=_DEFAULT_DAYS,
        metavar="N",
        help="how long it is valid (default: %(default)s)",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace a certificate that is there; the authority stays as it is"
    )
    return parser


def _days(text: str) -> int:
    days = int(text)
    if not 1 <= days <= 36500:
        raise argparse.ArgumentTypeError("from 1 to 36500")
    return days


def _make(options: argparse.Namespace, folder: Folder) -> None:
    from flexipy.cli.authority import Authority, Names

    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    if options.renew:
        authority, names = _known(folder, options.also)
    else:
        names = Names.of([options.self_signed, *options.also])
        _refuse_to_overwrite(options, folder)
        authority = _authority(folder) or Authority.make(names.first, now)
    issued = authority.issue(names, options.days, now)
    folder.directory.mkdir(parents=True, exist_ok=True)
    if not folder.authority.exists():
        # The key first: an authority without its key would be in the way of the next attempt.
        _write(folder.authority_key, authority.key_pem, _SECRET)
        _write(folder.authority, authority.pem, _PUBLIC)
    _write(folder.key, issued.key, _SECRET)
    _write(folder.certificate, issued.chain, _PUBLIC)
    _tell(folder, names, issued, renewed=options.renew)


def _refuse_to_overwrite(options: argparse.Namespace, folder: Folder) -> None:
    for path in (folder.certificate, folder.key):
        if path.exists() and not options.force:
            raise _CommandError(f"{path} is there already: --renew makes it anew, --force replaces it")


def _authority(folder: Folder) -> Authority | None:
    """The authority that was made before; None where there is none."""
    from flexipy.cli.authority import Authority

    if not folder.authority.exists() and not folder.authority_key.exists():
        return None
    for path in (folder.authority, folder.authority_key):
        if not path.exists():
            raise _CommandError(f"{path} is missing: without it the authority can sign nothing; use another --output")
    return Authority.load(folder.authority.read_bytes(), folder.authority_key.read_bytes())


def _known(folder: Folder, more: list[str]) -> tuple[Authority, Names]:
    """Authority and names of the certificate to renew."""
    from flexipy.cli.authority import Names, names_in

    authority = _authority(folder)
    if authority is None or not folder.certificate.exists():
        raise _CommandError(f"nothing to renew in {folder.directory}: make it with --self-signed NAME")
    old, names = names_in(folder.certificate.read_bytes())
    if not authority.signed(old):
        raise _CommandError(f"{folder.certificate} was not signed by {folder.authority}: leave it to who signed it")
    first = [names.first, *names.hosts, *map(str, names.addresses)]
    return authority, Names.of([*first, *more])


def _write(path: Path, content: bytes, mode: int) -> None:
    """Put a whole file in place of the old; it is never readable to more than `mode` says, nor half there."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            _keep_owner(fresh, path)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _keep_owner(fresh: Path, old: Path) -> None:
    """Whose the old file was may read the new one too: the service's user, where root renews."""
    status = old.stat()
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()) and os.geteuid() == 0:
        os.chown(fresh, status.st_uid, status.st_gid)
        fresh.chmod(status.st_mode & 0o777)


def _tell(folder: Folder, names: Names, issued: Issued, renewed: bool) -> None:
    print(f"{folder.certificate} is for {names}, valid until {issued.until:%Y-%m-%d}.")
    if renewed:
        print("Telephones need nothing new. A running server takes it in within a minute, or at SIGHUP.")
        return
    host = f"[{names.first}]" if ":" in names.first else names.first
    print(
        f"""
Telephones must trust {folder.authority.resolve()}
  baresip:  sip_cafile {folder.authority.name}, in its config
  Linphone: root_ca={folder.authority.name}, under [sip]

In the configuration of the server:

[global]
transports=sip:* sips:{host}:5061;maddr=*
tls-certificates-file={folder.certificate.resolve()}
tls-certificates-private-key={folder.key.resolve()}

{folder.authority_key.name} signs whatever telephones of this house then trust: the server does not need it, you do
for --renew."""
    )
