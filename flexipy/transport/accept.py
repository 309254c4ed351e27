"""Listening for stream connections.

We accept ourselves instead of using asyncio's server: limits apply before a TLS handshake costs anything,
each handshake takes the certificate that is current at that moment, and a failed one is counted, not traced.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from flexipy.transport.connections import ConnectionTable
from flexipy.transport.listener import Listener
from flexipy.transport.specs import TransportSpec
from flexipy.transport.stream import StreamFlow

if TYPE_CHECKING:
    import ssl

_log = logging.getLogger(__name__)

_ACCEPT_BATCH = 64
_BACKLOG = 1024
_RETRY_AFTER = 1.0
"""Pause in seconds when the process is out of file descriptors."""

FlowFactory = Callable[[ConnectionTable, bytes, Listener | None, bool], StreamFlow]


class ServerIdentity(Protocol):
    """Where the TLS context for the next handshake comes from."""

    @property
    def context(self) -> "ssl.SSLContext":
        """The current one."""


class StreamAcceptor:
    """One TCP listening socket, whatever is spoken on it."""

    __slots__ = (
        "_factory",
        "_identity",
        "_loop",
        "_retry",
        "_socket",
        "_table",
        "_tasks",
        "closed",
        "listener",
    )

    def __init__(
        self,
        spec: TransportSpec,
        sock: socket.socket,
        table: ConnectionTable,
        factory: FlowFactory,
        identity: ServerIdentity | None,
    ) -> None:
        local = sock.getsockname()
        self.listener = Listener(spec, (local[0], local[1]))
        self.closed = False
        self._socket = sock
        self._table = table
        self._factory = factory
        self._identity = identity
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._on_acceptable)

    def _on_acceptable(self) -> None:
        for _ in range(_ACCEPT_BATCH):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            if self._table.admit(address[0]):
                self._start(sock, address[0])
            else:
                _log.debug("%r: connection from %s refused: too many", self.listener, address[0])
                sock.close()

    def _pause(self, error: OSError) -> None:
        """Out of descriptors or memory: the connection stays in the kernel's queue, so look away a while."""
        self._table.context.counters.accept_errors += 1
        _log.warning("%r cannot accept: %s", self.listener, error)
        self._loop.remove_reader(self._socket.fileno())
        self._retry = self._loop.call_later(_RETRY_AFTER, self._resume)

    def _resume(self) -> None:
        self._retry = None
        if not self.closed:
            self._loop.add_reader(self._socket.fileno(), self._on_acceptable)

    def _start(self, sock: socket.socket, ip: str) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        flow = self._factory(self._table, self.listener.transport, self.listener, False)
        flow.admitted_ip = ip
        task = self._loop.create_task(self._establish(sock, flow))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _establish(self, sock: socket.socket, flow: StreamFlow) -> None:
        context = self._table.context
        ip = flow.admitted_ip
        try:
            if self._identity is None:
                await self._loop.connect_accepted_socket(lambda: flow, sock)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: flow,
                    sock,
                    ssl=self._identity.context,
                    ssl_handshake_timeout=context.options.handshake_timeout or None,
                )
        except OSError as error:  # ssl.SSLError and the handshake timeout are OSErrors too
            if self._identity is not None:
                context.counters.tls_handshake_failures += 1
            _log.info("%r: no connection with %s: %s", self.listener, ip, error)
            self._give_up(sock, flow)
        except asyncio.CancelledError:
            self._give_up(sock, flow)
            raise

    def _give_up(self, sock: socket.socket, flow: StreamFlow) -> None:
        self._table.release(flow)
        flow.abort()
        sock.close()

    async def close(self) -> None:
        """Stop listening; connections that are up stay, handshakes under way are dropped."""
        if self.closed:
            return
        self.closed = True
        if self._retry is not None:
            self._retry.cancel()
        else:
            self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def bind_stream(family: int, address: tuple[str, int], reuse_port: bool) -> socket.socket:
    """A non-blocking listening TCP socket.

    Raises:
        OSError: the address cannot be bound.

    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
