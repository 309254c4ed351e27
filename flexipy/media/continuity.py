"""One stream for the caller's ears, whoever leads: SSRC, sequence numbers and timestamps go on; sans-IO.

The first leader's packets pass as they are. Those of a later one are given the SSRC that the caller knows, and numbers
that continue those sent before; RTCP is translated to match, both ways. A leader that said BYE has ended its source:
the next one passes as it is again, as a new source.

A leader may send several sources. One that comes when the other has ended continues it. One beside it is kept apart:
of audio it passes as it is; of video it is what repairs the first (RFC 4588, RFC 5109), which names packets by the
numbers that they have no more, and is left out.
"""

import struct

from flexipy.media import rtcp, rtp
from flexipy.media.rtcp import Translation
from flexipy.media.statistics import MAX_DROPOUT, MAX_MISORDER, Source

_HEADER = struct.Struct("!BBHI4s")
_HALF = 0x80000000
_MARKER = 0x80
_ENDED = 0.5
"""Seconds of silence after which a source counts as ended, and another continues it whatever it is."""
_MOST_APART = 16


class Continuity:
    """What the caller has been sent in one stream.

    Attributes:
        rewriting: whether the packets of the present leader are changed; else they pass as they are.
        final: whether the present leader is the winner: its BYE is the end of the stream.
        video: in video the marker bit ends a frame (RFC 6184 section 5.1) and is left alone; in audio it begins a
            talkspurt (RFC 3551 section 4.1), which is what a change of leader is.

    """

    __slots__ = (
        "_apart",
        "_at",
        "_ended",
        "_kinds",
        "_next",
        "_replaced",
        "_source",
        "_ssrc",
        "_timestamp",
        "_translation",
        "final",
        "rewriting",
        "video",
    )

    def __init__(self) -> None:
        self.rewriting = False
        self.final = False
        self._ended = False
        self._ssrc: bytes | None = None
        self._next = 0
        self._timestamp = 0
        self._at = 0.0
        self._source = Source()
        self.video = False
        self._translation: Translation | None = None
        self._replaced: Translation | None = None
        self._kinds: set[int] = set()
        self._apart: set[bytes] = set()

    def passed(self, source: Source) -> None:
        """Note that a leader's packets passed as they are until now, when it stops to lead.

        Args:
            source: what it sent; the last packet of it has been passed on.

        """
        if self.rewriting or source.ssrc is None:
            return
        self._ssrc = source.ssrc
        self._next = source.next
        self._timestamp = rtp.timestamp_of(source.last)
        self._at = source.at

    def lead(self, source: Source) -> None:
        """Begin with another leader.

        Args:
            source: what it sends, for its clock rates.

        """
        if self._ended:
            self._ssrc = None
            self._ended = False
        self._source = source
        self._translation = self._replaced = None
        self._kinds.clear()
        self._apart.clear()
        self.rewriting = self._ssrc is not None

    def rewrite(self, packet: bytes, now: float) -> bytes | None:
        """Make the leader's RTP packet one that continues the caller's stream.

        Args:
            packet: with a whole RTP header.
            now: seconds of a steady clock.

        Returns:
            None for a packet from before the leader's first, whose number is taken, and for what repairs others.

        """
        if self._ssrc is None:
            return packet
        translation = self._translation
        sequence = packet[2] << 8 | packet[3]
        timestamp = int.from_bytes(packet[4:8], "big")
        flags = packet[1]
        late = False
        if translation is not None and packet.startswith(translation.theirs, 8):
            ahead = sequence - translation.next & 0xFFFF
            if ahead > 0xFFFF - MAX_MISORDER:
                if 0x10000 - ahead > translation.span:
                    return None
                late = True
            elif ahead > MAX_DROPOUT:
                translation = None  # it started anew
        else:
            if translation is not None and self._is_apart(packet, sequence, now):
                known = self.video or self._is_late(packet, sequence) or packet.startswith(self._ssrc, 8)
                return None if known else packet
            self._replace(translation)
            translation = None
        if translation is None:
            translation = self._begin(packet[8:12], sequence, timestamp, flags & 0x7F, now)
            if not self.video:
                flags |= _MARKER
        out = sequence + translation.sequence_offset & 0xFFFF
        out_timestamp = timestamp + translation.timestamp_offset & 0xFFFFFFFF
        if not late:
            translation.span += (sequence - translation.next & 0xFFFF) + 1
            translation.next = sequence + 1 & 0xFFFF
            self._next = out + 1 & 0xFFFF
            if out_timestamp - self._timestamp & 0xFFFFFFFF < _HALF:
                self._timestamp = out_timestamp
            self._at = now
            self._kinds.add(flags & 0x7F)
        return _HEADER.pack(packet[0], flags, out, out_timestamp, self._ssrc) + packet[12:]

    def rewrite_rtcp(self, compound: bytes, _now: float) -> bytes | None:
        """Translate the leader's RTCP; None when nothing of it can be.

        Bit for bit as it is while the leader's RTP passes so.
        """
        if not self.rewriting or self._ssrc is None:
            self._ended = self._ended or rtcp.says_bye(compound)
            return compound
        return rtcp.toward_caller(compound, self._ssrc, self._translation, self.final)

    def rewrite_feedback(self, compound: bytes) -> bytes:
        """Translate the caller's RTCP for the leader, who must find its own SSRC and numbers there."""
        translation = self._translation
        if not self.rewriting or self._ssrc is None or translation is None:
            return compound
        return rtcp.toward_leader(compound, self._ssrc, translation)

    def _is_apart(self, packet: bytes, sequence: int, now: float) -> bool:
        """Whether a packet of another SSRC than before belongs to a source beside it."""
        if self._is_late(packet, sequence):
            return True
        if now - self._at >= _ENDED:
            return False
        return packet[8:12] in self._apart or packet[1] & 0x7F not in self._kinds

    def _is_late(self, packet: bytes, sequence: int) -> bool:
        """Whether a packet was sent before another source took the place of its own."""
        old = self._replaced
        return (
            old is not None
            and packet.startswith(old.theirs, 8)
            and (sequence - old.next & 0xFFFF) > 0xFFFF - MAX_MISORDER
        )

    def _replace(self, old: Translation | None) -> None:
        self._replaced = old
        self._kinds.clear()
        if old is None:
            return
        if len(self._apart) >= _MOST_APART:
            self._apart.clear()
        self._apart.add(old.theirs)  # should it speak again, both go on side by side

    def _begin(self, ssrc: bytes, sequence: int, timestamp: int, payload_type: int, now: float) -> Translation:
        passed = int((now - self._at) * self._source.rate_of(payload_type))
        started = self._timestamp + max(1, passed) & 0xFFFFFFFF
        self._translation = Translation(
            theirs=ssrc,
            sequence_offset=self._next - sequence & 0xFFFF,
            timestamp_offset=started - timestamp & 0xFFFFFFFF,
            next=sequence,
        )
        return self._translation
