"""Reading the head of a message: its start line, its header lines and their names (RFC 3261 section 7).

The names are not read each time: a tree holds the beginnings of lines as they came before, in the order in which they
came, and at each line the way that the last message took is tried first. A client writes its messages alike, so that
nearly every line costs one comparison, and at the end of the way stands the shape of the message.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from flexipy.sip import names as H
from flexipy.sip.errors import HeaderError, ParseError
from flexipy.sip.octets import CR, LF
from flexipy.sip.shape import Shape, shape_of

MAX_HEADERS: Final = 512
_CRLF: Final = b"\r\n"
_END: Final = b"\r\n\r\n"
# Strangers choose the ways: beyond so many steps the tree is forgotten, and grows again from what comes.
_MOST_STEPS: Final = 8192
_MOST_WAYS: Final = 64
_LONGEST_WAY: Final = 64  # headers
_LONGEST_TITLE: Final = 64  # octets

Head = tuple[bytes, list[bytes], Shape, bytes]
"""Start line; header lines, a folded one whole; their shape; what follows the empty line."""


class _Step:
    """A place in the tree: these names came so far.

    Attributes:
        names: canonical.
        shape: of a message that ends here; None before the first one.
        title: how the next line began the last time, with the colon.
        next: where that leads to.
        ways: each beginning that came, and where it leads to.
    """

    __slots__ = ("names", "next", "shape", "title", "ways")

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.names = names
        self.shape: Shape | None = None
        self.title = _NEVER
        self.next: _Step | None = None
        self.ways: dict[bytes, _Step] = {}


_NEVER: Final = b"\n"  # no line begins like that
_roots: Final = [_Step(()) for _ in range(32)]
_steps = 0


def read(data: bytes) -> Head:
    """Take a message apart.

    Raises:
        ParseError: there is no empty line, a CR or LF stands alone, a header has no name, or there are too many.
    """
    end: i64 = len(data) - 4
    if end > 0 and data[end:] == _END and data[end - 1] != LF:  # nearly every message without a body
        lines = data.splitlines()
        lines.pop()
        head = _take_apart(data, lines, end)
        if head is not None:
            return head
    end = data.find(_END)
    if end <= 0:
        raise ParseError("no empty line after the headers")
    head = _take_apart(data, data[:end].splitlines(), end)
    if head is None:
        raise _stray()
    return head


def _take_apart(data: bytes, lines: list[bytes], end: i64) -> Head | None:
    """`read`, told the lines before an empty one and where that begins; None if there is one among them."""
    start = lines.pop(0)
    size: i64 = len(start) + 2 * len(lines)
    known = len(lines) <= _LONGEST_WAY
    step = _roots[data[0] & 31]
    for line in lines:
        size += len(line)
        if known:
            following = step.next
            if line.startswith(step.title) and following is not None:
                step = following
            else:
                other = _turn(step, line)
                if other is None:
                    known = False
                else:
                    step = other
    if not known and b"" in lines:
        return None
    if size != end or data[end - 1] == CR or data[end - 1] == LF:
        raise _stray()
    body = data[end + 4 :]
    if not known:
        lines = _joined(lines)
        return start, lines, _shape_of_lines(lines), body
    shape = step.shape
    if shape is None:
        shape = step.shape = shape_of(step.names)
    return start, lines, shape, body


def _stray() -> ParseError:
    # Some would take it for the end of the line, and what follows for a header that nobody has checked.
    return ParseError("a stray CR or LF in the headers")


def _turn(step: _Step, line: bytes) -> _Step | None:
    """Where another line than last time leads to; None where the tree does not help."""
    global _steps  # noqa: PLW0603 - one tree for all
    if not line or (step.names and line[:1] in (b" ", b"\t")):
        return None  # the end of the head, or folded
    title = line[: line.find(b":") + 1]
    following = step.ways.get(title)
    if following is None:
        name = _name_of(line)
        if len(title) > _LONGEST_TITLE:
            return None
        if _steps >= _MOST_STEPS:
            _steps = 0
            for place in range(len(_roots)):
                _roots[place] = _Step(())
        _steps += 1
        if len(step.ways) >= _MOST_WAYS:
            step.ways.clear()
        following = step.ways[title] = _Step((*step.names, name))
    step.title = title
    step.next = following
    return following


def _joined(lines: list[bytes]) -> list[bytes]:
    """Folded lines as one."""
    joined: list[bytes] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and joined:
            joined[-1] += _CRLF + line
        else:
            joined.append(line)
    return joined


def _shape_of_lines(lines: list[bytes]) -> Shape:
    if len(lines) > MAX_HEADERS:
        raise ParseError("too many header fields", 513)
    return shape_of(tuple([_name_of(line) for line in lines]))


def _name_of(line: bytes) -> bytes:
    name, colon, _ = line.partition(b":")
    if not colon:
        raise ParseError("header line without a colon")
    try:
        return H.canonical(name)
    except HeaderError as error:
        raise ParseError(str(error)) from error
