"""Reading the head of a message: its start line, its header lines and their names (RFC 3261 section 7).

Two readers with the same results. `scan` looks at each octet once, which compiled code does best; `split` leaves the
looking to the methods of bytes, which interpreted code does best. `read` is the one for the code at hand.
"""

from __future__ import annotations

from types import FunctionType
from typing import Final

from mypy_extensions import i64

from flexipy.sip import names as H
from flexipy.sip.errors import HeaderError, ParseError
from flexipy.sip.octets import COLON, CR, LF, SPACE, TAB

MAX_HEADERS: Final = 512
_CRLF: Final = b"\r\n"
_END: Final = b"\r\n\r\n"

Head = tuple[bytes, list[bytes], list[bytes], bytes]
"""Start line; header lines, a folded one whole; their canonical names; what follows the empty line."""


def read(data: bytes) -> Head:
    """Take a message apart.

    Raises:
        ParseError: there is no empty line, a CR or LF stands alone, a header has no name, or there are too many.
    """
    return scan(data) if _COMPILED else split(data)


# --- for interpreted code --------------------------------------------------------------------------------


def split(data: bytes) -> Head:
    """`read` by the methods of bytes."""
    head, end, body = data.partition(_END)
    if not end:
        raise ParseError("no empty line after the headers")
    lines = head.split(_CRLF)
    ends = len(lines) - 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends:
        raise _stray()
    if head.find(b"\n ") >= 0 or head.find(b"\n\t") >= 0:
        lines = _join_folded(lines)
    start = lines.pop(0)
    if len(lines) > MAX_HEADERS:
        raise _too_many()
    known = H.canonical_of
    try:
        names = [known[line.partition(b":")[0]] for line in lines]
    except KeyError:
        names = [_name_of(line) for line in lines]
    return start, lines, names, body


def _join_folded(lines: list[bytes]) -> list[bytes]:
    joined: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and len(joined) > 1:
            joined[-1] += _CRLF + line
        else:
            joined.append(line)
    return joined


def _stray() -> ParseError:
    # Some would take it for the end of the line, and what follows for a header that nobody has checked.
    return ParseError("a stray CR or LF in the headers")


def _too_many() -> ParseError:
    return ParseError("too many header fields", 513)


def _name_of(line: bytes) -> bytes:
    name, colon, _ = line.partition(b":")
    if not colon:
        raise ParseError("header line without a colon")
    try:
        return H.canonical(name)
    except HeaderError as error:
        raise ParseError(str(error)) from error


# --- for compiled code -----------------------------------------------------------------------------------


def scan(data: bytes) -> Head:
    """`read` octet by octet."""
    size: i64 = len(data)
    at: i64 = 0
    begin: i64 = 0
    colon: i64 = -1
    start = b""
    lines: list[bytes] = []
    names: list[bytes] = []
    in_headers = False
    while at < size:
        octet: i64 = data[at]
        if octet > COLON:
            at += 1
        elif octet == COLON:
            if colon < 0:
                colon = at
            at += 1
        elif octet == CR:
            if at + 1 >= size or data[at + 1] != LF:
                raise _stray()
            if not in_headers:
                start = data[:at]
                in_headers = True
            elif at == begin:
                if len(lines) > MAX_HEADERS:
                    raise _too_many()
                return start, lines, names, data[at + 2 :]
            elif lines and (data[begin] == SPACE or data[begin] == TAB):
                lines[-1] = lines[-1] + _CRLF + data[begin:at]
            else:
                line = data[begin:at]
                lines.append(line)
                names.append(_scan_name(data, begin, colon) if colon >= 0 else _name_of(line))
            at += 2
            begin = at
            colon = -1
        elif octet == LF:
            raise _stray()
        else:
            at += 1
    raise ParseError("no empty line after the headers")


def _scan_name(data: bytes, begin: i64, colon: i64) -> bytes:
    """The canonical name of the header whose name stands in `data[begin:colon]`."""
    length = colon - begin
    if 0 < length < _LONGEST:
        place = length * 32 + (data[begin] & 31)
        spelling = _SPELLINGS[place]
        if len(spelling) == length:
            at: i64 = 0
            while at < length and data[begin + at] | 0x20 == spelling[at]:
                at += 1
            if at == length:
                return _NAMES[place]
    return _name_of(data[begin : colon + 1])


_LONGEST: Final = 32
# By length and first letter: how a usual header name is written in lower case, and what it is called. Those that share
# a place with one before them are found the other way.
_SPELLINGS: Final = [b""] * (_LONGEST * 32)
_NAMES: Final = [b""] * (_LONGEST * 32)


def _enter(spelling: bytes, name: bytes) -> None:
    place = len(spelling) * 32 + (spelling[0] & 31)
    if not _SPELLINGS[place]:
        _SPELLINGS[place] = spelling
        _NAMES[place] = name


for _spelling, _name in list(H.canonical_of.items()):
    if _spelling.islower() and len(_spelling) < _LONGEST:
        _enter(_spelling, _name)

_COMPILED: Final = not isinstance(scan, FunctionType)
