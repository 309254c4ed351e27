"""The octets that messages are searched for, as numbers.

`COMMA in line` is ten times as fast as `b"," in line`: with bytes on the left CPython first tries to take them for a
number and throws the error away. Longer ones are looked for with `line.find(b"tag=") >= 0`.
"""

from typing import Final

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
