"""The hot path: one socket of a leg, read in small portions, each datagram copied to where it goes.

Routes are ready-made pairs of a bound `sendto` and an address, replaced as a whole when a call changes, so that a
packet costs no look-up. Measured: `recvfrom` is as fast as `recvfrom_into` with a prepared buffer, whatever size is
asked for. What does cost is the last read of a wake-up, which finds nothing and raises: hence one datagram is read
per wake-up while packets come evenly, more while they come in bursts.
"""

import asyncio
import socket
from collections.abc import Callable

from flexipy.media import rtp
from flexipy.media.learning import LOCK, STRANGER, RtcpLearner, RtpLearner
from flexipy.media.statistics import Source
from flexipy.media.terms import RTP_KINDS, Address, Expected, Route

_DRAIN = 64
"""Datagrams read per wake-up; more would starve the other sockets."""
_BURST = 0.001
"""Seconds between wake-ups below which the next one reads more."""
_LARGEST = 65535
_LARGEST_HELD = 2048
"""Bytes; the first flight of a handshake fits into a packet of the network."""

Rewrite = Callable[[bytes, float], bytes | None]
"""Makes a packet and the time of its arrival into what is sent; None: nothing."""


def nobody() -> None:
    """In the place of who wants to know, after the end."""


class Channel:
    """One socket toward one side."""

    __slots__ = (
        "_budget",
        "_clock",
        "_counters",
        "_loop",
        "_moved",
        "_recvfrom",
        "_socket",
        "bytes",
        "handshake_routes",
        "heard",
        "held",
        "opaque",
        "packets",
        "rewrite",
        "rewrite_rtcp",
        "routes",
        "rtcp_routes",
        "sendto",
        "source",
        "strangers",
    )

    def __init__(
        self,
        sock: socket.socket,
        source: Source,
        counters: dict[str, int],
        clock: Callable[[], float],
        moved: Callable[[], None],
    ) -> None:
        self._socket = sock
        self._recvfrom = sock.recvfrom
        self._counters = counters
        self._clock = clock
        self._moved = moved
        self._budget = 1
        self.sendto = sock.sendto
        self.source = source
        self.opaque = False
        self.routes: tuple[Route, ...] = ()
        """Where RTP goes, and the STUN beside it."""
        self.handshake_routes: tuple[Route, ...] = ()
        """Where DTLS and ZRTP go."""
        self.held: bytes | None = None
        """The last packet of a handshake that had nowhere to go."""
        self.rtcp_routes: tuple[Route, ...] = ()
        self.rewrite: Rewrite | None = None
        self.rewrite_rtcp: Rewrite | None = None
        self.packets = 0
        self.bytes = 0
        self.strangers = 0
        self.heard = clock()
        """When a packet from the locked address came last; before the first, when the leg was made."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._on_readable)

    def close(self) -> None:
        """Stop reading; the socket itself belongs to the pool of ports.

        Nothing refers back to the leg from now on: it is freed at once, as the collector of cycles runs rarely.
        """
        self._loop.remove_reader(self._socket.fileno())
        self._moved = nobody
        self.routes = self.rtcp_routes = self.handshake_routes = ()
        self.held = None
        self.rewrite = self.rewrite_rtcp = None

    def shake_hands(self, routes: tuple[Route, ...]) -> None:
        """Set where DTLS and ZRTP go from now on, and send on what waits: who sent it may wait long to repeat it."""
        self.handshake_routes = routes
        if routes and self.held is not None:
            self._copy(self.held, routes)
            self.held = None

    def send(self, packet: bytes, address: Address) -> None:
        """Send something of our own."""
        try:
            self.sendto(packet, address)
        except OSError:
            self._counters["relay_send_failures"] += 1

    def _on_readable(self) -> None:
        raise NotImplementedError

    def _failed_read(self, error: OSError) -> bool:
        """Whether to go on reading."""
        if isinstance(error, (BlockingIOError, InterruptedError)):
            self._budget = 1
            return False
        # An ICMP answer to something sent earlier: it concerns one remote, the socket lives on.
        self._counters["relay_socket_errors"] += 1
        return self._socket.fileno() >= 0

    def _refused(self) -> None:
        self.strangers += 1
        self._counters["relay_strangers"] += 1

    def _copy(self, packet: bytes, routes: tuple[Route, ...]) -> None:
        counters = self._counters
        for sendto, address in routes:
            try:
                sendto(packet, address)
                counters["relay_copies"] += 1
            except OSError:
                counters["relay_send_failures"] += 1

    def _pass_handshake(self, packet: bytes) -> None:
        if self.handshake_routes:
            self._copy(packet, self.handshake_routes)
        elif len(packet) <= _LARGEST_HELD:
            self.held = packet

    def _pass_rtcp(self, packet: bytes, now: float) -> None:
        if self.rewrite_rtcp is not None:
            rewritten = self.rewrite_rtcp(packet, now)
            if rewritten is None:
                return
            packet = rewritten
        self._copy(packet, self.rtcp_routes)


class RtpChannel(Channel):
    """The even port: RTP, with what shares its port."""

    __slots__ = ("learner",)

    def __init__(
        self,
        sock: socket.socket,
        source: Source,
        counters: dict[str, int],
        clock: Callable[[], float],
        moved: Callable[[], None],
        learner: RtpLearner,
    ) -> None:
        self.learner = learner
        super().__init__(sock, source, counters, clock, moved)

    def expect(self, expected: Expected) -> None:
        """Take over what SDP says."""
        self.opaque = expected.kind not in RTP_KINDS
        self.learner.expect(expected, self._clock())

    def _on_readable(self) -> None:
        now = self._clock()
        recvfrom = self._recvfrom
        learner = self.learner
        source = self.source
        budget = self._budget
        count = size = failed = 0
        packet = b""
        for _ in range(budget):
            try:
                data, address = recvfrom(_LARGEST)
            except OSError as error:
                if self._failed_read(error):
                    continue
                break
            if address != learner.locked and not self._admit(data, address, now):
                continue
            if len(data) < 12 or data[0] & 0xC0 != 0x80 or 192 <= data[1] <= 223 or self.opaque:
                self._beside(data, now, address == learner.locked)
                continue
            packet = data
            sequence = data[2] << 8 | data[3]
            if sequence == source.next:
                source.next = sequence + 1 & 0xFFFF
            else:
                source.jump(data, sequence)
            count += 1
            size += len(data)
            if self.rewrite is not None:
                rewritten = self.rewrite(data, now)
                if rewritten is None:
                    continue
                data = rewritten
            for sendto, to in self.routes:
                try:
                    sendto(data, to)
                except OSError:
                    failed += 1
        else:
            if now - self.heard < _BURST and budget < _DRAIN:
                self._budget = budget * 2
        if count:
            source.sample(packet, now)
            self.heard = now
            self.packets += count
            self.bytes += size
            counters = self._counters
            counters["relay_packets"] += count
            counters["relay_bytes"] += size
            counters["relay_copies"] += count * len(self.routes) - failed
            if failed:
                counters["relay_send_failures"] += failed

    def _admit(self, packet: bytes, address: Address, now: float) -> bool:
        verdict = self.learner.judge(packet, address, self.source, self.heard, now)
        if verdict == STRANGER:
            self._refused()
            return False
        if verdict == LOCK:
            self._moved()
        return True

    def _beside(self, packet: bytes, now: float, locked: bool) -> None:
        """Pass on what is no RTP."""
        kind = rtp.OTHER if self.opaque else rtp.classify(packet)
        if kind == rtp.MALFORMED:
            self._counters["relay_malformed"] += 1
            return
        if locked:
            self.heard = now
        self.packets += 1
        self.bytes += len(packet)
        self._counters["relay_packets"] += 1
        self._counters["relay_bytes"] += len(packet)
        if kind == rtp.RTCP:
            self._pass_rtcp(packet, now)
        elif rtp.is_handshake(packet) and not self.opaque:
            self._pass_handshake(packet)
        else:
            self._copy(packet, self.routes)


class RtcpChannel(Channel):
    """The odd port: RTCP, and the STUN and DTLS of that port."""

    __slots__ = ("learner",)

    def __init__(
        self,
        sock: socket.socket,
        source: Source,
        counters: dict[str, int],
        clock: Callable[[], float],
        moved: Callable[[], None],
        learner: RtcpLearner,
    ) -> None:
        self.learner = learner
        super().__init__(sock, source, counters, clock, moved)

    def expect(self, expected: Expected) -> None:
        """Take over what SDP says."""
        self.opaque = expected.kind not in RTP_KINDS
        self.learner.expect(expected)

    def _on_readable(self) -> None:
        now = self._clock()
        for _ in range(_DRAIN):
            try:
                data, address = self._recvfrom(_LARGEST)
            except OSError as error:
                if self._failed_read(error):
                    continue
                return
            if address != self.learner.locked:
                verdict = self.learner.judge(data, address, self.source)
                if verdict == STRANGER:
                    self._refused()
                    continue
                self._moved()
            kind = rtp.OTHER if self.opaque else rtp.classify(data)
            if kind not in (rtp.RTCP, rtp.OTHER):
                self._counters["relay_malformed"] += 1
                continue
            self.heard = now
            self.packets += 1
            self.bytes += len(data)
            self._counters["relay_packets"] += 1
            self._counters["relay_bytes"] += len(data)
            if kind == rtp.RTCP:
                self._pass_rtcp(data, now)
            elif rtp.is_handshake(data) and not self.opaque:
                self._pass_handshake(data)
            else:
                self._copy(data, self.routes)
