"""Tones: each caller sends one of its own, so that a recording tells whom it heard."""

from __future__ import annotations

import array
import math
import struct
import wave
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

_RATE = 8000  # Hz
_TOLERANCE = 15  # Hz
_SILENCE = 200.0  # of 32767


def write_tone(path: Path, frequency: int, seconds: int = 60) -> Path:
    """Write a sine of that frequency (Hz) as a WAV file."""
    # One second holds whole periods only, so it may be repeated.
    second = [int(12000 * math.sin(2 * math.pi * frequency * sample / _RATE)) for sample in range(_RATE)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(struct.pack(f"<{_RATE}h", *second) * seconds)
    return path


def heard(path: Path, seconds: float = 0.5) -> int:
    """The frequency (Hz) at the end of a recording; 0 while it is silent or too short.

    Works on a file that is still being written: a pitch is found by counting zero crossings, which is all that a
    pure tone needs, whatever codec it went through.
    """
    data = path.read_bytes() if path.exists() else b""
    if len(data) < 44:
        return 0
    # Linphone writes the header at the end only.
    channels, rate = struct.unpack_from("<HI", data, 22) if data[:4] == b"RIFF" else (1, _RATE)
    samples = array.array("h")
    body = data[44 : 44 + (len(data) - 44) // 2 * 2]
    samples.frombytes(body)
    mono = samples[::channels][-int(rate * seconds) :]
    return frequency_of(mono, rate) if len(mono) >= rate * seconds else 0


def frequency_of(samples: Sequence[int], rate: int) -> int:
    """The pitch (Hz) of a pure tone; 0 for silence."""
    loudness = math.sqrt(sum(sample * sample for sample in samples) / len(samples))
    if loudness < _SILENCE:
        return 0
    crossings = sum(1 for before, after in pairwise(samples) if before < 0 <= after)
    return round(crossings * rate / len(samples))


def is_tone(path: Path, frequency: int) -> bool:
    """Whether a recording ends with that tone."""
    return abs(heard(path) - frequency) <= _TOLERANCE
