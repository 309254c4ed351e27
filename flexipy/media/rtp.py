"""Reading the headers of what arrives on a media port; sans-IO.

RTP and RTCP are RFC 3550, both on one port RFC 5761 section 4, STUN, DTLS and ZRTP beside them RFC 7983 section 7.
"""

import struct
from collections.abc import Iterator, Mapping

from flexipy.transport import stun

RTP, RTCP, OTHER, MALFORMED = range(4)
"""What a datagram is. OTHER is STUN, DTLS or ZRTP."""

RTP_HEADER = 12  # RFC 3550 section 5.1, without contributing sources
RTCP_HEADER = 8  # RFC 3550 section 6.4, with the sender's SSRC
SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = range(200, 208)
_MARKER = 0x80
_PLI = 1  # RFC 4585 section 6.3.1
_CNAME = 1  # RFC 3550 section 6.5.1
_BINDING_REQUEST = b"\x00\x01"
_USERNAME = 0x0006
_USE_CANDIDATE = 0x0025
_STUN_HEADER = 20

# RFC 3551 table 4 and 5; 9 is G.722, which counts 8000 by an old mistake.
STATIC_CLOCK_RATES = {5: 8000, 6: 16000, 10: 44100, 11: 44100, 14: 90000, 16: 11025, 17: 22050} | dict.fromkeys(
    (25, 26, 28, 31, 32, 33, 34), 90000
)
_FIRST_DYNAMIC = 96
_AUDIO_RATE = 8000
_OPUS_RATE = 48000
_VIDEO_RATE = 90000


def classify(datagram: bytes) -> int:
    """Tell RTP, RTCP and the protocols beside them apart.

    Returns:
        RTP, RTCP, OTHER, or MALFORMED for what is too short or of no known protocol.

    Source: RFC 7983 section 7; RFC 5761 section 4.

    """
    if not datagram:
        return MALFORMED
    first = datagram[0]
    if first >> 6 == 2:
        if len(datagram) >= RTCP_HEADER and 192 <= datagram[1] <= 223:
            return RTCP
        return RTP if len(datagram) >= RTP_HEADER else MALFORMED
    if first <= 3:
        return OTHER if stun.is_stun(datagram) else MALFORMED
    return OTHER if 16 <= first <= 63 else MALFORMED


def sequence_of(packet: bytes) -> int:
    """Sequence number of an RTP packet."""
    return packet[2] << 8 | packet[3]


def timestamp_of(packet: bytes) -> int:
    """Timestamp of an RTP packet."""
    return int.from_bytes(packet[4:8], "big")


def second_bytes(payload_types: Mapping[int, int]) -> dict[int, bytes]:
    """What replaces the second byte of an RTP header, marker and payload type (RFC 3550 section 5.1), by what it is."""
    return {
        marker | old: bytes((marker | new,))
        for old, new in payload_types.items()
        for marker in (0, _MARKER)
        if new < 128
    }


def renumbered(packet: bytes, replacements: dict[int, bytes]) -> bytes:
    """An RTP packet with another payload type, where that of it has a replacement; anything else as it is."""
    if len(packet) < RTP_HEADER or packet[0] & 0xC0 != 0x80:
        return packet
    second = replacements.get(packet[1])
    return packet if second is None else packet[:1] + second + packet[2:]


def is_handshake(datagram: bytes) -> bool:
    """Whether what is neither RTP nor RTCP belongs to an agreement on keys between two: DTLS, or ZRTP.

    Source: RFC 7983 section 7.

    """
    return 16 <= datagram[0] <= 63


def clock_rate(payload_type: int, kind: str) -> int:
    """The RTP clock of a payload type that SDP gave no clock for, in Hz.

    Source: RFC 3551 section 6; for dynamic types that of Opus (RFC 7587 section 4.1), or 90000 for video.

    """
    if kind == "video":
        return _VIDEO_RATE
    if payload_type >= _FIRST_DYNAMIC:
        return _OPUS_RATE
    return STATIC_CLOCK_RATES.get(payload_type, _AUDIO_RATE)


def rtcp_packets(compound: bytes) -> Iterator[tuple[int, int, int]]:
    """The packets of a compound RTCP packet: (type, start, end).

    Ends before the first that is of another version or reaches beyond the datagram; the caller sees by the last
    `end` whether all was read.

    Source: RFC 3550 section 6.1 and 6.4.

    """
    position = 0
    size = len(compound)
    while position + 4 <= size and compound[position] >> 6 == 2:
        end = position + 4 + 4 * (compound[position + 2] << 8 | compound[position + 3])
        if end > size:
            return
        yield compound[position + 1], position, end
        position = end


def stun_check(datagram: bytes) -> tuple[str, bool] | None:
    """Read an ICE connectivity check.

    Returns:
        The USERNAME ("receiver's ufrag:sender's ufrag") and whether USE-CANDIDATE is there; None for anything but
        a STUN binding request with a USERNAME.

    Source: RFC 8445 section 7.2.2; RFC 8489 section 5 and 14.3.

    """
    if not stun.is_stun(datagram) or datagram[:2] != _BINDING_REQUEST:
        return None
    username: str | None = None
    nominated = False
    end = _STUN_HEADER + (datagram[2] << 8 | datagram[3])
    position = _STUN_HEADER
    while position + 4 <= end:
        kind, size = struct.unpack_from("!HH", datagram, position)
        position += 4
        if position + size > end:
            return None
        if kind == _USERNAME:
            username = datagram[position : position + size].decode("utf-8", "replace")
        elif kind == _USE_CANDIDATE:
            nominated = True
        position += size + 3 & ~3
    return None if username is None else (username, nominated)


def picture_loss(own_ssrc: bytes, media_ssrc: bytes, name: bytes) -> bytes:
    """A request for a key frame: RR without reports, SDES with the CNAME, PLI.

    Args:
        own_ssrc: ours, four bytes.
        media_ssrc: that of the video, four bytes.
        name: the CNAME, below 256 bytes.

    Source: RFC 4585 section 3.1 and 6.3.1; RFC 3550 section 6.1.

    """
    chunk = own_ssrc + bytes((_CNAME, len(name))) + name
    chunk += bytes(4 - len(chunk) % 4)  # at least one zero ends the list
    receiver_report = struct.pack("!BBH", 0x80, RR, 1) + own_ssrc
    description = struct.pack("!BBH", 0x81, SDES, len(chunk) // 4) + chunk
    return receiver_report + description + struct.pack("!BBH", 0x80 | _PLI, PSFB, 2) + own_ssrc + media_ssrc
