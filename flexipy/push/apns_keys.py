"""The keys for Apple's service: certificates for one app each, signing keys for all apps of a team.

They lie in one directory. Certificates are named as Flexisip names them, `org.app.voip.prod.pem`, certificate and
private key in one file; signing keys as Apple names them, `AuthKey_KEYID.p8`, or `TEAMID.AuthKey_KEYID.p8` where there
is more than one team.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_KEY_NAME: Final = re.compile(r"(?:([A-Z0-9]{1,20})\.)?AuthKey_([A-Z0-9]{1,20})\.p8")
_WARN_BEFORE: Final = datetime.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its private key, as it was when it was read: the file may be replaced by a bad one.

    Attributes:
        path: for people.
        content: PEM of both.
    """

    path: Path
    content: bytes


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs tokens (ES256).

    Attributes:
        key_id: Apple's name of it.
        team: whose it is; empty: of the team that the app names.
        text: PEM.
        path: where it was read.
    """

    key_id: str
    team: str
    text: str
    path: Path = field(default=Path(), compare=False)


@dataclass(slots=True)
class AppleKeys:
    """What was found in the directory.

    Attributes:
        certificates: by file name without `.pem`.
        signing: keys, those of a named team first.
        problems: what cannot be used and why, a line each.
    """

    certificates: dict[str, Certificate] = field(default_factory=dict)
    signing: list[SigningKey] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.certificates or self.signing)

    def certificate(self, app: str, voip: bool, sandbox: bool) -> Certificate | None:
        """The certificate for an app; one made for calls serves calls alone, one for the app serves both."""
        stage = "dev" if sandbox else "prod"
        names = (f"{app}.voip.{stage}", f"{app}.{stage}") if voip else (f"{app}.{stage}",)
        return next((self.certificates[name] for name in names if name in self.certificates), None)

    def signing_key(self, team: str) -> SigningKey | None:
        """The key of a team; an empty one is that of the only team there is."""
        teams = {key.team for key in self.signing if key.team}
        if not team and len(teams) == 1:
            team = teams.pop()
        for key in self.signing:
            if team and key.team in (team, ""):
                return SigningKey(key.key_id, team, key.text, key.path)
        return None

    def keep(self, path: Path, known: AppleKeys) -> bool:
        """Take over what was known of a file that cannot be used any more; whether there was anything."""
        certificate = known.certificates.get(path.stem)
        if certificate is not None and certificate.path == path:
            self.certificates[path.stem] = certificate
            return True
        signing = [key for key in known.signing if key.path == path]
        self.signing += signing
        return bool(signing)


def load_keys(directory: Path, known: AppleKeys | None = None) -> AppleKeys:
    """Read the keys of a directory; each that cannot be used becomes a problem, the rest work.

    Args:
        directory: with the keys; none need be there.
        known: what was read earlier; it takes the place of a file that has become unusable since.
    """
    known = known or AppleKeys()
    found = AppleKeys()
    try:
        files = sorted(directory.iterdir())
    except FileNotFoundError:
        return found
    except OSError as error:
        found.problems.append(f"{directory}: {error.strerror}")
        found.certificates, found.signing = dict(known.certificates), list(known.signing)
        return found
    for path in files:
        try:
            if path.suffix == ".pem":
                _take_certificate(found, path)
            elif path.suffix == ".p8":
                _take_signing_key(found, path)
        except (OSError, ValueError, TypeError) as error:
            said = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            kept = "; the old one is used" if found.keep(path, known) else ""
            found.problems.append(f"{path}: not usable: {said}{kept}")
    found.signing.sort(key=lambda key: not key.team)
    return found


def _take_certificate(found: AppleKeys, path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = path.read_bytes()
    try:
        certificate = x509.load_pem_x509_certificate(content)
    except ValueError as error:
        raise ValueError("no certificate in it") from error
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError) as error:
        raise ValueError("no private key without a password in it") from error
    if key.public_key() != certificate.public_key():
        raise ValueError("its private key is not that of its certificate")
    now = datetime.datetime.now(datetime.UTC)
    ends = certificate.not_valid_after_utc
    if ends <= now:
        raise ValueError(f"the certificate expired on {ends:%Y-%m-%d}; make a new one")
    if ends <= now + _WARN_BEFORE:
        found.problems.append(f"{path}: the certificate expires on {ends:%Y-%m-%d}")
    found.certificates[path.stem] = Certificate(path, content)


def _take_signing_key(found: AppleKeys, path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    name = _KEY_NAME.fullmatch(path.name)
    if name is None:
        raise ValueError("a signing key is named AuthKey_KEYID.p8 or TEAMID.AuthKey_KEYID.p8")
    content = path.read_bytes()
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError) as error:
        raise ValueError("no signing key in it") from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ValueError("Apple's signing keys are of the curve P-256, this one is not")
    found.signing.append(SigningKey(name[2], name[1] or "", content.decode("ascii"), path))
