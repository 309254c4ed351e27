"""A browser maker's push service on this machine (RFC 8030), and a browser that subscribed to it (RFC 8291)."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.certificates import Authority
from tests.harness.events import Events
from tests.harness.https_service import HttpAnswer, HttpRequest, HttpsService

_ONE_DAY = 86400  # seconds; the longest life of a signature (RFC 8292 section 2)


class Browser:
    """A browser's half of a subscription."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.secret = bytes(range(16))
        self.public = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def open(self, sealed: bytes) -> dict[str, str]:
        """Read what was sealed for it."""
        salt, size, point = sealed[:16], sealed[20], sealed[21:86]
        assert size == 65
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
        material = HKDF(SHA256(), 32, self.secret, b"WebPush: info\0" + self.public + point).derive(shared)
        key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(material)
        nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(material)
        content = AESGCM(key).decrypt(nonce, sealed[86:], None)
        assert content.endswith(b"\x02")
        found: dict[str, str] = json.loads(content[:-1])
        return found


@dataclass
class BrowserPush:
    """A push that was taken.

    Attributes:
        headers: of the request.
        content: as the browser reads it.
    """

    headers: dict[str, str]
    content: dict[str, str]


class FakeWebPush(HttpsService):
    """The service.

    Attributes:
        pushes: those taken.
    """

    def __init__(self, directory: Path, authority: Authority) -> None:
        super().__init__(directory, authority, self._answer)
        self.pushes: Events[BrowserPush] = Events("pushes to browsers")
        self._subscriptions: dict[str, tuple[Browser, str]] = {}

    @property
    def address(self) -> str:
        """For `web-push-services`."""
        return f"localhost:{self.port}"

    def subscribe(self, server_key: str) -> str:
        """A browser subscribes with a server's key (`+sip.vapid`): the push parameters of its Contact."""
        browser = Browser()
        path = f"/push/{secrets.token_urlsafe(12)}"
        self._subscriptions[path] = browser, server_key
        keys = f"pn-p256dh={_encoded(browser.public)};pn-auth={_encoded(browser.secret)}"
        return f"pn-provider=webpush;pn-prid={quote(self.url + path, safe='')};{keys}"

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        if request.target not in self._subscriptions:
            return HttpAnswer(404)
        browser, server_key = self._subscriptions[request.target]
        if request.method != "POST" or not request.headers.get("ttl", "").isdigit():
            return HttpAnswer(400)
        try:
            self._check(request.headers["authorization"], server_key)
        except (KeyError, ValueError, InvalidSignature):
            return HttpAnswer(403)
        if request.headers.get("content-encoding") != "aes128gcm":
            return HttpAnswer(415)
        self.pushes.add(BrowserPush(request.headers, browser.open(request.body)))
        return HttpAnswer(201, headers=(("Location", f"{self.url}/message/1"),))

    def _check(self, authorization: str, server_key: str) -> None:
        """RFC 8292: signed by the key that the browser subscribed with, for this service, for a day at most."""
        parts = dict(part.strip().split("=", 1) for part in authorization.removeprefix("vapid ").split(","))
        signed, _, signature = parts["t"].rpartition(".")
        raw = _decoded(signature)
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _decoded(parts["k"]))
        r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
        point.verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(SHA256()))
        claims = json.loads(_decoded(signed.split(".")[1]))
        if parts["k"] != server_key or claims["aud"] != self.url or not 0 < claims["exp"] - time.time() <= _ONE_DAY:
            raise ValueError("not for us, or not from the one who was subscribed to")


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
