"""Reading a message's head the plain way, to compare with."""

from __future__ import annotations

from flexipy.sip import names as H
from flexipy.sip.errors import ParseError


def read_head(data: bytes) -> tuple[bytes, list[bytes], tuple[bytes, ...], bytes]:
    """What `flexipy.sip.heads.read` finds: start line, lines, their names, body.

    Raises:
        SipError: as `read` does.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        raise ParseError("no empty line after the headers")
    start, *split = head.split(b"\r\n")
    if any(octet in line for line in (start, *split) for octet in (b"\r", b"\n")):
        raise ParseError("a stray CR or LF in the headers")
    lines: list[bytes] = []
    for line in split:
        if line[:1] in (b" ", b"\t") and lines:
            lines[-1] += b"\r\n" + line
        else:
            lines.append(line)
    if len(lines) > 512 or any(b":" not in line for line in lines) or not head:
        raise ParseError("not header lines")
    return start, lines, tuple(H.canonical(line.partition(b":")[0]) for line in lines), body
