"""One side of one stream: a pair of ports, who is at the other end, what it sent."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flexipy.media import rtp
from flexipy.media.channel import RtcpChannel, RtpChannel, nobody
from flexipy.media.learning import RtcpLearner, RtpLearner
from flexipy.media.ports import PortPair
from flexipy.media.statistics import Source
from flexipy.media.terms import Address, Expected, Route
from flexipy.media.thinning import Thinner

_KEY_FRAME_INTERVAL = 1.0
_KEY_FRAMES_AGAIN = (1.0, 3.0)
"""Seconds after which a receiver that is new gets another chance to begin: a ringing screen may take its time to start
its decoder, and cannot ask for anything itself.
"""
"""Seconds between two requests for a key frame: each costs the sender a large burst."""
_CNAME = b"flexipy"


def _send_nothing(_packet: bytes, _to: Address) -> None:
    """In the place of sending, after the end."""


class Leg:
    """The relay's two ports toward one side.

    Attributes:
        local_ip: the address they are bound to.
        port: for RTP; goes into SDP.
        rtcp_port: for RTCP; without meaning when that side multiplexes.

    """

    __slots__ = (
        "_again",
        "_asked",
        "_changed",
        "_clock",
        "_counters",
        "_edit_send",
        "_key_frame_wanted",
        "_numbers",
        "_ssrc",
        "_thinner",
        "closed",
        "expected",
        "local_ip",
        "pair",
        "port",
        "rtcp",
        "rtcp_port",
        "rtp",
        "source",
    )

    def __init__(
        self,
        pair: PortPair,
        local_ip: str,
        counters: dict[str, int],
        clock: Callable[[], float],
        changed: Callable[[], None],
        owns: Callable[[str, int], bool],
    ) -> None:
        self.pair = pair
        self.local_ip = local_ip
        self.port = pair.port
        self.rtcp_port = pair.port + 1
        self.expected: Expected | None = None
        self.closed = False
        self.source = Source()
        self._changed = changed
        self._counters = counters
        self._clock = clock
        self._ssrc = secrets.token_bytes(4)
        self._asked: float | None = None
        self._again: list[float] = []
        self._key_frame_wanted = False
        self._thinner: Thinner | None = None
        self._numbers: dict[int, bytes] = {}
        self._edit_send: Callable[[bytes, Address], None] = self._send_edited  # one object: routes are compared
        learner = RtpLearner(owns)
        self.rtp = RtpChannel(pair.rtp, self.source, counters, clock, self._rtp_moved, learner)
        self.rtcp = RtcpChannel(pair.rtcp, self.source, counters, clock, changed, RtcpLearner(learner, owns))

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

    def thin(self, thinner: Thinner | None) -> None:
        """Send this side less than all of the media; never done to encrypted ones. None: everything."""
        self._thinner = thinner if self.plain else None
        self._changed()

    def renumber(self, payload_types: Mapping[int, int]) -> None:
        """Give what is sent to this side other payload types, its own by those that come; never in encrypted media."""
        numbers = rtp.second_bytes(payload_types) if self.plain else {}
        if numbers != self._numbers:
            self._numbers = numbers
            self._changed()

    def _send_edited(self, packet: bytes, to: Address) -> None:
        if self._numbers:
            packet = rtp.renumbered(packet, self._numbers)
        less = packet if self._thinner is None else self._thinner.thin(packet)
        if less is None:
            self._counters["relay_thinned"] += 1
        else:
            self.rtp.sendto(less, to)

    def rtp_route(self) -> Route | None:
        """How to send RTP to this side; None when it is not known where."""
        to = self._reachable(self.rtp.learner.destination)
        if to is None:
            return None
        return (self._edit_send if self._thinner is not None or self._numbers else self.rtp.sendto), to

    def rtcp_route(self) -> Route | None:
        """How to send RTCP to this side (RFC 5761); None when it is not known where."""
        if self.muxed:
            to = self._reachable(self.rtp.learner.destination)
            return None if to is None else (self.rtp.sendto, to)
        to = self._reachable(self.rtcp.learner.destination)
        return None if to is None else (self.rtcp.sendto, to)

    def _reachable(self, to: Address | None) -> Address | None:
        if to is None or self.closed or (":" in to[0]) != (":" in self.local_ip):
            return None
        return (to[0], to[1], 0, 0) if ":" in to[0] and len(to) == 2 else to

    def send_to(self, rtp_routes: Sequence[Route], rtcp_routes: Sequence[Route], beside: Sequence[Route]) -> None:
        """Set where the packets of this side go.

        A receiver that was not there before, or elsewhere, cannot begin in the middle of a picture: video is asked
        for a key frame.

        Args:
            rtp_routes: of RTP, and of the STUN on its port.
            rtcp_routes: of RTCP.
            beside: of the STUN on the RTCP port.

        """
        joined = not set(rtp_routes) <= set(self.rtp.routes)
        self.rtp.routes = tuple(rtp_routes)
        self.rtp.rtcp_routes = self.rtcp.rtcp_routes = tuple(rtcp_routes)
        self.rtcp.routes = tuple(beside)
        if joined:
            now = self._clock()
            self._again = [now + later for later in _KEY_FRAMES_AGAIN]
            self.request_key_frame(now)

    def shake_hands_with(self, other: Leg | None) -> None:
        """Set who gets the DTLS and ZRTP of this side (RFC 5764 section 5.1.2); None: it is held back."""
        rtp = other.rtp_route() if other is not None else None
        rtcp = other.rtcp_route() if other is not None and not other.muxed and not self.muxed else None
        self.rtp.shake_hands(() if rtp is None else (rtp,))
        self.rtcp.shake_hands(() if rtcp is None else (rtcp,))

    def request_key_frame(self, now: float) -> None:
        """Send this side a PLI if it sends plain video; at most one a second, the next by `tick`."""
        expected = self.expected
        if expected is None or expected.kind != "video" or expected.secure or self.source.ssrc is None:
            return  # who has sent nothing begins with a key frame anyway
        route = self.rtcp_route()
        self._key_frame_wanted = route is None or (self._asked is not None and now - self._asked < _KEY_FRAME_INTERVAL)
        if route is not None and not self._key_frame_wanted:
            self._asked = now
            self._counters["relay_key_frame_requests"] += 1
            channel = self.rtp if self.muxed else self.rtcp
            channel.send(rtp.picture_loss(self._ssrc, self.source.ssrc, _CNAME), route[1])

    def tick(self, now: float) -> None:
        """Send the requests for key frames that had to wait."""
        if self.closed:
            return
        due = bool(self._again) and self._again[0] <= now
        if due:
            del self._again[0]
        if due or self._key_frame_wanted:
            self.request_key_frame(now)

    def _rtp_moved(self) -> None:
        self.rtcp.learner.rtp_moved()
        self._changed()

    def close(self) -> None:
        """Stop reading; the ports go back to the pool by whoever took them."""
        if not self.closed:
            self.closed = True
            self.rtp.close()
            self.rtcp.close()
            # No cycle of references stays behind: who relays all day would wait for the collector with a lot of them.
            self._changed = nobody
            self._edit_send = _send_nothing

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
