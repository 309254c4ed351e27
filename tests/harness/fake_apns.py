"""Apple's push service on this machine: HTTP/2 over TLS, with its status codes and reasons.

    async with FakeApns(directory, authority) as apns:
        apns.trust(key_id, team, public_key)
        ...
        push = await apns.pushed()
        assert push.headers["apns-push-type"] == "voip"

A service of its own, for a look at what a server sends: `python -m tests.harness.fake_apns DIRECTORY`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, StreamEnded, StreamReset

from tests.harness.certificates import Authority
from tests.harness.events import Events

_PATH = re.compile(r"/3/device/([0-9a-f]{8,200})")
_LARGEST = {"voip": 5120}
_TOKEN_LIFETIME = 3600  # seconds that a signed token is good for
Answer = tuple[int, str]  # status, and reason where it is not 200


@dataclass
class ApplePush:
    """A push that arrived.

    Attributes:
        token: of the device.
        headers: lower-case names, pseudo-headers too.
        payload: the JSON.
        connection: numbers the connections from 1.
    """

    token: str
    headers: dict[str, str]
    payload: dict[str, Any]
    connection: int
    answer: Answer = (200, "")


@dataclass
class _Incoming:
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class _Trusted:
    team: str
    key: ec.EllipticCurvePublicKey


class FakeApns:
    """The service.

    Args:
        directory: for its certificate.
        authority: signs it.

    Attributes:
        pushes: those taken, each to be taken once by `pushed`.
        answers: what to say about a token; 200 about others.
        next_answers: what to say to the next pushes, whatever the token.
        silent: take requests and say nothing.
        resets: break the next request off.
        on_push: called with each push that is taken.
        connections: how many there have been.
    """

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.pushes: Events[ApplePush] = Events("pushes to Apple")
        self.answers: dict[str, Answer] = {}
        self.next_answers: list[Answer] = []
        self.silent = False
        self.resets = 0
        self.on_push: Callable[[ApplePush], None] | None = None
        self.connections = 0
        self.port = 0
        self._keys: dict[str, _Trusted] = {}
        self._certificates: dict[bytes, tuple[str, ...]] = {}
        certificate = directory / "apns-server.pem"
        authority.issue(certificate)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._context.set_alpn_protocols(["h2"])
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    @property
    def address(self) -> str:
        """For `apns-server`."""
        return f"localhost:{self.port}"

    def trust(self, key_id: str, team: str, key: ec.EllipticCurvePublicKey) -> None:
        """Accept tokens that a key of a team signed."""
        self._keys[key_id] = _Trusted(team, key)

    def distrust(self, key_id: str) -> None:
        """Accept no token of a key any more."""
        del self._keys[key_id]

    def trust_certificate(self, path: Path, *topics: str) -> None:
        """Ask for certificates, and accept this one for these topics."""
        text = path.read_text().partition("-----BEGIN PRIVATE KEY")[0]
        self._certificates[ssl.PEM_cert_to_DER_cert(text)] = topics
        self._context.verify_mode = ssl.CERT_OPTIONAL
        self._context.load_verify_locations(cadata=text)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Leave, connections and all."""
        assert self._server is not None
        self._server.close()
        for connection in list(self._open):
            connection.writer.transport.abort()
        await self._server.wait_closed()

    def hang_up(self, error_code: int = 0) -> None:
        """Say GOAWAY on each connection and close it."""
        for connection in list(self._open):
            connection.h2.close_connection(error_code)
            connection.flush()
            connection.writer.close()

    async def pushed(self, event: str = "") -> ApplePush:
        """Wait for a push, each counts once."""
        return await self.pushes.take(lambda push: event in ("", push.payload.get("event")), f"push {event}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = _Connection(self, reader, writer, self.connections)
        self._open.add(connection)
        try:
            await connection.run()
        except OSError:
            pass
        finally:
            self._open.discard(connection)
            writer.close()

    # --- what Apple looks at, in its order ---------------------------------------------------------------

    def judge(self, headers: dict[str, str], body: bytes, certificate: bytes | None) -> tuple[Answer, dict[str, Any]]:
        """The answer to a request, and its payload."""
        path = _PATH.fullmatch(headers.get(":path", ""))
        kind = headers.get("apns-push-type", "alert")
        if headers.get(":method") != "POST":
            return (405, "MethodNotAllowed"), {}
        if path is None:
            return (400, "BadDeviceToken"), {}
        if not body:
            return (400, "PayloadEmpty"), {}
        if len(body) > _LARGEST.get(kind, 4096):
            return (413, "PayloadTooLarge"), {}
        refusal = self._refusal(headers, certificate)
        if refusal:
            return refusal, {}
        topic = headers.get("apns-topic", "")
        if (kind == "voip") != topic.endswith(".voip"):
            return (400, "BadTopic"), {}
        if kind == "background" and headers.get("apns-priority") != "5":
            return (400, "BadPriority"), {}
        if len(headers.get("apns-collapse-id", "")) > 64:
            return (400, "BadCollapseId"), {}
        if not headers.get("apns-expiration", "0").isdigit():
            return (400, "BadExpirationDate"), {}
        if self.next_answers:
            return self.next_answers.pop(0), json.loads(body)
        return self.answers.get(path[1], (200, "")), json.loads(body)

    def _refusal(self, headers: dict[str, str], certificate: bytes | None) -> Answer | None:
        authorization = headers.get("authorization", "")
        if not authorization:
            if certificate is None:
                return 403, "MissingProviderToken"
            topics = self._certificates.get(certificate)
            return None if topics is not None and headers.get("apns-topic") in topics else (400, "TopicDisallowed")
        try:
            return self._judge_token(authorization.removeprefix("bearer "))
        except (ValueError, KeyError, InvalidSignature):
            return 403, "InvalidProviderToken"

    def _judge_token(self, token: str) -> Answer | None:
        signed, _, signature = token.rpartition(".")
        header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        trusted = self._keys[header["kid"]]
        raw = _decoded(signature)
        r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
        trusted.key.verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
        if header["alg"] != "ES256" or claims["iss"] != trusted.team:
            return 403, "InvalidProviderToken"
        if abs(time.time() - claims["iat"]) > _TOKEN_LIFETIME:
            return 403, "ExpiredProviderToken"
        return None


@dataclass(eq=False)
class _Connection:
    service: FakeApns
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    streams: dict[int, _Incoming] = field(default_factory=dict)

    async def run(self) -> None:
        tls = self.writer.get_extra_info("ssl_object")
        assert tls.selected_alpn_protocol() == "h2", "the client did not offer HTTP/2"
        self.certificate = tls.getpeercert(binary_form=True)
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()
        while data := await self.reader.read(65536):
            for event in self.h2.receive_data(data):
                self._take(event)
            self.flush()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def _take(self, event: object) -> None:
        match event:
            case RequestReceived(stream_id=number, headers=headers):
                self.streams[number] = _Incoming({str(name): str(value) for name, value in headers})
            case DataReceived(stream_id=number, data=data, flow_controlled_length=length):
                self.h2.acknowledge_received_data(length, number)
                self.streams[number].body += data
            case StreamEnded(stream_id=number):
                self._answer(number, self.streams.pop(number))
            case StreamReset(stream_id=number):
                self.streams.pop(number, None)
            case ConnectionTerminated():
                self.writer.close()

    def _answer(self, number: int, incoming: _Incoming) -> None:
        service = self.service
        if service.silent:
            return
        if service.resets:
            service.resets -= 1
            self.h2.reset_stream(number)
            return
        headers = incoming.headers
        (status, reason), payload = service.judge(headers, incoming.body, self.certificate)
        fields = [(":status", str(status)), ("apns-id", headers.get("apns-id", ""))]
        self.h2.send_headers(number, fields, end_stream=status == 200)
        if status != 200:
            body: dict[str, object] = {"reason": reason}
            if status == 410:
                body["timestamp"] = int(time.time() * 1000)
            self.h2.send_data(number, json.dumps(body).encode(), end_stream=True)
        token = headers.get(":path", "").rpartition("/")[2]
        push = ApplePush(token, headers, payload, self.number, (status, reason))
        service.pushes.add(push)
        if status == 200 and service.on_push is not None:
            service.on_push(push)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.harness.fake_apns", description="A stand-in for Apple's.")
    parser.add_argument("directory", type=Path, help="for keys and certificates; made if missing")
    parser.add_argument("--team", default="TEAM123456", help="whose signing key is made")
    parser.add_argument("--silent", action="store_true", help="take pushes and say nothing")
    options = parser.parse_args()
    options.directory.mkdir(exist_ok=True)
    from tests.harness.push_keys import signing_key

    service = FakeApns(options.directory, Authority(options.directory))
    service.silent = options.silent
    service.trust("KEY1234567", options.team, signing_key(options.directory, team=options.team))
    async with service:
        print(
            f"apple-certificate-dir={options.directory.resolve()}\npush-ca-file={options.directory.resolve()}/authority.pem"
        )
        print(f"apns-server={service.address}\napns-dev-server={service.address}", flush=True)
        while True:
            push = await service.pushes.take(lambda _: True, "push", 1e9)
            print(
                push.answer,
                push.headers.get("apns-push-type"),
                push.headers.get("apns-topic"),
                push.payload,
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(_main())
