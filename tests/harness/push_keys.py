"""Keys for push services, as Apple and Google hand them out."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

PEM = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signing_key(directory: Path, key_id: str = "KEY1234567", team: str = "") -> ec.EllipticCurvePublicKey:
    """Write an `AuthKey_*.p8`; its public half, by which the service knows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    prefix = f"{team}." if team else ""
    directory.mkdir(exist_ok=True)
    (directory / f"{prefix}AuthKey_{key_id}.p8").write_bytes(key.private_bytes(*PEM))
    return key.public_key()


def app_certificate(directory: Path, name: str, days: float = 30.5, text: str = "") -> Path:
    """Write a certificate for an app with its key, valid until so many days from now."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text or f"Apple Push Services: {name}")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + key.private_bytes(*PEM))
    return path


def service_account(path: Path, token_uri: str, project: str = "house") -> str:
    """Write a service account's JSON key; the public half of its key, PEM."""
    key = rsa.generate_private_key(65537, 2048)
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": project,
                "private_key_id": "1",
                "private_key": key.private_bytes(*PEM).decode(),
                "client_email": f"push@{project}.example",
                "token_uri": token_uri,
            }
        )
    )
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
