"""What the relay is told: its limits, and what a session description said of one side of one stream."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Address = tuple[Any, ...]
"""A socket address as the kernel gives it: (ip, port), or (ip, port, flow label, scope) for IPv6."""

Route = tuple[Callable[[bytes, Address], object], Address]
"""Where a copy goes: `sendto` of the socket it leaves by, and the destination."""

RTP_KINDS = frozenset({"audio", "video", "text"})
"""Media of SDP that are RTP; anything else (T.38 fax, data channels) is passed on unread."""


class RelayError(Exception):
    """A call cannot be relayed.

    Attributes:
        reason: "ports" when no pair of ports could be bound, "calls" when there are too many calls (or this one
            is over already).

    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """Limits of the relay.

    Attributes:
        first_port: lowest port to use; RTP gets even ports, RTCP the next.
        last_port: highest port to use.
        max_calls: calls at the same time; 0: no limit.
        inactivity: seconds without any packet from either side after which a call counts as dead.
        single: before the answer the caller gets the media of one branch, that which answered last.
        max_early: branches with early media at most, those which answered first; 0: no limit.

    """

    first_port: int = 1024
    last_port: int = 65535
    max_calls: int = 0
    inactivity: float = 3600.0
    single: bool = True
    max_early: int = 0


@dataclass(frozen=True, slots=True)
class Expected:
    """What SDP said of one side of one stream.

    Attributes:
        ip: where that side wants RTP, numeric; None, 0.0.0.0 or :: when it is not known: learn.
        port: its RTP port; 0: no media.
        rtcp_ip: where it wants RTCP; None: as `ip`. Equal to `ip` with `rtcp_mux`.
        rtcp_port: its RTCP port; 0: none. Equal to `port` with `rtcp_mux`.
        rtcp_mux: RTCP goes by the RTP port (RFC 5761).
        payload_types: what it may send; empty: any.
        secure: SRTP or DTLS: the packets are never touched.
        signalling_ip: where its SIP messages come from.
        ice_ufrag: its own ice-ufrag (RFC 8839 section 5.4) when it uses ICE.
        kind: the medium of the m= line; for reports, key frame requests, and clock rates not listed below.
        clock_rates: RTP clock in Hz by payload type, as a=rtpmap has it; for jitter and timestamps.

    """

    ip: str | None
    port: int
    rtcp_ip: str | None
    rtcp_port: int
    rtcp_mux: bool
    payload_types: frozenset[int]
    secure: bool
    signalling_ip: str
    ice_ufrag: str | None = None
    kind: str = "audio"
    clock_rates: Mapping[int, int] = field(default_factory=dict, hash=False)
