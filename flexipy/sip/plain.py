"""From and To in the form that nearly every client writes, recognised without being parsed.

`From: "Alice" <sip:alice@example.org>;tag=88` and the like. What isn't recognised here goes the long way, through
`headers.py` and `uri.py`; what is means the same there.
"""

from __future__ import annotations

from typing import Final

from flexipy.sip.octets import BACKSLASH, SEMICOLON

# What user and host may consist of and still need no closer look; upper case would have to be folded in the host.
_PLAIN: Final = b"abcdefghijklmnopqrstuvwxyz0123456789-_."
_LONGEST: Final = 255  # no host is longer
_USUAL_HEADS: Final = frozenset((b"From: ", b"To: ", b"from: ", b"to: ", b"f: ", b"t: "))


# What stands before the `>` -> what was found there. The same people come again and again; of two generations the
# older one goes, so that a crowd larger than the memory costs no more than having none.
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
    end = line.find(b">")
    if end < 0:
        return ""
    if len(line) > end + 1 and (line[end + 1] != SEMICOLON or line.find(b"<", end) > 0):
        return ""
    start = line[:end]
    address = _recent.get(start)
    return _look(start) if address is None else address


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
