"""The octets that messages are searched for, as numbers.

`COMMA in line` is ten times as fast as `b"," in line`: with bytes on the left CPython first tries to take them for a
number and throws the error away. Longer ones are looked for with `line.find(b"tag=") >= 0`.
"""

from typing import Final

_LOWER: Final = b"abcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = b"0123456789"


def table(octets: bytes) -> bytes:
    """A table by octet: 1 for these, 0 for others. To look it up is cheaper than to compare with each."""
    return bytes(octet in octets for octet in range(256))


# What a host consists of, in lower case; what a usual user part has beside; what usual parameters consist of.
HOST: Final = table(_LOWER + _DIGITS + b"-._")
USER: Final = table(_LOWER + _LOWER.upper() + _DIGITS + b"-._+")
PARAMETERS: Final = table(_LOWER + _LOWER.upper() + _DIGITS + b"-._+:;=")

TAB: Final = 0x09
LF: Final = 0x0A
CR: Final = 0x0D
SPACE: Final = 0x20
QUOTE: Final = 0x22
PLUS: Final = 0x2B
COMMA: Final = 0x2C
ZERO: Final = 0x30
NINE: Final = 0x39
COLON: Final = 0x3A
SEMICOLON: Final = 0x3B
LESS: Final = 0x3C
EQUALS: Final = 0x3D
GREATER: Final = 0x3E
QUESTION: Final = 0x3F
AT: Final = 0x40
BACKSLASH: Final = 0x5C
