"""One end of a stream of audio or video: it sends a tone or a moving picture by RTP and decodes what it gets.

RFC 3550; G.711 A-law; dialled digits by RFC 4733; H.264 by RFC 6184.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import cycle
from typing import Self

from tests.harness.events import PATIENCE, Events, until
from tests.harness.picture import FPS, FU_A, Viewer, film, fragments_of
from tests.harness.tone import frequency_of

Address = tuple[str, int]

_RATE = 8000  # Hz
_SAMPLES = 160  # of 20 ms
_AUDIO_TYPE = 8
_LISTENED = _RATE // 2  # samples by which a tone is known
_PICTURE_CLOCK = 90000
_PICTURE_LOSS = 206  # RTCP payload-specific feedback (RFC 4585)
_TOLERANCE = 15  # Hz
_KEYS = "0123456789*#ABCD"
_DIGIT_PACKETS = 5
_LOUDNESS = 10  # dB below the loudest
_END = 0x80
_ENDS_SENT = 3  # RFC 4733 section 2.5.1.4
_LOWEST, _HIGHEST = 40000, 48998


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._receive(data)


class RtpEnd:
    """A pair of ports.

    Attributes:
        port: for RTP; RTCP has the next one.
        packets: that came.
        key_frames_wanted: how often the other side has asked for a key frame.
    """

    def __init__(self, payload_type: int) -> None:
        self.payload_type = payload_type
        self.port = 0
        self.packets = 0
        self.key_frames_wanted = 0
        self.to: Address | None = None
        self._ssrc = secrets.randbits(32)
        self._sequence = secrets.randbits(15)
        self._sockets: list[asyncio.DatagramTransport] = []
        self._sending: asyncio.Task[None] | None = None

    async def open(self, host: str) -> Self:
        """Take an even port and the next one."""
        loop = asyncio.get_running_loop()
        for port in range(_LOWEST + secrets.randbelow(2000) * 2, _HIGHEST, 2):
            try:
                rtp, _ = await loop.create_datagram_endpoint(lambda: _Socket(self._on_rtp), (host, port))
            except OSError:
                continue
            try:
                rtcp, _ = await loop.create_datagram_endpoint(lambda: _Socket(self._on_rtcp), (host, port + 1))
            except OSError:
                rtp.close()
                continue
            self._sockets = [rtp, rtcp]
            self.port = port
            return self
        raise AssertionError("no port is free")

    async def close(self) -> None:
        """Give the ports back."""
        await self.silent()
        for transport in self._sockets:
            transport.close()

    def send_to(self, to: Address) -> None:
        """Send there from now on, beginning now."""
        self.to = to
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def silent(self) -> None:
        """Send nothing more."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
            self._sending = None

    async def receives(self, more: int = 10) -> None:
        """Wait until more packets have come than up to now."""
        wanted = self.packets + more
        await until(lambda: self.packets >= wanted, f"{more} more packets to port {self.port}")

    def _emit(self, payload: bytes, timestamp: int, marker: bool = False, payload_type: int | None = None) -> None:
        kind = self.payload_type if payload_type is None else payload_type
        head = struct.pack("!BBHII", 0x80, marker << 7 | kind, self._sequence, timestamp & 0xFFFFFFFF, self._ssrc)
        self._sequence = self._sequence + 1 & 0xFFFF
        if self.to is not None:
            self._sockets[0].sendto(head + payload, self.to)

    def _on_rtp(self, data: bytes) -> None:
        if len(data) < 12 or data[0] & 0xC0 != 0x80 or 192 <= data[1] <= 223:
            return
        self.packets += 1
        start = 12 + 4 * (data[0] & 0x0F)
        if data[0] & 0x10:
            start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
        sequence, timestamp = struct.unpack_from("!HI", data, 2)
        if len(data) > start:
            self._take(data[1] & 0x7F, bool(data[1] & 0x80), sequence, timestamp, data[start:])

    def _on_rtcp(self, data: bytes) -> None:
        while len(data) >= 4:
            self.key_frames_wanted += data[1] == _PICTURE_LOSS
            data = data[4 + 4 * int.from_bytes(data[2:4], "big") :]

    def _take(self, kind: int, marker: bool, sequence: int, timestamp: int, payload: bytes) -> None:
        raise NotImplementedError

    async def _send(self) -> None:
        raise NotImplementedError


class AudioEnd(RtpEnd):
    """Says a tone and listens.

    Args:
        tone: in Hz.

    Attributes:
        digits: keys that the other side pressed, each once.
        digit_type: payload type of dialled digits.
    """

    def __init__(self, tone: int) -> None:
        super().__init__(_AUDIO_TYPE)
        self.tone = tone
        self.digit_type = 101
        self.digits: Events[str] = Events("dialled digits")
        self._heard: list[int] = []
        self._digit_at: int | None = None
        self._pressed: list[str] = []

    def _take(self, kind: int, marker: bool, sequence: int, timestamp: int, payload: bytes) -> None:
        if kind == self.digit_type and len(payload) >= 4:
            if timestamp != self._digit_at:
                self._digit_at = timestamp
                self.digits.add(_KEYS[payload[0]])
        elif kind == _AUDIO_TYPE:
            self._heard.extend(_FROM_ALAW[code] for code in payload)
            del self._heard[: -2 * _LISTENED]

    @property
    def heard(self) -> int:
        """The tone that came last, in Hz; 0 for silence or too little."""
        return frequency_of(self._heard[-_LISTENED:], _RATE) if len(self._heard) >= _LISTENED else 0

    async def hears(self, frequency: int) -> None:
        """Wait until that tone comes."""
        await until(lambda: abs(self.heard - frequency) <= _TOLERANCE, f"{frequency} Hz at port {self.port}")

    def hears_nothing_more(self) -> None:
        """Forget what was heard up to now."""
        self._heard.clear()

    def press(self, key: str) -> None:
        """Press a key of the telephone; the other side gets it as a named event."""
        self._pressed.append(key)

    async def digit(self, timeout: float = PATIENCE) -> str:
        """Wait for the next key that the other side presses."""
        return await self.digits.take(lambda _: True, "digit", timeout)

    async def _send(self) -> None:
        timestamp = secrets.randbits(31)
        second = alaw_tone(self.tone)
        for place in cycle(range(0, _RATE, _SAMPLES)):
            if self._pressed:
                await self._send_digit(self._pressed.pop(0), timestamp)
                timestamp += _DIGIT_PACKETS * _SAMPLES
            else:
                self._emit(second[place : place + _SAMPLES], timestamp)
            timestamp += _SAMPLES
            await asyncio.sleep(_SAMPLES / _RATE)

    async def _send_digit(self, key: str, timestamp: int) -> None:
        number = _KEYS.index(key)
        for count in range(1, _DIGIT_PACKETS + 1):
            event = struct.pack("!BBH", number, _LOUDNESS, count * _SAMPLES)
            self._emit(event, timestamp, count == 1, self.digit_type)
            await asyncio.sleep(_SAMPLES / _RATE)
        for _ in range(_ENDS_SENT):
            event = struct.pack("!BBH", number, _END | _LOUDNESS, _DIGIT_PACKETS * _SAMPLES)
            self._emit(event, timestamp, False, self.digit_type)


class VideoEnd(RtpEnd):
    """Shows a moving picture and watches.

    Attributes:
        viewer: what became of the pictures that came.
        agreed: packetization modes by the payload types that it takes.
        foreign: payload types that came and were not agreed on.
        unfit: fragments that came under a payload type of mode 0.
    """

    def __init__(self) -> None:
        super().__init__(96)
        self.viewer = Viewer()
        self.agreed: dict[int, int] = {}
        self.foreign: set[int] = set()
        self.unfit = 0
        self._fragments = False

    def agree(self, forms: Mapping[int, str]) -> None:
        """Take these forms of H.264 alone: payload types and their parameters."""
        self.agreed = {number: mode_of(parameters) for number, parameters in forms.items()}
        self.payload_type = next(iter(forms))

    def send_as(self, forms: Iterable[tuple[int, str]]) -> None:
        """Send in the first form that is agreed on, in fragments where it is mode 1."""
        self.payload_type, parameters = next(form for form in forms if form[0] in self.agreed)
        self._fragments = mode_of(parameters) == 1

    def _take(self, kind: int, marker: bool, sequence: int, timestamp: int, payload: bytes) -> None:
        if kind not in self.agreed:
            self.foreign.add(kind)
        elif self.agreed[kind] == 0 and payload[0] & 0x1F == FU_A:
            self.unfit += 1
        else:
            self.viewer.take(sequence, payload, marker)

    async def sees(self, moves: int = 5) -> None:
        """Wait until that many more pictures were decoded, each another than the one before."""
        wanted = self.viewer.moved + moves
        await until(lambda: self.viewer.moved >= wanted, f"a moving picture at port {self.port}")

    async def _send(self) -> None:
        timestamp = secrets.randbits(31)
        wanted = self.key_frames_wanted
        pictures = film()
        at = 0
        while True:
            if self.key_frames_wanted != wanted:
                wanted, at = self.key_frames_wanted, 0
            pieces = fragments_of(pictures[at]) if self._fragments else pictures[at]
            for index, piece in enumerate(pieces, 1):
                self._emit(piece, timestamp, index == len(pieces))
            at = (at + 1) % len(pictures)
            timestamp += _PICTURE_CLOCK // FPS
            await asyncio.sleep(1 / FPS)


def mode_of(parameters: str) -> int:
    """The packetization mode of H.264 in an `fmtp` (RFC 6184 section 8.1)."""
    return 1 if "packetization-mode=1" in parameters else 0


def alaw_tone(frequency: int) -> bytes:
    """A second of a sine of that frequency (Hz)."""
    return bytes(_to_alaw(round(12000 * math.sin(2 * math.pi * frequency * sample / _RATE))) for sample in range(_RATE))


def _to_alaw(sample: int) -> int:
    """ITU-T G.711, of 16 bits."""
    sign = 0x80 if sample >= 0 else 0
    size = min(abs(sample) >> 3, 0xFFF)
    exponent = max(size.bit_length() - 5, 0)
    mantissa = size >> 1 if exponent == 0 else size >> exponent
    return (sign | exponent << 4 | mantissa & 0x0F) ^ 0x55


def _alaw_values() -> Iterator[int]:
    for code in range(256):
        bits = code ^ 0x55
        exponent, mantissa = bits >> 4 & 7, bits & 0x0F
        size = mantissa * 2 + 1 if exponent == 0 else (mantissa * 2 + 33) << exponent - 1
        yield (size if bits & 0x80 else -size) << 3


_FROM_ALAW = tuple(_alaw_values())
