"""Certificates for tests."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.certificates import SIGNS_CERTIFICATES

_DAY = datetime.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates; its own is in `pem`.

    Args:
        directory: where that is.
        strict: whether certificates say all that RFC 5280 asks for; those that people make themselves rarely do.
    """

    def __init__(self, directory: Path, strict: bool = True) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._strict = strict
        self.pem = directory / "ca.pem"
        builder = self._builder("test authority", self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        if strict:
            identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
            builder = builder.add_extension(identifier, critical=False).add_extension(SIGNS_CERTIFICATES, critical=True)
        certificate = builder.sign(self._key, hashes.SHA256())
        self.pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, path: Path, names: list[str], ips: list[str] | None = None) -> Path:
        """Write a key and a certificate for the names into one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(name) if name.startswith("sip:") else x509.DNSName(name) for name in names
        ]
        alternatives += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips or []]
        builder = self._builder(names[0], key.public_key()).add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        if self._strict:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path

    def _builder(self, subject: str, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name("test authority"))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
        )
