"""From and To in the form that nearly every client writes, recognised without being parsed.

`From: "Alice" <sip:alice@example.org>;tag=88` and the like. What isn't recognised here goes the long way, through
`headers.py` and `uri.py`; what is means the same there.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from flexipy.sip.octets import AT, BACKSLASH, COLON, GREATER, HOST, LESS, PLUS, QUOTE, SEMICOLON, SPACE, TAB
from flexipy.sip.searching import COMPILED, find_octet

# What user and host may consist of and still need no closer look; upper case would have to be folded in the host.
_PLAIN: Final = b"abcdefghijklmnopqrstuvwxyz0123456789-_."
_SCHEME: Final = b"sip:"
_LONGEST: Final = 255  # no host is longer
_USUAL_HEADS: Final = frozenset((b"From: ", b"To: ", b"from: ", b"to: ", b"f: ", b"t: "))


# For interpreted code: what stands before the `>` -> what was found there. The same people come again and again; of
# two generations the older one goes, so that a crowd larger than the memory costs no more than having none.
_GENERATION: Final = 8192
_recent: dict[bytes, str] = {}
_former: dict[bytes, str] = {}


def plain_address(line: bytes) -> str:
    """The address-of-record of a From or To line: `user@host`, the host in lower case.

    Args:
        line: the whole header line.

    Returns:
        Empty where the line needs a closer look: escapes, ports, URI parameters, no angle brackets, another scheme.
    """
    if COMPILED:
        return scanned_address(line)
    end = line.find(b">")
    if end < 0:
        return ""
    if len(line) > end + 1 and (line[end + 1] != SEMICOLON or line.find(b"<", end) > 0):
        return ""
    start = line[:end]
    address = _recent.get(start)
    return _look(start) if address is None else address


def scanned_address(line: bytes) -> str:
    """`plain_address` for compiled code, octet by octet."""
    size: i64 = len(line)
    at = behind_name(line)
    if at + 5 > size or line[at] != LESS or line[at + 1 : at + 5] != _SCHEME:
        return ""
    at += 5
    begin = at
    middle: i64 = 0
    plus = False
    while at < size:
        octet: i64 = line[at]
        if not HOST[octet]:
            if octet == AT and middle == 0 and at > begin:
                middle = at
            elif octet == PLUS and middle == 0 and not plus:
                plus = True
            else:
                break
        at += 1
    if at >= size or line[at] != GREATER or middle == 0 or middle == at - 1 or at - begin > _LONGEST:
        return ""
    end = at
    at += 1
    if at < size and (line[at] != SEMICOLON or find_octet(line, LESS, at) >= 0):
        return ""
    return line[begin:end].decode()


def behind_name(line: bytes) -> i64:
    """Where the `<` should stand, behind the header's name and a display name in quotes; for compiled code.

    The length of the line where it is unusual.
    """
    size: i64 = len(line)
    at = find_octet(line, COLON, 0) + 1
    if at == 0:
        return size
    while at < size and (line[at] == SPACE or line[at] == TAB):
        at += 1
    if at < size and line[at] == QUOTE:
        at += 1
        while at < size and line[at] != QUOTE:
            if line[at] == BACKSLASH:
                return size
            at += 1
        at += 1
        while at < size and (line[at] == SPACE or line[at] == TAB):
            at += 1
    return at


def _look(start: bytes) -> str:
    global _recent, _former
    address = _former.get(start)
    if address is None:
        address = _read(start)
    if len(start) <= 2 * _LONGEST:
        if len(_recent) >= _GENERATION:
            _former, _recent = _recent, {}
        _recent[start] = address
    return address


def _read(start: bytes) -> str:
    head, scheme, address = start.partition(b"<sip:")
    if not scheme or len(address) > _LONGEST:
        return ""
    if address.translate(None, _PLAIN) != b"@" and address.translate(None, _PLAIN) != b"+@":
        return ""
    if head not in _USUAL_HEADS and not _ends_quoted(head):
        return ""
    return address.decode() if address.strip(b"@") == address else ""


def _ends_quoted(head: bytes) -> bool:
    """Whether what stands before the `<` is a header name and one quoted display name."""
    return head.count(b'"') == 2 and BACKSLASH not in head and head.rstrip()[-1:] == b'"' and _between(head) == b":"


def _between(head: bytes) -> bytes:
    name = head.partition(b'"')[0].rstrip()
    return name[-1:] if name.count(b":") == 1 else b""
