"""An HTTP/1.1 service over TLS on this machine, for tests: one function answers every request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.certificates import Authority
from tests.harness.events import Events


@dataclass
class HttpRequest:
    """A request that arrived; names of headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class HttpAnswer:
    """What to say to it; None in place of one closes the connection."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    chunked: bool = False


class HttpsService:
    """The service.

    Args:
        directory: for its certificate.
        authority: signs it.
        answer: answers.
        tls: False for plain HTTP.

    Attributes:
        requests: all that came, each to be taken once.
        silent: take requests and say nothing.
    """

    def __init__(
        self,
        directory: Path,
        authority: Authority,
        answer: Callable[[HttpRequest], HttpAnswer | None],
        tls: bool = True,
    ) -> None:
        self.requests: Events[HttpRequest] = Events("requests to the service")
        self.answer = answer
        self.silent = False
        self.port = 0
        self.connections = 0
        self.authority = authority
        self.certificate = directory / "https-server.pem"
        self._context: ssl.SSLContext | None = None
        if tls:
            authority.issue(self.certificate)
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(self.certificate)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://localhost:{self.port}"

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
        self.hang_up()
        await self._server.wait_closed()

    def hang_up(self) -> None:
        """Close each connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        number = self.connections
        try:
            while (request := await self._read(reader, number)) is not None:
                self.requests.add(request)
                if self.silent:
                    continue
                answer = self.answer(request)
                if answer is None:
                    break
                writer.write(_bytes(answer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    @staticmethod
    async def _read(reader: asyncio.StreamReader, connection: int) -> HttpRequest | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.strip().split("\r\n")
        method, target, version = first.split(" ")
        assert version == "HTTP/1.1"
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return HttpRequest(method, target, headers, body, connection)


def _bytes(answer: HttpAnswer) -> bytes:
    headers = list(answer.headers)
    body = answer.body
    if answer.chunked:
        headers.append(("Transfer-Encoding", "chunked"))
        half = len(body) // 2
        body = (
            b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]) if part) + b"0\r\n\r\n"
        )
    else:
        headers.append(("Content-Length", str(len(body))))
    lines = [f"HTTP/1.1 {answer.status} Whatever", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
