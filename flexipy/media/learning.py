"""Where a side of a stream really is: NAT makes its packets come from elsewhere than SDP says; sans-IO.

A lock once taken is kept. It is taken by the address that SDP announced, else by the host that the SIP messages come
from, else by whoever sends plausible media, but by him only after `GRACE` seconds in which the announced address kept
silent, and only until one of those two speaks. The lock moves when SDP announces another address, with a packet that
continues the locked source from a new address (a NAT that forgot, a phone that changed networks), and with an ICE
check that carries that side's ufrag.
"""

import ipaddress
from collections.abc import Callable

from flexipy.media import rtp
from flexipy.media.statistics import Source
from flexipy.media.terms import RTP_KINDS, Address, Expected
from flexipy.transport.addresses import normalize_ip

GRACE = 0.25
"""Seconds that the announced address has for itself, and that a silent ICE path is kept."""
WINDOW = 500
"""Packets that may be lost while a source changes its address: about a second of video."""

STRANGER, PASS, LOCK = range(3)
"""What to do with a packet: drop it, take it, or take it and send to where it came from."""

_NONE, _ANYBODY, _SIGNALLING, _ANNOUNCED = range(4)
"""How well founded a lock is."""


def known_ip(ip: str | None, signalling_ip: str | None) -> str | None:
    """The canonical text of an address that media may be sent to, else None.

    Whoever may call chooses what SDP says. He gets no packets sent to a group of hosts, nor to programs on this one,
    unless he is on it himself.

    Args:
        ip: as SDP says.
        signalling_ip: where the SIP messages come from, canonical.
    """
    canonical = normalize_ip(ip) if ip else None
    if canonical is None:
        return None
    address = ipaddress.ip_address(canonical)
    if address.is_unspecified or address.is_multicast:
        return None
    if address.is_loopback and not (signalling_ip and ipaddress.ip_address(signalling_ip).is_loopback):
        return None
    return canonical


class RtpLearner:
    """The remote end of an RTP port."""

    __slots__ = ("_announced", "_expected", "_former", "_owns", "_rank", "_signalling", "_since", "locked")

    def __init__(self, owns: Callable[[str, int], bool]) -> None:
        """Begin to learn.

        Args:
            owns: whether a socket of the relay is bound to an address. Nothing is taken from there: descriptions
                that name our own ports on both sides of a call would send a packet around for ever.

        """
        self.locked: Address | None = None
        """Where that side is; packets from there need no judging."""
        self._announced: tuple[str, int] | None = None
        self._expected: Expected | None = None
        self._owns = owns
        self._signalling: str | None = None
        self._former: Address | None = None
        self._rank = _NONE
        self._since = 0.0

    def expect(self, expected: Expected, now: float) -> None:
        """Take over what SDP says; another address than before opens the lock."""
        signalling = normalize_ip(expected.signalling_ip)
        ip = known_ip(expected.ip, signalling)
        announced = (ip, expected.port) if ip and expected.port else None
        first = self._expected is None
        changed = first or announced != self._announced or (expected.ice_ufrag != self._ufrag)
        self._expected = expected
        self._announced = announced
        self._signalling = signalling
        if not expected.port:
            self.locked, self._rank = None, _NONE
        elif changed:
            self._since = now
            if self.locked is not None and self.locked[:2] == announced:
                self._rank = _ANNOUNCED
            else:
                self._former, self.locked, self._rank = self.locked, None, _NONE

    @property
    def _ufrag(self) -> str | None:
        return self._expected.ice_ufrag if self._expected is not None else None

    @property
    def destination(self) -> tuple[str, int] | Address | None:
        """Where to send: what is learnt, before that what was announced."""
        return self.locked or self._announced

    @property
    def announced(self) -> tuple[str, int] | None:
        """What SDP said, when that can be sent to."""
        return self._announced

    def judge(self, packet: bytes, address: Address, source: Source, heard: float, now: float) -> int:
        """Decide on a packet that does not come from the locked address.

        Args:
            packet: the datagram.
            address: where it came from.
            source: what this side sent so far.
            heard: when the last packet of the locked address came.
            now: the time on the same clock.

        Returns:
            STRANGER, PASS or LOCK; with LOCK `locked` is set already.

        """
        expected = self._expected
        if expected is None or not expected.port:
            return STRANGER
        kind = rtp.classify(packet) if expected.kind in RTP_KINDS else rtp.OTHER
        if kind == rtp.MALFORMED:
            return STRANGER
        if self._ufrag is not None and kind == rtp.OTHER:
            verdict = self._judge_check(packet, address, heard, now)
            if verdict != STRANGER:
                return verdict
        rank = self._rank_of(packet, kind, address, now)
        if rank > self._rank and (self._rank <= _ANYBODY or rank == _ANNOUNCED):
            if address == self._former and now - self._since < GRACE and rank != _ANNOUNCED:
                return PASS  # still on its way from before the address changed
            return self._lock(address, rank)
        if self.locked is not None and kind == rtp.RTP and source.continues(packet, WINDOW):
            return self._lock(address, self._rank)
        return STRANGER

    def _rank_of(self, packet: bytes, kind: int, address: Address, now: float) -> int:
        if address[:2] == self._announced:
            return _ANNOUNCED
        plausible = kind == rtp.RTP and self._plausible(packet)
        if address[0] == self._signalling and (plausible or kind != rtp.RTP):
            return _SIGNALLING
        return _ANYBODY if plausible and now - self._since >= GRACE else _NONE

    def _plausible(self, packet: bytes) -> bool:
        expected = self._expected
        return expected is not None and (not expected.payload_types or packet[1] & 0x7F in expected.payload_types)

    def _judge_check(self, packet: bytes, address: Address, heard: float, now: float) -> int:
        """An ICE check: RFC 8445 section 7.3, 8.1.1 and RFC 7675 for those after the first."""
        check = rtp.stun_check(packet)
        if check is None or check[0].rpartition(":")[2] != self._ufrag:
            return STRANGER
        if self.locked is None or check[1] or now - heard >= GRACE:
            return self._lock(address, _ANNOUNCED)
        return PASS  # one of several paths that are tried; the one in use goes on

    def _lock(self, address: Address, rank: int) -> int:
        if self._owns(address[0], address[1]):
            return STRANGER
        self.locked = address
        self._rank = rank
        self._former = None
        return LOCK


class RtcpLearner:
    """The remote end of an RTCP port; it follows the RTP port's when it has not learnt otherwise."""

    __slots__ = ("_announced", "_expected", "_owns", "_rtp", "_signalling", "locked")

    def __init__(self, rtp_learner: RtpLearner, owns: Callable[[str, int], bool]) -> None:
        self._owns = owns
        self.locked: Address | None = None
        self._rtp = rtp_learner
        self._announced: tuple[str, int] | None = None
        self._expected: Expected | None = None
        self._signalling: str | None = None

    def expect(self, expected: Expected) -> None:
        """Take over what SDP says; another address than before opens the lock."""
        signalling = normalize_ip(expected.signalling_ip)
        ip = known_ip(expected.rtcp_ip or expected.ip, signalling)
        announced = (ip, expected.rtcp_port) if ip and expected.rtcp_port else None
        if announced != self._announced or expected.rtcp_mux:
            self.locked = None
        self._expected = expected
        self._announced = announced
        self._signalling = signalling

    def rtp_moved(self) -> None:
        """RTP is locked to another address: RTCP of another host is not that side's any more."""
        if self.locked is not None and self._rtp.locked is not None and self.locked[0] != self._rtp.locked[0]:
            self.locked = None

    @property
    def destination(self) -> tuple[str, int] | Address | None:
        """Where to send RTCP."""
        announced, rtp_locked = self._announced, self._rtp.locked
        if self.locked is not None or announced is None:
            return self.locked
        if rtp_locked is None or rtp_locked[0] == announced[0]:
            return announced
        if self._rtp.announced is not None and rtp_locked[1] == self._rtp.announced[1]:
            return (rtp_locked[0], announced[1])  # a NAT that keeps ports keeps this one too
        return None

    def judge(self, packet: bytes, address: Address, source: Source) -> int:
        """Decide on a packet that does not come from the locked address; see `RtpLearner.judge`."""
        expected = self._expected
        if expected is None or not expected.port or expected.rtcp_mux:
            return STRANGER
        kind = rtp.classify(packet) if expected.kind in RTP_KINDS else rtp.OTHER
        if kind not in (rtp.RTCP, rtp.OTHER):
            return STRANGER
        if self._theirs(packet, kind, address, source) and not self._owns(address[0], address[1]):
            self.locked = address
            return LOCK
        return STRANGER

    def _theirs(self, packet: bytes, kind: int, address: Address, source: Source) -> bool:
        if address[:2] == self._announced:
            return True
        locked = self._rtp.locked
        if locked is not None and address[0] != locked[0]:
            return self._check(packet) if kind == rtp.OTHER else False
        if locked is None:
            return self.locked is None and address[0] == self._signalling
        # Another port of the right host, which may be the NAT of many: by the sender's SSRC, or by its check.
        if kind == rtp.RTCP and source.ssrc is not None:
            return packet[4:8] == source.ssrc
        return self.locked is None or self._check(packet)

    def _check(self, packet: bytes) -> bool:
        ufrag = self._expected.ice_ufrag if self._expected is not None else None
        check = rtp.stun_check(packet) if ufrag else None
        return check is not None and check[0].rpartition(":")[2] == ufrag
