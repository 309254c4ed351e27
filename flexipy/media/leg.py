"""One side of one stream: a pair of ports, who is at the other end, what it sent."""

from collections.abc import Callable
from typing import Any

from flexipy.media.channel import RtcpChannel, RtpChannel
from flexipy.media.learning import RtcpLearner
from flexipy.media.ports import PortPair
from flexipy.media.statistics import Source
from flexipy.media.terms import Address, Expected, Route


class Leg:
    """The relay's two ports toward one side.

    Attributes:
        local_ip: the address they are bound to.
        port: for RTP; goes into SDP.
        rtcp_port: for RTCP; without meaning when that side multiplexes.

    """

    __slots__ = ("_changed", "closed", "expected", "local_ip", "pair", "port", "rtcp", "rtcp_port", "rtp", "source")

    def __init__(
        self,
        pair: PortPair,
        local_ip: str,
        counters: dict[str, int],
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.pair = pair
        self.local_ip = local_ip
        self.port = pair.port
        self.rtcp_port = pair.port + 1
        self.expected: Expected | None = None
        self.closed = False
        self.source = Source()
        self._changed = changed
        self.rtp = RtpChannel(pair.rtp, self.source, counters, clock, self._rtp_moved)
        self.rtcp = RtcpChannel(pair.rtcp, self.source, counters, clock, changed, RtcpLearner(self.rtp.learner))

    def expect(self, expected: Expected) -> None:
        """Take over what SDP says of this side, again at each change; another address is learnt anew."""
        self.expected = expected
        self.source.describe(expected.kind, expected.clock_rates)
        self.rtp.expect(expected)
        self.rtcp.expect(expected)
        self._changed()

    @property
    def plain(self) -> bool:
        """Whether its packets may be touched."""
        return self.expected is not None and not self.expected.secure and not self.rtp.opaque

    @property
    def muxed(self) -> bool:
        """Whether RTCP goes by the RTP port."""
        return self.expected is not None and self.expected.rtcp_mux

    @property
    def heard(self) -> float:
        """When a packet came last, or the leg was made."""
        return max(self.rtp.heard, self.rtcp.heard)

    def rtp_route(self) -> Route | None:
        """How to send RTP to this side; None when it is not known where."""
        to = self._reachable(self.rtp.learner.destination)
        return None if to is None else (self.rtp.sendto, to)

    def rtcp_route(self) -> Route | None:
        """How to send RTCP to this side (RFC 5761); None when it is not known where."""
        if self.muxed:
            return self.rtp_route()
        to = self._reachable(self.rtcp.learner.destination)
        return None if to is None else (self.rtcp.sendto, to)

    def _reachable(self, to: Address | None) -> Address | None:
        if to is None or self.closed or (":" in to[0]) != (":" in self.local_ip):
            return None
        return (to[0], to[1], 0, 0) if ":" in to[0] and len(to) == 2 else to

    def _rtp_moved(self) -> None:
        self.rtcp.learner.rtp_moved()
        self._changed()

    def close(self) -> None:
        """Stop reading; the ports go back to the pool by whoever took them."""
        if not self.closed:
            self.closed = True
            self.rtp.close()
            self.rtcp.close()

    def report(self, now: float) -> dict[str, Any]:
        """What this side sent so far, JSON-able. Jitter in milliseconds, age in seconds."""
        learner = self.rtp.learner
        remote = learner.destination
        return {
            "local": [self.local_ip, self.port],
            "remote": None if remote is None else [remote[0], remote[1]],
            "locked": learner.locked is not None,
            "packets": self.rtp.packets,
            "bytes": self.rtp.bytes,
            "rtcp_packets": self.rtcp.packets,
            "lost": self.source.lost,
            "jitter": round(self.source.jitter, 3),
            "strangers": self.rtp.strangers + self.rtcp.strangers,
            "last_packet_age": round(now - self.heard, 3) if self.rtp.packets or self.rtcp.packets else None,
        }
