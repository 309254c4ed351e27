"""Less than what was sent, for a receiver that cannot take it all: no H.264 pictures but key frames, no dialled digits.

Sans-IO. What is left gets sequence numbers without gaps, or the receiver would count what was taken out as lost.
"""

from __future__ import annotations

from flexipy.media.rtp import RTP, classify, sequence_of, timestamp_of

# NAL unit types of RFC 6184 section 5.2.
_SLICE_TYPES = frozenset((1, 2, 3, 4))
_KEY_FRAME = 5
_AGGREGATE = 24
_FRAGMENTS = frozenset((28, 29))
_SEQUENCES = 1 << 16


class Thinner:
    """Decides packet by packet toward one receiver.

    Args:
        pictures: payload types of H.264, of which only key frames pass; empty: all pass.
        every: of the key frames every n-th passes, 1 or more.
        dropped: payload types of which nothing passes.
    """

    __slots__ = ("_dropped", "_every", "_gap", "_keeps", "_number", "_pictures", "_ssrc", "_timestamp")

    def __init__(self, pictures: frozenset[int], every: int, dropped: frozenset[int]) -> None:
        self._pictures = pictures
        self._every = every
        self._dropped = dropped
        self._gap = 0
        self._ssrc = b""
        self._timestamp: int | None = None
        self._number = -1
        self._keeps = True

    def thin(self, packet: bytes) -> bytes | None:
        """What to send in place of a packet; None: nothing. What is no RTP passes as it is."""
        if classify(packet) != RTP:
            return packet
        ssrc = packet[8:12]
        if ssrc != self._ssrc:
            self._ssrc = ssrc
            self._gap = 0
            self._timestamp = None
        kind = packet[1] & 0x7F
        if kind in self._dropped or (kind in self._pictures and not self._passes(packet)):
            self._gap += 1
            return None
        if not self._gap:
            return packet
        sequence = (sequence_of(packet) - self._gap) % _SEQUENCES
        return packet[:2] + sequence.to_bytes(2, "big") + packet[4:]

    def _passes(self, packet: bytes) -> bool:
        kinds = _units(packet)
        if _KEY_FRAME not in kinds:
            return _SLICE_TYPES.isdisjoint(kinds)  # parameter sets and the like
        timestamp = timestamp_of(packet)
        if timestamp != self._timestamp:
            self._timestamp = timestamp
            self._number += 1
            self._keeps = self._number % self._every == 0
        return self._keeps


def _units(packet: bytes) -> frozenset[int]:
    """The types of the NAL units in a packet, of a fragment that of the whole (RFC 6184 sections 5.6 to 5.8)."""
    start = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10 and len(packet) >= start + 4:
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    if len(packet) <= start:
        return frozenset()
    kind = packet[start] & 0x1F
    if kind in _FRAGMENTS:
        return frozenset((packet[start + 1] & 0x1F,)) if len(packet) > start + 1 else frozenset()
    if kind != _AGGREGATE:
        return frozenset((kind,))
    found: set[int] = set()
    at = start + 1
    while at + 2 < len(packet):
        found.add(packet[at + 2] & 0x1F)
        at += 2 + int.from_bytes(packet[at : at + 2], "big")
    return frozenset(found)
