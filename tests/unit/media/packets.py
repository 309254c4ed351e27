"""RTP, RTCP and STUN packets for tests."""

import struct


def rtp(sequence: int = 1, timestamp: int = 160, ssrc: int = 0xA, kind: int = 0, payload: bytes = b"media") -> bytes:
    return struct.pack("!BBHII", 0x80, kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def rtcp(kind: int, body: bytes, count: int = 0) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def sender_report(ssrc: int, timestamp: int = 160, blocks: bytes = b"") -> bytes:
    return rtcp(200, struct.pack("!IQIII", ssrc, 0x1122334455667788, timestamp, 7, 700) + blocks, len(blocks) // 24)


def receiver_report(ssrc: int, blocks: bytes = b"") -> bytes:
    return rtcp(201, ssrc.to_bytes(4, "big") + blocks, len(blocks) // 24)


def block(ssrc: int, highest: int) -> bytes:
    return struct.pack("!IIIIII", ssrc, 0, highest, 3, 4, 5)


def description(ssrc: int) -> bytes:
    return rtcp(202, ssrc.to_bytes(4, "big") + b"\x01\x02me" + bytes(4), 1)


def bye(ssrc: int) -> bytes:
    return rtcp(203, ssrc.to_bytes(4, "big"), 1)


def feedback(kind: int, form: int, sender: int, media: int, information: bytes = b"") -> bytes:
    return rtcp(kind, struct.pack("!II", sender, media) + information, form)


def check(username: str, nominated: bool = False) -> bytes:
    """An ICE connectivity check."""
    name = username.encode()
    body = struct.pack("!HH", 0x0006, len(name)) + name + bytes(-len(name) % 4)
    if nominated:
        body += struct.pack("!HH", 0x0025, 0)
    return struct.pack("!HHI12s", 0x0001, len(body), 0x2112A442, b"transaction!") + body


DTLS = bytes([22, 254, 253]) + bytes(40)
ZRTP = bytes([16, 0]) + bytes(30)
