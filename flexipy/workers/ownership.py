"""Which worker a message belongs to; every worker comes to the same answer from the bytes alone.

A response belongs to the worker that sent the request: our branch names it. A request belongs to the worker that its
Call-ID falls to, so that a call's INVITE, CANCEL, ACK and BYE, from whichever side and by whichever flow they come,
find each other, and what modules remember of the call. A MESSAGE outside of calls belongs to the worker that the user
of its request URI falls to, so that messages that wait for one person keep their order; only the user counts, since one
record may gather several domains. A REGISTER is served where it arrives: every worker has every binding.

Call-IDs and users fall to workers by a hash that a program of the kernel can find as well (`steering`). It is keyed, so
that nobody outside can choose messages that all fall to one worker without repeating himself, and the same in all
workers, since they are forked from one process.
"""

from __future__ import annotations

import secrets
from operator import mul
from typing import Final

from mypy_extensions import i64

from flexipy.sip import names as H
from flexipy.sip.errors import SipError
from flexipy.sip.message import Request
from flexipy.sip.params import encode
from flexipy.sip.parsing import parse
from flexipy.sip.searching import COMPILED

# Escapes, quotes and passwords need a closer look.
_UNUSUAL: Final = (b"%", b":", b";", b"?", b" ")
_MESSAGE: Final = b"MESSAGE sip:"
_RESPONSE: Final = b"SIP/2.0 "
_FIRST_VIA_WITHIN: Final = 4096  # bytes; Record-Routes may stand before it
_WEIGHED: Final = 24  # bytes that count; the names of chat rooms begin with much that is the same
KEYS: Final = tuple(secrets.randbits(32) | 1 for _ in range(_WEIGHED))
"""What each of them is multiplied by."""


def owner_of_call(call_id: bytes, count: int) -> int:
    """The worker that has a call.

    Args:
        call_id: its Call-ID.
        count: how many workers there are.
    """
    at = call_id.find(b"@")
    return _fallen_to(call_id if at < 0 else call_id[:at], count)


def owner_of_user(user: bytes, count: int) -> int:
    """The worker that has the messages for somebody.

    Args:
        user: of his address, unescaped.
        count: how many workers there are.
    """
    return _fallen_to(user, count)


def _fallen_to(text: bytes, count: int) -> int:
    if not COMPILED:
        weight: int = sum(map(mul, text, KEYS))
        return (weight >> 16 & 0xFFFF) % count
    size: i64 = min(len(text), _WEIGHED)
    total: i64 = 0  # of 45 bits at most
    at: i64 = 0
    while at < size:
        key: i64 = KEYS[at]
        total += text[at] * key
        at += 1
    return int(total >> 16 & 0xFFFF) % count


def owner_of_key(key: str, count: int) -> int:
    """The worker that has the messages which wait for somebody.

    Args:
        key: of the record, `user@host`.
        count: how many workers there are.
    """
    return owner_of_user(encode(key.rpartition("@")[0]), count)


def owner_of(data: bytes, branch_prefix: bytes, count: int) -> int:
    """The worker that a message belongs to.

    Args:
        data: its bytes.
        branch_prefix: what our branches begin with; the worker's number follows, two hexadecimal digits.
        count: how many workers there are.

    Returns:
        The worker's number; -1 for what can be dealt with anywhere: a REGISTER, what is no answer to anything of
        ours, what cannot be read.
    """
    if data.startswith(_RESPONSE):
        start = data.find(branch_prefix, 0, _FIRST_VIA_WITHIN)
        if start < 0:
            return -1
        start += len(branch_prefix)
        return _number(data[start : start + 2], count)
    if data.startswith(b"REGISTER "):
        return -1
    if data.startswith(b"MESSAGE "):
        user = _user_of_target(data)
        if user is not None:
            return owner_of_user(user, count)
    call_id = _call_id(data)
    return owner_of_call(call_id, count) if call_id else -1


def _number(digits: bytes, count: int) -> int:
    try:
        number = int(digits, 16)
    except ValueError:
        return -1
    return number if number < count else -1


def _call_id(data: bytes) -> bytes:
    end = data.find(b"\r\n\r\n")
    start = data.find(b"\nCall-ID:", 0, end)
    if start > 0:
        value = data[start + 9 : data.find(b"\r", start)].strip()
        if value:
            return value
    request = _parsed(data)  # compact, folded, or written in an unusual way
    return b"" if request is None else request.call_id


def _user_of_target(data: bytes) -> bytes | None:
    """The user in the target of a MESSAGE outside of dialogs; None for one within, or that cannot be read."""
    end = data.find(b"\r\n\r\n")
    start = data.find(b"\nTo:", 0, end)
    if start > 0 and data.startswith(_MESSAGE) and b";" not in data[start : data.find(b"\r", start)]:  # without a tag
        user, at, _ = data[len(_MESSAGE) : data.find(b"\r")].partition(b"@")
        if user and at and not any(byte in user for byte in _UNUSUAL):
            return user
    request = _parsed(data)
    if request is None:
        return None
    try:
        if request.tag(H.TO):
            return None
        aor = request.uri.aor
    except SipError:
        return None
    return encode(aor.rpartition("@")[0])


def _parsed(data: bytes) -> Request | None:
    try:
        message = parse(data)
    except SipError:
        return None
    return message if isinstance(message, Request) else None
