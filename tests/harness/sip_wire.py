"""The ways by which the tests' own phone reaches the server: UDP, TCP, TLS, WebSocket."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

Receive = Callable[[bytes], None]

_LENGTH = re.compile(rb"\r\n(?:Content-Length|l)\s*:\s*(\d+)", re.IGNORECASE)


class Wire(Protocol):
    """One way to the server.

    Attributes:
        local: address and port at this end.
        closed: set once the other end has closed it.
    """

    local: tuple[str, int]
    closed: asyncio.Event

    def send(self, data: bytes) -> None:
        """Send one message."""

    async def close(self) -> None:
        """Hang up the line itself."""


class UdpWire(asyncio.DatagramProtocol):
    """A UDP socket."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.closed = asyncio.Event()
        self.local = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.local = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data.strip():
            self._receive(data)

    def send(self, data: bytes) -> None:
        self._transport.sendto(data)

    async def close(self) -> None:
        self._transport.close()


class StreamWire:
    """A TCP or TLS connection.

    Attributes:
        certificate: the server's, in DER; empty over TCP.
    """

    def __init__(self, receive: Receive, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.closed = asyncio.Event()
        self.local = writer.get_extra_info("sockname")[:2]
        tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        self.certificate = (tls.getpeercert(binary_form=True) or b"") if tls is not None else b""
        self._receive = receive
        self._writer = writer
        self._task = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lstrip(b"\r\n")
                if not head:
                    continue
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                self._receive(head + body)
        except (asyncio.IncompleteReadError, OSError):
            self.closed.set()

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def close(self) -> None:
        self._task.cancel()
        self._writer.close()
        await asyncio.gather(self._task, self._writer.wait_closed(), return_exceptions=True)


class WebSocketWire:
    """A WebSocket, plain or over TLS."""

    def __init__(self, receive: Receive, connection: ClientConnection) -> None:
        self.closed = asyncio.Event()
        self.local = connection.local_address[:2]
        self._receive = receive
        self._connection = connection
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks = (asyncio.create_task(self._read()), asyncio.create_task(self._write()))

    async def _read(self) -> None:
        async for message in self._connection:
            data = message.encode() if isinstance(message, str) else message
            if data.strip():
                self._receive(data)
        self.closed.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._connection.send((await self._outbox.get()).decode())
        except ConnectionClosed:
            self.closed.set()

    def send(self, data: bytes) -> None:
        self._outbox.put_nowait(data)

    async def close(self) -> None:
        await self._connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def open_wire(transport: str, host: str, port: int, receive: Receive, authority: Path | None = None) -> Wire:
    """Reach a server.

    Args:
        transport: udp, tcp, tls, ws or wss.
        host: numeric.
        port: of the server.
        receive: called with each message that comes.
        authority: certificate that must have signed the server's.
    """
    if transport == "udp":
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_datagram_endpoint(lambda: UdpWire(receive), remote_addr=(host, port))
        return wire
    tls = ssl.create_default_context(cafile=authority) if transport in ("tls", "wss") else None
    if transport in ("tcp", "tls"):
        return StreamWire(receive, *await asyncio.open_connection(host, port, ssl=tls))
    bracketed = f"[{host}]" if ":" in host else host
    connection = await connect(f"{transport}://{bracketed}:{port}/", subprotocols=[Subprotocol("sip")], ssl=tls)
    assert connection.subprotocol == "sip"
    return WebSocketWire(receive, connection)
