"""A small HTTPS client: requests of a few kilobytes to a few services, each answered by a few kilobytes.

HTTP/1.1 (RFC 9112) with connections that are kept; HTTP/2 by `http2.py` where both ends know it. Redirections are not
followed: a push carries a secret, which is for nobody but the service configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from flexipy.push.http_proxy import HttpProxy
from flexipy.push.http_response import MOST_BODY, HttpResponse

if TYPE_CHECKING:
    from flexipy.push.http2 import Http2Connection

TIMEOUT: Final = 10.0  # seconds for one request with its answer, connecting included
_MOST_HEADERS: Final = 64
_MOST_IDLE: Final = 8  # connections kept to one origin
_MOST_ORIGINS: Final = 32  # a browser's subscription may name any host below one of the list
_PORTS: Final = {"http": 80, "https": 443}


class HttpError(Exception):
    """No answer, or none that can be read: one line for the operator."""


def tls_context(authorities: str = "") -> ssl.SSLContext:
    """How services prove who they are.

    Args:
        authorities: file with certificates to trust in place of the system's.

    Raises:
        OSError: it cannot be read, or holds no certificate.
    """
    context = ssl.create_default_context(cafile=authorities or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as for SIP, see flexipy/transport/tls.py
    return context


class HttpClient:
    """Connections to services.

    Args:
        context: for TLS.
        http2: offer HTTP/2.
        proxy: HTTP proxy to go through.
    """

    def __init__(self, context: ssl.SSLContext, http2: bool = False, proxy: HttpProxy | None = None) -> None:
        self._proxy = proxy
        self._context = context
        self._http2 = http2
        if http2:
            context.set_alpn_protocols(["h2", "http/1.1"])
        self._idle: dict[tuple[str, str, int], list[_Connection]] = {}
        self._multiplexed: dict[tuple[str, str, int], Http2Connection] = {}
        self._opening: dict[tuple[str, str, int], asyncio.Lock] = {}

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> HttpResponse:
        """Send a request and wait for its answer, `TIMEOUT` seconds at most.

        Args:
            method: GET or POST.
            url: http or https, of printable ASCII.
            headers: lower-case names; Host and Content-Length are added.
            body: content.

        Raises:
            HttpError: there is no answer.
        """
        parts = urlsplit(url)
        origin = _origin(parts)
        for name, value in headers.items():
            if "\r" in value or "\n" in value or not name:
                raise HttpError(f"a line end in the header {name}")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._request(origin, method, target, headers, body)
        except TimeoutError as error:
            raise HttpError(f"{origin[1]} did not answer within {TIMEOUT:.0f} s") from error
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise HttpError(f"{origin[1]}: {said(error)}") from error

    async def _request(
        self, origin: tuple[str, str, int], method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> HttpResponse:
        shared = self._multiplexed.get(origin)
        if shared is not None and shared.usable:
            try:
                return await shared.request(method, target, headers, body)
            except ConnectionError:
                if shared.usable:  # the service broke this one request off
                    raise
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle.pop()
            if connection.stale:
                connection.close()
                continue
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):  # closed while it was idle
                return await self._exchange(origin, connection, method, target, headers, body)
        if self._http2 and origin[0] == "https":
            opened = await self._open_shared(origin)
            if not isinstance(opened, _Connection):
                return await opened.request(method, target, headers, body)
        else:
            opened = await self._open(origin)
        return await self._exchange(origin, opened, method, target, headers, body)

    async def _open_shared(self, origin: tuple[str, str, int]) -> Http2Connection | _Connection:
        """One connection for all who come at once, where the service speaks HTTP/2."""
        async with self._opening.setdefault(origin, asyncio.Lock()):
            shared = self._multiplexed.get(origin)
            if shared is not None and shared.usable:
                return shared
            connection = await self._open(origin)
            if connection.protocol != "h2":
                return connection
            from flexipy.push.http2 import Http2Connection

            fresh = Http2Connection(connection.reader, connection.writer, _authority(origin))
            self._multiplexed[origin] = fresh
            return fresh

    async def _open(self, origin: tuple[str, str, int]) -> _Connection:
        scheme, host, port = origin
        tls = self._context if scheme == "https" else None
        if self._proxy is None:
            reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=MOST_BODY)
        else:
            tunnel = await self._proxy.tunnel(host, port)
            name = host if tls is not None else None
            reader, writer = await asyncio.open_connection(sock=tunnel, ssl=tls, server_hostname=name, limit=MOST_BODY)
        return _Connection(reader, writer)

    async def _exchange(
        self,
        origin: tuple[str, str, int],
        connection: _Connection,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> HttpResponse:
        try:
            response, keep = await connection.exchange(method, target, _authority(origin), headers, body)
        except BaseException:  # cancelled too: what would come is not the next request's answer
            connection.close()
            raise
        idle = self._idle.setdefault(origin, [])
        if len(self._idle) > _MOST_ORIGINS:
            for forgotten in self._idle.pop(next(iter(self._idle))):
                forgotten.close()
        if keep and len(idle) < _MOST_IDLE:
            idle.append(connection)
        else:
            connection.close()
        return response

    async def close(self) -> None:
        """Close every connection."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
        for shared in self._multiplexed.values():
            await shared.close()
        self._multiplexed.clear()


class _Connection:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        self.protocol = (tls.selected_alpn_protocol() or "") if tls is not None else ""

    @property
    def stale(self) -> bool:
        """Whether the service has closed it."""
        return self.reader.at_eof() or self.writer.is_closing()

    def close(self) -> None:
        self.writer.close()

    async def exchange(
        self, method: str, target: str, authority: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[HttpResponse, bool]:
        """Send a request; its answer, and whether the connection may be used again."""
        lines = [f"{method} {target} HTTP/1.1", f"host: {authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method == "POST":
            lines.append(f"content-length: {len(body)}")
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body)
        await self.writer.drain()
        while (response := await self._head()).status < 200:
            pass
        encoding = response.headers.get("transfer-encoding", "").lower()
        length = response.headers.get("content-length")
        keep = response.headers.get("connection", "").lower() != "close"
        if response.status in (204, 304):
            pass
        elif encoding == "chunked":
            response.body = await self._chunks()
        elif length is not None:
            if not (length.isascii() and length.isdigit() and int(length) <= MOST_BODY):
                raise ValueError("its answer is too long")
            response.body = await self.reader.readexactly(int(length))
        else:
            keep = False
            response.body = await self.reader.read(MOST_BODY)
        return response, keep

    async def _head(self) -> HttpResponse:
        words = (await self._line()).split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise ValueError("it does not speak HTTP/1.1")
        response = HttpResponse(int(words[1]))
        for _ in range(_MOST_HEADERS):
            line = await self._line()
            if not line:
                return response
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            if name == "content-length" and response.headers.get(name, value) != value:
                raise ValueError("its answer has two lengths")
            response.headers[name] = value
        raise ValueError("its answer has too many headers")

    async def _line(self) -> str:
        line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the connection was closed")
        return line.decode("latin-1").strip("\r\n")

    async def _chunks(self) -> bytes:
        found = b""
        while True:
            size = int((await self._line()).partition(";")[0], 16)
            if size < 0 or len(found) + size > MOST_BODY:
                raise ValueError("its answer is too long")
            if not size:
                break
            found += await self.reader.readexactly(size)
            await self._line()
        while await self._line():
            pass
        return found


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    try:
        port = parts.port
    except ValueError as error:
        raise HttpError("a bad port") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise HttpError("not an http or https address")
    return parts.scheme, parts.hostname, port if port is not None else _PORTS[parts.scheme]


def _authority(origin: tuple[str, str, int]) -> str:
    scheme, host, port = origin
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port == _PORTS[scheme] else f"{bracketed}:{port}"


def said(error: BaseException) -> str:
    """What went wrong with a connection, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, asyncio.IncompleteReadError):
        return "the connection was closed"
    strerror = getattr(error, "strerror", None)
    return str(strerror or error) or type(error).__name__
