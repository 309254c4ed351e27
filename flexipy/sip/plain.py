"""From and To in the form that nearly every client writes, recognised without being parsed.

`From: "Alice" <sip:alice@example.org>;tag=88` and the like. What isn't recognised here goes the long way, through
`headers.py` and `uri.py`; what is means the same there.
"""

from __future__ import annotations

from typing import Final

from flexipy.sip.octets import BACKSLASH, LESS, SEMICOLON

# What user and host may consist of and still need no closer look; upper case would have to be folded in the host.
_PLAIN: Final = b"abcdefghijklmnopqrstuvwxyz0123456789-_."
_LONGEST: Final = 255  # no host is longer
_USUAL_HEADS: Final = frozenset((b"From: ", b"To: ", b"from: ", b"to: ", b"f: ", b"t: "))


def plain_address(line: bytes) -> str:
    """The address-of-record of a From or To line: `user@host`, the host in lower case.

    Args:
        line: the whole header line.

    Returns:
        Empty where the line needs a closer look: escapes, ports, URI parameters, no angle brackets, another scheme.
    """
    head, _, rest = line.partition(b"<sip:")
    address, closed, params = rest.partition(b">")
    if not closed or len(address) > _LONGEST:
        return ""
    if address.translate(None, _PLAIN) != b"@" and address.translate(None, _PLAIN) != b"+@":
        return ""
    if head not in _USUAL_HEADS and not _ends_quoted(head):
        return ""
    if params and (params[0] != SEMICOLON or LESS in params):
        return ""
    return address.decode() if address.strip(b"@") == address else ""


def _ends_quoted(head: bytes) -> bool:
    """Whether what stands before the `<` is a header name and one quoted display name."""
    return head.count(b'"') == 2 and BACKSLASH not in head and head.rstrip()[-1:] == b'"' and _between(head) == b":"


def _between(head: bytes) -> bytes:
    name = head.partition(b'"')[0].rstrip()
    return name[-1:] if name.count(b":") == 1 else b""
