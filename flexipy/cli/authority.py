"""A certificate authority for one house: made once, it signs the certificate of the server.

Sans-IO: objects and PEM texts, no files. Everything here needs the package `cryptography`, which takes long to import:
import this file where it is used only.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from flexipy.sip.errors import UriError
from flexipy.sip.uri import parse_host_port

# RSA, which telephones of any age know; sizes after NIST SP 800-57 part 1, table 2 (112 and 128 bits of strength).
_SERVER_KEY: Final = 2048
_AUTHORITY_KEY: Final = 3072
_PUBLIC_EXPONENT: Final = 65537
AUTHORITY_DAYS: Final = 3650
_EARLIER: Final = datetime.timedelta(days=1)  # for telephones whose clock is slow
_LONGEST_COMMON_NAME: Final = 64  # RFC 5280 appendix A.1, ub-common-name


class CertificateError(Exception):
    """Why no certificate could be made, in one line."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a certificate is for.

    Attributes:
        hosts: host names in lower case, the first given first.
        addresses: IP addresses.
        first: the name or address that was given first.
    """

    hosts: tuple[str, ...]
    addresses: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...]
    first: str

    @staticmethod
    def of(texts: list[str]) -> Names:
        """Sort names from addresses.

        Raises:
            CertificateError: one of them is neither.
        """
        hosts: dict[str, None] = {}
        addresses: dict[ipaddress.IPv4Address | ipaddress.IPv6Address, None] = {}
        first = ""
        for text in texts:
            bare = text.strip().removeprefix("[").removesuffix("]")
            try:
                address = ipaddress.ip_address(bare)
            except ValueError:
                hosts[_host(text)] = None
                first = first or _host(text)
            else:
                addresses[address] = None
                first = first or str(address)
        return Names(tuple(hosts), tuple(addresses), first)

    def alternatives(self) -> list[x509.GeneralName]:
        """The subjectAltName (RFC 5280 section 4.2.1.6); a SIP domain as DNS name and as URI (RFC 5922 section 7.1)."""
        return [
            *(x509.DNSName(host) for host in self.hosts),
            *(x509.IPAddress(address) for address in self.addresses),
            *(x509.UniformResourceIdentifier(f"sip:{host}") for host in self.hosts),
        ]

    def __str__(self) -> str:
        return ", ".join([*self.hosts, *map(str, self.addresses)])


def _host(text: str) -> str:
    name = text.strip().rstrip(".")
    if name.startswith("*"):
        raise CertificateError(f"{text}: SIP knows no wildcards in certificates (RFC 5922 section 7.2); give each name")
    try:
        host, port = parse_host_port(name)
    except UriError as error:
        raise CertificateError(f"{text!r} is neither a host name nor an IP address") from error
    labels = host.split(".")
    if port is not None or any(not label or len(label) > 63 for label in labels):
        raise CertificateError(f"{text!r} is neither a host name nor an IP address")
    return host


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key.

    Attributes:
        certificate: it alone.
        chain: PEM, its issuers behind it.
        key: PEM, without a password.
    """

    certificate: x509.Certificate
    chain: bytes
    key: bytes

    @property
    def until(self) -> datetime.datetime:
        """When it ends."""
        return self.certificate.not_valid_after_utc


class Authority:
    """Signs certificates of servers.

    Args:
        certificate: its own.
        key: belongs to it.
    """

    def __init__(self, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @staticmethod
    def make(name: str, now: datetime.datetime) -> Authority:
        """A new one, named after a house."""
        key = rsa.generate_private_key(_PUBLIC_EXPONENT, _AUTHORITY_KEY)
        subject = _subject(f"Authority of {name}")
        certificate = (
            _builder(subject, subject, key.public_key(), now, now + datetime.timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return Authority(certificate, key)

    @staticmethod
    def load(certificate: bytes, key: bytes) -> Authority:
        """One that was made before.

        Raises:
            CertificateError: the two cannot be read, or do not belong together.
        """
        try:
            found = x509.load_pem_x509_certificate(certificate)
            secret = serialization.load_pem_private_key(key, None)
        except (ValueError, TypeError) as error:
            raise CertificateError(f"the authority cannot be read: {error}") from error
        if not isinstance(secret, rsa.RSAPrivateKey) or found.public_key() != secret.public_key():
            raise CertificateError("the authority's key does not belong to its certificate")
        return Authority(found, secret)

    @property
    def pem(self) -> bytes:
        """The certificate that others are to trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The secret key."""
        return _key_pem(self._key)

    def signed(self, certificate: x509.Certificate) -> bool:
        """Whether a certificate is one of this authority's."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def issue(self, names: Names, days: int, now: datetime.datetime) -> Issued:
        """A certificate for a server, with a key of its own.

        Args:
            names: what clients call the server.
            days: how long it is valid; never longer than the authority.
            now: the time.

        Raises:
            CertificateError: the authority itself is no longer valid.
        """
        end = min(now + datetime.timedelta(days=days), self.certificate.not_valid_after_utc)
        if end <= now:
            raise CertificateError(f"the authority itself ended on {self.certificate.not_valid_after_utc:%Y-%m-%d}")
        key = rsa.generate_private_key(_PUBLIC_EXPONENT, _SERVER_KEY)
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            _builder(_subject(names.first), self.certificate.subject, key.public_key(), now, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            # Toward other servers it is a client.
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False
            )
            .add_extension(x509.SubjectAlternativeName(names.alternatives()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        own = certificate.public_bytes(serialization.Encoding.PEM)
        return Issued(certificate, own + self.pem, _key_pem(key))


def names_in(certificate: bytes) -> tuple[x509.Certificate, Names]:
    """A server's certificate, the first of a file, and what it is for.

    Raises:
        CertificateError: it cannot be read, or names nobody.
    """
    try:
        found = x509.load_pem_x509_certificate(certificate)
        value = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise CertificateError(f"the certificate cannot be read: {error}") from error
    hosts = value.get_values_for_type(x509.DNSName)
    addresses = [str(address) for address in value.get_values_for_type(x509.IPAddress)]
    common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    texts = [*hosts, *addresses]
    first = str(common[0].value) if common else ""
    if first in texts:
        texts.sort(key=lambda text: text != first)
    return found, Names.of(texts)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, now: datetime.datetime, end: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _subject(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_LONGEST_COMMON_NAME])])


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    """RFC 5280 section 4.2.1.3: what a key of an authority or of a TLS server may do."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
