"""A moving picture in H.264: made in pieces that are RTP payloads (RFC 6184), and put together and decoded again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise

from tests.harness.programs import missing

try:
    import av
except ImportError:  # pragma: no cover
    av = None  # type: ignore[assignment, unused-ignore]

WIDTH, HEIGHT = 352, 288
FPS = 15
_FRAMES = 2 * FPS  # before it begins anew
_STAP_A, FU_A = 24, 28
_FRAGMENT = 100  # bytes
_START = b"\0\0\0\1"
_BAR = 40  # pixels wide
_STEP = WIDTH * 2 // _FRAMES  # pixels that the bar moves, twice across in all
_MOVED = 200  # bytes of brightness that differ in two pictures of something that moves


@cache
def film() -> tuple[tuple[bytes, ...], ...]:
    """The NAL units of each picture of a bright bar that wanders along a wall; each second has a key frame.

    Each fits into a packet, which packetization mode 0 asks for and mode 1 allows.
    """
    need_av()
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, FPS), Fraction(FPS, 1)
    codec.gop_size, codec.max_b_frames = FPS, 0
    codec.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "profile": "baseline",
        "x264-params": "slice-max-size=1000",
    }
    return tuple(tuple(_nals(bytes(packet))) for frame in _frames() for packet in codec.encode(frame))


def fragments_of(units: Sequence[bytes]) -> list[bytes]:
    """NAL units as packetization mode 1 may have them: larger ones in two fragments (RFC 6184 section 5.8)."""
    payloads: list[bytes] = []
    for unit in units:
        if len(unit) <= _FRAGMENT:
            payloads.append(unit)
            continue
        indicator, kind = unit[0] & 0xE0 | FU_A, unit[0] & 0x1F
        middle = len(unit) // 2
        payloads.append(bytes((indicator, 0x80 | kind)) + unit[1:middle])
        payloads.append(bytes((indicator, 0x40 | kind)) + unit[middle:])
    return payloads


def need_av() -> None:
    """Skip the test where PyAV is missing."""
    if av is None:
        missing("PyAV is not installed: pip install '.[test]'")


class Viewer:
    """Puts payloads together again and decodes what they hold.

    Attributes:
        pictures: how many were decoded.
        moved: how many of them showed something else than the one before.
        broken: packets that could not be decoded.
    """

    def __init__(self) -> None:
        need_av()
        self.pictures = 0
        self.moved = 0
        self.broken = 0
        self._codec = av.CodecContext.create("h264", "r")
        self._unit = b""
        self._before = b""
        self._begun = False
        self._next: int | None = None

    def take(self, sequence: int, payload: bytes, marker: bool) -> None:
        """Take the payload of an RTP packet; the marker says that a picture ends with it."""
        if self._next is not None and sequence != self._next:
            self._unit, self._begun = b"", False  # something is missing: wait for a key frame
        self._next = sequence + 1 & 0xFFFF
        for piece in _unpacked(payload):
            self._unit += piece
        if marker:
            self._decode()

    def _decode(self) -> None:
        unit, self._unit = self._unit, b""
        self._begun = self._begun or any(nal[0] & 0x1F == 7 for nal in _nals(unit))
        if not self._begun:
            return  # nothing can be seen before the first parameter set
        try:
            frames = self._codec.decode(av.Packet(unit))
        except av.error.FFmpegError:
            self.broken += 1
            return
        for frame in frames:
            plane = bytes(frame.planes[0])[::97]
            changed = sum(abs(now - before) > 40 for now, before in zip(plane, self._before, strict=False))
            self.moved += changed * 97 > _MOVED
            self.pictures += 1
            self._before = plane


def _frames() -> Iterator[av.VideoFrame]:
    # A patterned wall, so that a key frame fills several packets.
    wall = [bytes(40 + (column // 8 * 7 ^ row // 8 * 13) % 64 for column in range(WIDTH)) for row in range(HEIGHT)]
    for number in range(_FRAMES):
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        brightness, *colours = frame.planes
        left = number * _STEP % (WIDTH - _BAR)
        rows = (row[:left] + bytes([230]) * _BAR + row[left + _BAR :] for row in wall)
        brightness.update(b"".join(row.ljust(brightness.line_size, b"\0") for row in rows))
        for colour in colours:
            colour.update(bytes([128]) * colour.buffer_size)
        yield frame


def _nals(stream: bytes) -> Iterator[bytes]:
    starts = []
    at = stream.find(b"\0\0\1")
    while at >= 0:
        starts.append(at)
        at = stream.find(b"\0\0\1", at + 3)
    for begin, end in pairwise([*starts, len(stream)]):
        nal = stream[begin + 3 : end].rstrip(b"\0")
        if nal:
            yield nal


def _unpacked(payload: bytes) -> Iterator[bytes]:
    kind = payload[0] & 0x1F
    if kind == _STAP_A:
        at = 1
        while at + 2 <= len(payload):
            size = int.from_bytes(payload[at : at + 2], "big")
            yield _START + payload[at + 2 : at + 2 + size]
            at += 2 + size
    elif kind == FU_A:
        if payload[1] & 0x80:
            yield _START + bytes((payload[0] & 0xE0 | payload[1] & 0x1F,))
        yield payload[2:]
    else:
        yield _START + payload
