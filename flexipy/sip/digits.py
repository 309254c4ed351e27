"""Numbers as they are written, out of tables: formatting one costs as much as forwarding a header line."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from flexipy.sip.searching import COMPILED

_SMALL: Final = 4096
_DECIMAL: Final = [b"%d" % number for number in range(_SMALL)]
_PAIRS: Final = [b"%02x" % number for number in range(256)]
_THREE: Final = [b"%03d" % number for number in range(1000)]


def decimal(number: int) -> bytes:
    """A number in decimal digits."""
    return _DECIMAL[number] if 0 <= number < _SMALL else str(number).encode()


def three_digits(number: int) -> bytes:
    """A number below 1000 in three decimal digits."""
    return _THREE[number]


def hex2(number: i64) -> bytes:
    """The lowest 8 bits of a number in 2 hexadecimal digits, lower case."""
    return _PAIRS[number & 255]


def hex8(number: i64) -> bytes:
    """The lowest 32 bits of a number in 8 hexadecimal digits, lower case."""
    if not COMPILED:
        return b"%08x" % (number & 0xFFFFFFFF)
    high, low = number >> 16, number
    return b"%b%b%b%b" % (
        _PAIRS[high >> 8 & 255],
        _PAIRS[high & 255],
        _PAIRS[low >> 8 & 255],
        _PAIRS[low & 255],
    )


def hex16(number: i64) -> bytes:
    """A number of 64 bits in 16 hexadecimal digits, lower case; of a negative one the two's complement."""
    if not COMPILED:
        return b"%016x" % (number & 0xFFFFFFFFFFFFFFFF)
    return b"%b%b" % (hex8(number >> 32), hex8(number))
