"""Loss and jitter of what one side sends, in a few integer operations per packet; sans-IO.

RFC 3550 appendix A.1, A.3 and A.8, with two liberties: a jump in the sequence numbers restarts the count at once, and
jitter looks at one packet per wake-up of the socket, which is each packet unless they come in bursts.
"""

from collections.abc import Mapping

from flexipy.media import rtp

MAX_DROPOUT = 3000  # RFC 3550 appendix A.1
MAX_MISORDER = 100
_HALF = 0x80000000


class Source:
    """The RTP source that one side sends at present."""

    __slots__ = (
        "_jitter",
        "_kind",
        "_payload_type",
        "_rate",
        "_rates",
        "_transit",
        "at",
        "last",
        "lost",
        "next",
        "ssrc",
    )

    def __init__(self) -> None:
        self.ssrc: bytes | None = None
        """Four bytes; None until a packet came."""
        self.next = -1
        """The sequence number after the highest so far; the hot path keeps it while packets come in order."""
        self.lost = 0
        """Packets missing so far, over all sources of this side."""
        self.last = b""
        """The packet read last."""
        self.at = 0.0
        """When it came."""
        self._jitter = 0.0
        self._transit: float | None = None
        self._payload_type = -1
        self._rate = 8000
        self._rates: Mapping[int, int] = {}
        self._kind = "audio"

    def describe(self, kind: str, clock_rates: Mapping[int, int]) -> None:
        """Take over what SDP says of clocks."""
        self._kind = kind
        self._rates = clock_rates
        self._payload_type = -1

    @property
    def jitter(self) -> float:
        """Interarrival jitter in milliseconds."""
        return self._jitter / self._rate * 1000

    def rate_of(self, payload_type: int) -> int:
        """The clock of a payload type in Hz."""
        return self._rates.get(payload_type) or rtp.clock_rate(payload_type, self._kind)

    def continues(self, packet: bytes, window: int) -> bool:
        """Whether an RTP packet is of this source and follows what came last by at most `window` packets."""
        if self.ssrc is None or packet[8:12] != self.ssrc:
            return False
        return rtp.sequence_of(packet) - self.next & 0xFFFF < window

    def jump(self, packet: bytes, sequence: int) -> None:
        """Note a packet that was not the next."""
        if self.ssrc is None or not packet.startswith(self.ssrc, 8):
            self._restart(packet)
        else:
            ahead = sequence - self.next & 0xFFFF
            if ahead < MAX_DROPOUT:
                self.lost += ahead
            elif ahead > 0xFFFF - MAX_MISORDER:  # late, or a second copy
                self.lost -= self.lost > 0
                return
        self.next = sequence + 1 & 0xFFFF

    def sample(self, packet: bytes, now: float) -> None:
        """Look at the last packet of a wake-up: who sends, and how evenly.

        Args:
            packet: an RTP packet.
            now: when it came, seconds of any steady clock.

        """
        self.last = packet
        self.at = now
        if self.ssrc is None or not packet.startswith(self.ssrc, 8):
            self._restart(packet)
        payload_type = packet[1] & 0x7F
        if payload_type != self._payload_type:
            self._payload_type = payload_type
            rate = self.rate_of(payload_type)
            self._jitter *= rate / self._rate
            self._rate = rate
            self._transit = None
        transit = now * self._rate - int.from_bytes(packet[4:8], "big")
        before = self._transit
        self._transit = transit
        if before is not None:
            difference = abs(transit - before)
            if difference < _HALF:  # the timestamp went once around
                self._jitter += (difference - self._jitter) / 16

    def _restart(self, packet: bytes) -> None:
        self.ssrc = packet[8:12]
        self._transit = None
