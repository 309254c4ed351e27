"""UDP: our own non-blocking socket, read several times at each wake-up under load.

This is the hot path: no asyncio transport between the socket and `on_message`, one clock reading per wake-up,
one dictionary look-up per datagram.
"""

import asyncio
import contextlib
import logging
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from flexipy.transport import stun
from flexipy.transport.addresses import normalize_ip
from flexipy.transport.context import TransportContext
from flexipy.transport.flow import Flow
from flexipy.transport.listener import Listener
from flexipy.transport.specs import TransportSpec

_log = logging.getLogger(__name__)

_DRAIN = 64
"""Datagrams read per wake-up at most; more would starve the other sockets."""
_MANY = 16
"""Datagrams read in one go from which on it is of interest how long the next one has waited."""
_MAX_DATAGRAM = 65535
_SO_RCVBUFFORCE = getattr(socket, "SO_RCVBUFFORCE", 33)
_SO_TIMESTAMPNS = 35  # Linux; the module socket has no name for these two
_SO_RXQ_OVFL = 40
_STAMP = struct.Struct("@ll")
_FACTS = 128
"""Bytes for what the kernel tells of a datagram besides: when it came, and how many there was no room for."""
_ANSWER = b"SIP/2.0 "
_FIRST_TEXT_BYTE = 33
"""Below are STUN (0, 1), NUL and CRLF keep-alives and white space: nothing that begins a SIP message."""

SocketAddress = tuple[Any, ...]


class UdpFlow(Flow):
    """The path from one of our UDP sockets to one remote address."""

    __slots__ = ("_address", "_socket")

    def __init__(self, udp: "UdpSocket", address: SocketAddress) -> None:
        super().__init__(b"UDP", udp.listener)
        self._socket = udp
        self._address = address
        local_ip = udp.listener.local_toward(address[0])
        self.locate((local_ip, udp.listener.port), (address[0], address[1]))

    def send(self, data: bytes) -> bool:
        return self._socket.send(data, self._address)

    def at_port(self, port: int) -> Flow:
        return self._socket.flow_to(self.remote[0], port)


class UdpSocket:
    """One UDP listening point and the flows through it."""

    __slots__ = (
        "_backlog",
        "_backlog_size",
        "_batch",
        "_by_id",
        "_context",
        "_drained",
        "_flows",
        "_held",
        "_loop",
        "_queue",
        "_sendto",
        "_socket",
        "closed",
        "listener",
    )

    def __init__(self, spec: TransportSpec, sock: socket.socket, context: TransportContext) -> None:
        local = sock.getsockname()
        self.listener = Listener(spec, (local[0], local[1]))
        self.closed = False
        self._socket = sock
        self._sendto: Callable[[bytes, SocketAddress], int] = sock.sendto
        self._context = context
        self._queue = context.load.queue(str(self.listener))
        self._flows: dict[SocketAddress, UdpFlow] = {}
        self._by_id: dict[int, UdpFlow] = {}
        self._backlog: deque[tuple[bytes, SocketAddress]] = deque()
        self._backlog_size = 0
        self._batch = 1
        self._held: list[tuple[bytes, SocketAddress]] | None = None  # answers, while others are to hear of things first
        self._drained: asyncio.Event | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._on_readable)

    # -- receiving ---------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        batch = self._context.batch
        if batch is None:
            self._read()
            return
        held = self._held = []
        batch.hold()
        try:
            self._read()
        finally:
            batch.settle()
            self._held = None
            for data, address in held:
                self.send(data, address)

    def _read(self) -> None:
        now = time.monotonic()
        recvfrom = self._socket.recvfrom
        flows = self._flows
        counters = self._context.counters
        on_message = self._context.on_message
        batch = self._batch
        for count in range(batch):
            try:
                data, address = recvfrom(_MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                self._batch = count or 1
                self._queue.emptied()
                return
            except OSError as error:
                if self.closed:
                    return
                # An ICMP answer to something sent earlier: it concerns one remote, the socket lives on.
                counters.socket_errors += 1
                _log.debug("%s: %s", self.listener, error)
                continue
            flow = flows.get(address) or self._add_flow(address)
            if not data or data[0] < _FIRST_TEXT_BYTE:
                data = self._strip(data, flow)
                if not data:
                    continue
            counters.messages_in += 1
            counters.bytes_in += len(data)
            try:
                on_message(data, flow, now)
            except Exception:
                counters.handler_errors += 1
                _log.exception("a message from %s could not be handled", flow)
        # Learning that the socket is empty costs more than reading a datagram, so it isn't asked once more than there
        # were datagrams the last time. If there are others, this is called again at once.
        self._batch = min(2 * batch, _DRAIN)
        if batch >= _MANY:
            self._look_at_next()

    def _look_at_next(self) -> None:
        """Find out how long the next datagram has waited, after many were read at once."""
        try:
            _, facts, _, _ = self._socket.recvmsg(1, _FACTS, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._queue.emptied()
            return
        except OSError:
            return
        now = time.time()  # the kernel's stamps are of this clock
        waited, lost = 0.0, 0
        for _, kind, raw in facts:
            if kind == _SO_TIMESTAMPNS and len(raw) == _STAMP.size:
                seconds, nanoseconds = _STAMP.unpack(raw)
                waited = now - seconds - nanoseconds / 1e9
            elif kind == _SO_RXQ_OVFL:
                lost = int.from_bytes(raw, sys.byteorder)
        self._queue.waited(waited, now, lost)

    def _strip(self, data: bytes, flow: UdpFlow) -> bytes:
        """Deal with what does not begin like SIP; returns the message after leading line ends, if any."""
        counters = self._context.counters
        if stun.is_stun(data):
            counters.stun_requests += 1
            response = stun.answer(data, flow.remote)
            if response is not None:
                flow.send(response)
            return b""
        stripped = data.lstrip(b"\r\n")  # RFC 3261 section 7.5
        if not stripped.strip(b"\x00 \t\r\n"):
            counters.keepalives_in += 1
            return b""
        if stripped[0] < _FIRST_TEXT_BYTE:
            counters.datagrams_dropped += 1
            return b""
        return stripped

    # -- flows -------------------------------------------------------------------------------------

    def flow_to(self, ip: str, port: int) -> UdpFlow:
        """The flow to a numeric address, made when it is not known yet.

        Raises:
            ValueError: `ip` is not an address.

        """
        address: SocketAddress = (ip, port) if ":" not in ip else (ip, port, 0, 0)
        flow = self._flows.get(address)
        if flow is not None:
            return flow
        canonical = normalize_ip(ip)
        if canonical is None:
            raise ValueError(f"'{ip}' is not an IP address")
        address = (canonical, *address[1:])
        return self._flows.get(address) or self._add_flow(address)

    def _add_flow(self, address: SocketAddress) -> UdpFlow:
        flows = self._flows
        limit = self._context.options.udp_flow_limit
        if len(flows) >= limit:
            # The oldest half goes in one sweep: cheaper than an ordered cache that every datagram must touch.
            # A flow that somebody still holds goes on working.
            for key in list(flows)[: limit // 2 + 1]:
                del self._by_id[flows.pop(key).id]
        flow = flows[address] = UdpFlow(self, address)
        self._by_id[flow.id] = flow
        return flow

    def flow_by_id(self, flow_id: int) -> UdpFlow | None:
        """Find a flow that is still cached."""
        return self._by_id.get(flow_id)

    def forget_flows(self) -> None:
        """Make flows anew: our own address may have changed under a wildcard."""
        self._flows.clear()
        self._by_id.clear()

    # -- sending -----------------------------------------------------------------------------------

    def send(self, data: bytes, address: SocketAddress) -> bool:
        """Send a datagram now, or queue it when the kernel's buffer is full."""
        counters = self._context.counters
        if self.closed:
            return False
        if self._held is not None and data[:8] == _ANSWER:  # of a request it matters whether it can be sent
            self._held.append((data, address))
            return True
        if not self._backlog:
            try:
                self._sendto(data, address)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._socket.fileno(), self._on_writable)
            except OSError as error:
                counters.socket_errors += 1
                _log.debug("%s: to %s: %s", self.listener, address, error)
                return False
            else:
                counters.messages_out += 1
                counters.bytes_out += len(data)
                return True
        if self._backlog_size + len(data) > self._context.options.udp_backlog_limit:
            counters.queue_full += 1
            return False
        self._backlog.append((data, address))
        self._backlog_size += len(data)
        return True

    def _on_writable(self) -> None:
        counters = self._context.counters
        while self._backlog:
            data, address = self._backlog[0]
            try:
                self._sendto(data, address)
                counters.messages_out += 1
                counters.bytes_out += len(data)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                counters.socket_errors += 1
                _log.debug("%s: to %s: %s", self.listener, address, error)
            self._backlog.popleft()
            self._backlog_size -= len(data)
        self._loop.remove_writer(self._socket.fileno())
        if self._drained is not None:
            self._drained.set()

    # -- end ---------------------------------------------------------------------------------------

    async def close(self, drain: float) -> None:
        """Stop reading, send what is queued for at most `drain` seconds, close."""
        if self.closed:
            return
        self._loop.remove_reader(self._socket.fileno())
        if self._backlog:
            self._drained = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain):
                    await self._drained.wait()
        self.closed = True
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for flow in list(self._flows.values()):
            flow.mark_closed()
        self.forget_flows()


def bind_udp(family: int, address: tuple[str, int], buffer_size: int, reuse_port: bool) -> socket.socket:
    """A bound non-blocking UDP socket with generous buffers.

    Raises:
        OSError: the address cannot be bound.

    """
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, buffer_size)
        for option in (_SO_TIMESTAMPNS, _SO_RXQ_OVFL):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, 1)
        with contextlib.suppress(OSError):  # beyond net.core.rmem_max, if we may
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_size)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock
