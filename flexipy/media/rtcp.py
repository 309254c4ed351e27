"""Translating RTCP between a leader and the caller who knows it by another SSRC and other numbers; sans-IO.

RFC 3550 section 6, RFC 4585 section 6, RFC 5104 section 4, RFC 3611. What cannot be translated is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass

from flexipy.media import rtp

_BLOCK = 24  # RFC 3550 section 6.4.1
_SR_BLOCKS = 28
_RR_BLOCKS = 8
_GENERIC_NACK = 1  # RFC 4585 section 6.2.1
_TMMBR = 3  # RFC 5104 section 4.2
_TMMBN = 4
_FIR = 4  # RFC 5104 section 4.3.1
_SENDER_FIRST = frozenset({rtp.SR, rtp.RR, rtp.APP, rtp.RTPFB, rtp.PSFB, rtp.XR})
_REPORTS = frozenset({rtp.SR, rtp.RR})


@dataclass(slots=True)
class Translation:
    """From a leader's numbers to the caller's.

    Attributes:
        theirs: the leader's SSRC, four bytes.
        sequence_offset: added to its sequence numbers, modulo 2^16.
        timestamp_offset: added to its timestamps, modulo 2^32.
        next: its sequence number after the highest so far.
        span: how many numbers before `next` belong to this translation.

    """

    theirs: bytes
    sequence_offset: int
    timestamp_offset: int
    next: int
    span: int = 0


def says_bye(compound: bytes) -> bool:
    """Whether a source ends."""
    return any(kind == rtp.BYE for kind, _, _ in rtp.rtcp_packets(compound))


def toward_caller(compound: bytes, ours: bytes, translation: Translation | None, final: bool) -> bytes | None:
    """Translate what a leader sends.

    Args:
        compound: one or more RTCP packets.
        ours: the SSRC that the caller knows.
        translation: None while the leader has sent no RTP.
        final: whether BYE is passed on.

    Returns:
        None when nothing is left, or the report at the beginning could not be translated.

    """
    kept = bytearray()
    for kind, start, end in rtp.rtcp_packets(compound):
        packet = bytearray(compound[start:end])
        if _translate(kind, packet, ours, translation, final):
            kept += packet
        elif kind in _REPORTS and not start:
            return None
    return bytes(kept) or None


def _translate(kind: int, packet: bytearray, ours: bytes, translation: Translation | None, final: bool) -> bool:
    if kind == rtp.SDES:
        return _translate_description(packet, ours, translation)
    if kind == rtp.BYE:
        return final and _translate_bye(packet, ours, translation)
    if kind not in _SENDER_FIRST or len(packet) < rtp.RTCP_HEADER:
        return False
    if translation is not None and packet[4:8] != translation.theirs:
        return False
    packet[4:8] = ours
    if kind == rtp.SR:
        if translation is None or len(packet) < _SR_BLOCKS:
            return False
        timestamp = int.from_bytes(packet[16:20], "big") + translation.timestamp_offset
        packet[16:20] = (timestamp & 0xFFFFFFFF).to_bytes(4, "big")
    return True


def _translate_bye(packet: bytearray, ours: bytes, translation: Translation | None) -> bool:
    if packet[0] & 0x1F != 1 or len(packet) < 8 or translation is None or packet[4:8] != translation.theirs:
        return False
    packet[4:8] = ours
    return True


def _translate_description(packet: bytearray, ours: bytes, translation: Translation | None) -> bool:
    """One chunk, that of the leader; mixers' lists of many are left out."""
    if packet[0] & 0x1F != 1 or len(packet) < 8:
        return False
    if translation is not None and packet[4:8] != translation.theirs:
        return False
    packet[4:8] = ours
    return True


def toward_leader(compound: bytes, ours: bytes, translation: Translation) -> bytes:
    """Translate what the caller reports and asks back to the leader's SSRC and sequence numbers.

    Reports on packets that a former leader sent are left out; what does not concern the stream is kept as it is.
    """
    kept = bytearray()
    last = 0
    for kind, start, last in rtp.rtcp_packets(compound):
        packet = bytearray(compound[start:last])
        translate = _BACK.get(kind)
        if translate is not None:
            packet = translate(packet, ours, translation)
        kept += packet
    return bytes(kept) + compound[last:]


def _report_back(packet: bytearray, ours: bytes, translation: Translation) -> bytearray:
    first = _SR_BLOCKS if packet[1] == rtp.SR else _RR_BLOCKS
    count = packet[0] & 0x1F
    end = first + count * _BLOCK
    if end > len(packet):
        return packet
    blocks = bytearray()
    for position in range(first, end, _BLOCK):
        block = packet[position : position + _BLOCK]
        if block[:4] == ours:
            sequence = int.from_bytes(block[10:12], "big") - translation.sequence_offset & 0xFFFF
            if not 0 < translation.next - sequence & 0xFFFF <= translation.span:
                continue
            block[:4] = translation.theirs
            block[10:12] = sequence.to_bytes(2, "big")
        blocks += block
    packet[first:end] = blocks
    packet[0] = packet[0] & 0xE0 | len(blocks) // _BLOCK
    packet[2:4] = (len(packet) // 4 - 1).to_bytes(2, "big")
    return packet


def _transport_back(packet: bytearray, ours: bytes, translation: Translation) -> bytearray:
    if packet[8:12] == ours:
        packet[8:12] = translation.theirs
        if packet[0] & 0x1F == _GENERIC_NACK:
            for position in range(12, len(packet) - 3, 4):
                sequence = int.from_bytes(packet[position : position + 2], "big") - translation.sequence_offset
                packet[position : position + 2] = (sequence & 0xFFFF).to_bytes(2, "big")
    if packet[0] & 0x1F in (_TMMBR, _TMMBN):
        _replace(packet, 12, 8, ours, translation.theirs)
    return packet


def _payload_back(packet: bytearray, ours: bytes, translation: Translation) -> bytearray:
    if packet[8:12] == ours:
        packet[8:12] = translation.theirs
    if packet[0] & 0x1F == _FIR:
        _replace(packet, 12, 8, ours, translation.theirs)
    elif packet[12:16] == b"REMB":  # draft-alvestrand-rmcat-remb-03 section 2.2
        _replace(packet, 20, 4, ours, translation.theirs)
    return packet


def _replace(packet: bytearray, first: int, step: int, old: bytes, new: bytes) -> None:
    for position in range(first, len(packet) - 3, step):
        if packet[position : position + 4] == old:
            packet[position : position + 4] = new


_BACK: dict[int, Callable[[bytearray, bytes, Translation], bytearray]] = {
    rtp.SR: _report_back,
    rtp.RR: _report_back,
    rtp.RTPFB: _transport_back,
    rtp.PSFB: _payload_back,
}
