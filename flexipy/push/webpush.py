"""Web Push: browsers, by the services of their makers (RFC 8030), sealed (RFC 8291, RFC 8188), signed (RFC 8292).

The token is an address that the browser was given by its maker's service, and so is what a stranger sends: only hosts
of a list are asked.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from flexipy.push.http import HttpClient, HttpError
from flexipy.push.parameters import WEB_PUSH, PushTarget
from flexipy.push.provider import NOT_OURS, ProviderError
from flexipy.push.request import Outcome, PushKind, PushRequest, PushResult, clipped

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

SERVICES: Final = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.push.apple.com",
    "*.notify.windows.com",
)
_RECORD: Final = 4096  # bytes; RFC 8291 section 4 allows one record only
_LIFETIME: Final = 12 * 3600  # seconds; RFC 8292 section 2 allows a day
_DEFAULT_TTL: Final = 86400  # seconds, where nobody says: a service must be told one (RFC 8030 section 5.2)
_HOST: Final = re.compile(r"(\*\.)?[A-Za-z0-9.-]+(:\d{1,5})?")


def encoded(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decoded(text: str) -> bytes:
    """The inverse; ValueError for anything else."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def public_point(key: EllipticCurvePrivateKey) -> bytes:
    """A key's public half as an uncompressed point: 65 bytes."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def seal(
    content: bytes, browser_key: bytes, secret: bytes, own: EllipticCurvePrivateKey | None = None, salt: bytes = b""
) -> bytes:
    """Encrypt for a browser (RFC 8291 section 3.4; the body of `aes128gcm`, RFC 8188 section 2).

    Args:
        content: to be read by the browser alone.
        browser_key: its public key, an uncompressed point.
        secret: its authentication secret, 16 bytes.
        own: our key of this one push; made anew unless a test gives one.
        salt: 16 bytes, likewise.

    Raises:
        ValueError: the browser's key or secret is none, or the content too long.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    if len(secret) != 16:
        raise ValueError("pn-auth is not 16 bytes")
    own = own or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(16)
    point = public_point(own)
    shared = own.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), browser_key))
    info = b"WebPush: info\0" + browser_key + point
    material = HKDF(SHA256(), 32, secret, info).derive(shared)
    key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(material)
    nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(material)
    header = salt + _RECORD.to_bytes(4, "big") + bytes((len(point),)) + point
    if len(header) + len(content) + 17 > _RECORD:
        raise ValueError("the push is too large")
    return header + AESGCM(key).encrypt(nonce, content + b"\x02", None)


class Vapid:
    """The key by which a server names itself to push services (RFC 8292).

    Args:
        file: PEM, made if it is missing, for its owner alone.
        contact: `mailto:` or `https:` address of whoever runs the server.

    Raises:
        ProviderError: it cannot be read or made.
    """

    def __init__(self, file: Path, contact: str) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            key = _load(file) if file.exists() else _make(file)
        except (OSError, ValueError, TypeError) as error:
            raise ProviderError(f"{file}: no key for Web Push: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise ProviderError(f"{file}: not a key of the curve P-256")
        self._key = key
        self._contact = contact
        self.public = encoded(public_point(key))

    def authorization(self, endpoint: str) -> str:
        """The Authorization header for an endpoint."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        parts = urlsplit(endpoint)
        claims: dict[str, object] = {"aud": f"{parts.scheme}://{parts.netloc}", "exp": int(time.time()) + _LIFETIME}
        if self._contact:
            claims["sub"] = self._contact
        signed = ".".join(encoded(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ES256"}, claims))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(SHA256())))
        token = f"{signed}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
        return f"vapid t={token}, k={self.public}"


def _load(file: Path) -> object:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(file.read_bytes(), None)


def _make(file: Path) -> object:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    file.touch(0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


class WebPush:
    """The services of browser makers.

    Args:
        vapid: names this server.
        hosts: that may be asked; `*.` for all below.
        http: reaches them.

    Raises:
        ProviderError: a host that is none.
    """

    name = "webpush"

    def __init__(self, vapid: Vapid, hosts: Sequence[str], http: HttpClient) -> None:
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ProviderError(f"web-push-services: '{host}' is not a host")
        self.vapid = vapid
        self.features = {WEB_PUSH: f';+sip.vapid="{vapid.public}"'}
        self._hosts = tuple(host.lower() for host in hosts)
        self._http = http

    def refusal(self, target: PushTarget) -> str:
        """Why it cannot reach a browser; empty where it can."""
        if target.provider != WEB_PUSH:
            return NOT_OURS
        authority = urlsplit(target.token).netloc.lower()
        if not any(_matches(authority, host) for host in self._hosts):
            return f"{clipped(authority, 100)} is not in web-push-services"
        return ""

    async def send(self, request: PushRequest) -> PushResult:
        """Send one push and wait for the answer."""
        target = request.target
        endpoint = target.token
        headers = {
            "authorization": self.vapid.authorization(endpoint),
            "ttl": str(request.ttl if request.ttl is not None else _DEFAULT_TTL),
            "urgency": "normal" if request.kind is PushKind.BACKGROUND else "high",
        }
        if request.collapse_id:
            headers["topic"] = request.collapse_id
        body = b""
        try:
            if target.browser_key:
                body = seal(_content(request), decoded(target.browser_key), decoded(target.browser_secret))
                headers |= {"content-encoding": "aes128gcm", "content-type": "application/octet-stream"}
        except ValueError as error:
            return PushResult(Outcome.REFUSED, "", f"the browser's keys are not usable: {error}")
        try:
            response = await self._http.request("POST", endpoint, headers, body)
        except HttpError as error:
            return PushResult(Outcome.LATER, "", str(error))
        return _result(response.status, response.retry_after)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()


def _matches(authority: str, host: str) -> bool:
    return authority.endswith(host[1:]) if host.startswith("*.") else authority == host


def _content(request: PushRequest) -> bytes:
    facts = {
        "event": request.event.value,
        "from-uri": clipped(request.from_uri),
        "display-name": clipped(request.from_name),
        "to-uri": clipped(request.to_uri),
        "call-id": clipped(request.call_id),
        "loc-key": request.text,
        "send-time": request.send_time,
    }
    return json.dumps(facts).encode()


def _result(status: int, retry_after: float) -> PushResult:
    said = str(status)
    if 200 <= status < 300:
        return PushResult(Outcome.SENT, said, "the browser's service took the push")
    if status in (404, 410):  # RFC 8030 section 7.3
        return PushResult(Outcome.DEAD, said, "the browser has given the subscription up")
    if status == 429 or status >= 500:
        return PushResult(Outcome.LATER, said, "the browser's service asks for patience", retry_after)
    if status in (401, 403):
        return PushResult(Outcome.REFUSED, said, "the subscription was made with another server's key")
    return PushResult(Outcome.REFUSED, said, "the browser's service refused the push")
