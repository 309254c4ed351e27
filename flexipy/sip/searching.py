"""Small searches within a header line.

Each in two forms with the same results: one by the methods of bytes, which interpreted code does best, and one that
looks at each octet, which compiled code does best.
"""

from __future__ import annotations

from types import FunctionType
from typing import Final

from mypy_extensions import i64

from flexipy.sip.octets import COLON, CR, EQUALS, GREATER, NINE, SEMICOLON, SPACE, TAB, ZERO


def _is_blank(octet: i64) -> bool:
    return octet == SPACE or TAB <= octet <= CR


def _behind_colon(line: bytes) -> i64:
    """Where a header's value begins; the length of the line, or one more, where there is none."""
    end: i64 = len(line)
    at: i64 = 0
    while at < end and line[at] != COLON:
        at += 1
    at += 1
    while at < end and _is_blank(line[at]):
        at += 1
    return at


def value_of(line: bytes) -> bytes:
    """What stands behind the first colon of a header line, without blanks around it; empty where there is no colon."""
    if not COMPILED:
        return line.partition(b":")[2].strip()
    end: i64 = len(line)
    at = _behind_colon(line)
    while end > at and _is_blank(line[end - 1]):
        end -= 1
    return line[at:end]


def find_octet(data: bytes, octet: i64, start: i64) -> i64:
    """Where an octet stands first from a place on, expected to be near; -1 for nowhere."""
    if not COMPILED:
        return data.find(octet, start)
    size: i64 = len(data)
    while start < size:
        if data[start] == octet:
            return start
        start += 1
    return -1


def param_of(value: bytes, name: bytes) -> bytes | None:
    """The value of the first `;name=value` that is written just so, None where there is none.

    `flexipy.sip.params.find_param` finds other spellings, too.
    """
    if not COMPILED:
        start = value.find(b";" + name + b"=")
        if start < 0:
            return None
        start += len(name) + 2
        behind = value.find(b";", start)
        return value[start:] if behind < 0 else value[start:behind]
    size: i64 = len(value)
    length: i64 = len(name)
    at: i64 = 0
    while at < size:
        if value[at] == SEMICOLON and at + length + 1 < size and value[at + length + 1] == EQUALS:
            same: i64 = 0
            while same < length and value[at + 1 + same] == name[same]:
                same += 1
            if same == length:
                at += length + 2
                end = at
                while end < size and value[end] != SEMICOLON:
                    end += 1
                return value[at:end]
        at += 1
    return None


_MOST_DIGITS: Final = 9


def number_of(line: bytes, method: bytes) -> i64:
    """The number of a CSeq line of the usual form that names this method; -1 for what needs a closer look."""
    if not COMPILED:
        digits, _, rest = line.partition(b":")[2].strip().partition(b" ")
        if rest != method or not digits.isdigit() or len(digits) > _MOST_DIGITS:
            return -1
        return int(digits)
    end: i64 = len(line)
    at = _behind_colon(line)
    first = at
    number: i64 = 0
    while at < end and ZERO <= line[at] <= NINE:
        number = number * 10 + line[at] - ZERO
        at += 1
        if at - first > _MOST_DIGITS:
            return -1
    if at == first or at >= end or line[at] != SPACE:
        return -1
    at += 1
    size: i64 = len(method)
    if end - at < size:
        return -1
    same: i64 = 0
    while same < size and line[at + same] == method[same]:
        same += 1
    at += size
    while at < end and _is_blank(line[at]):
        at += 1
    return number if same == size and at == end else -1


def sent_by_of(via: bytes) -> bytes:
    """The sent-by of a Via value, as written; empty where there is none."""
    if not COMPILED:
        return via.partition(b";")[0].rstrip().rpartition(b" ")[2]
    end: i64 = 0
    size: i64 = len(via)
    while end < size and via[end] != SEMICOLON:
        end += 1
    while end > 0 and _is_blank(via[end - 1]):
        end -= 1
    begin = end
    while begin > 0 and via[begin - 1] != SPACE:
        begin -= 1
    return via[begin:end]


_RPORT: Final = b";rport"


def rport_at(via: bytes) -> i64:
    """Where a Via value says `;rport`, without a value; -1 where it doesn't or may say `received`, too."""
    if not COMPILED:
        if via.find(b";rec") >= 0:
            return -1
        place = via.find(b";rport;")
        if place < 0 and via.endswith(_RPORT):
            return len(via) - 6
        return place
    size: i64 = len(via)
    found: i64 = -1
    at: i64 = 0
    while at + 4 <= size:
        if via[at] == SEMICOLON and via[at + 1] == 0x72:  # ;r
            if via[at + 2] == 0x65 and via[at + 3] == 0x63:  # ;rec
                return -1
            if found < 0 and via[at : at + 6] == _RPORT and (at + 6 == size or via[at + 6] == SEMICOLON):
                found = at
        at += 1
    return found


def count_of(line: bytes) -> i64:
    """The number that a header line has for its value; -1 where it has another, or one of more than nine digits."""
    if not COMPILED:
        text = line.partition(b":")[2].strip()
        return int(text) if text.isdigit() and len(text) <= _MOST_DIGITS else -1
    end: i64 = len(line)
    at = _behind_colon(line)
    while end > at and _is_blank(line[end - 1]):
        end -= 1
    if at >= end or end - at > _MOST_DIGITS:
        return -1
    number: i64 = 0
    while at < end:
        if not ZERO <= line[at] <= NINE:
            return -1
        number = number * 10 + line[at] - ZERO
        at += 1
    return number


def contains(text: bytes, word: bytes) -> bool:
    """Whether a word, which isn't empty, stands in a short text."""
    if not COMPILED:
        return text.find(word) >= 0
    length: i64 = len(word)
    first: i64 = word[0]
    last = len(text) - length
    at: i64 = 0
    while at <= last:
        if text[at] == first and text[at : at + length] == word:
            return True
        at += 1
    return False


def has_parameter(text: bytes, beginnings: tuple[bytes, ...]) -> bool:
    """Whether there is a parameter whose name begins with one of these."""
    if not COMPILED:
        for beginning in beginnings:  # noqa: SIM110 - for every request: a generator costs more than the look
            if text.find(beginning) >= 0:
                return True
        return False
    size: i64 = len(text)
    at: i64 = 0
    while at < size:
        if text[at] == SEMICOLON:
            at += 1
            while at < size and _is_blank(text[at]):
                at += 1
            for beginning in beginnings:
                if text[at : at + len(beginning)] == beginning:
                    return True
        else:
            at += 1
    return False


def has_usual_tag(line: bytes) -> bool:
    """Whether `;tag=` stands right behind the first `>` of a From or To line."""
    if not COMPILED:
        return line.find(b">;tag=") >= 0
    at = find_octet(line, GREATER, 0)
    return at >= 0 and line[at : at + 6] == _TAGGED


_TAGGED: Final = b">;tag="


COMPILED: Final = not isinstance(value_of, FunctionType)
