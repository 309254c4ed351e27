"""Via, Route, Record-Route, Max-Forwards and loops: what every proxy does to what passes (RFC 3261 section 16).

Pure functions on messages; `Agent` and `Branch` call them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from flexipy.sip import names as H
from flexipy.sip.digits import decimal, hex8
from flexipy.sip.errors import HeaderError, SipError
from flexipy.sip.headers import NameAddr, Via
from flexipy.sip.message import Message, Request
from flexipy.sip.octets import COMMA, GREATER, LESS, QUOTE
from flexipy.sip.params import find_param
from flexipy.sip.searching import contains, count_of, find_octet, rport_at
from flexipy.sip.uri import SipUri

if TYPE_CHECKING:
    from flexipy.transport.flow import Flow

INSTANCE: Final = b"fx" + secrets.token_hex(4).encode()
BRANCH_PREFIX: Final = b"z9hG4bK" + INSTANCE
_DIALOG_FORMING: Final = frozenset((b"INVITE", b"SUBSCRIBE", b"REFER"))


def split_top_via(message: Message) -> None:
    """Give the topmost of several Via values on one line a line of its own."""
    index = message.shape.via
    line = message.lines[index]
    if COMMA in line:
        first = message.pop_first_value(H.VIA)
        if first is not None:
            message.insert(index, H.VIA, b"Via: " + first)


def stamp_via(request: Request, index: int, value: bytes, flow: Flow) -> int | None:
    """Note in the topmost Via where the request really came from (RFC 3261 section 18.2.1, RFC 3581 section 4).

    Args:
        request: its line at `index` is replaced.
        index: of the topmost Via line, which holds one value.
        value: that value.
        flow: where the request came from.

    Returns:
        None when responses go back to the source; else the port of the sent-by, for a client over UDP
        that did not ask for rport.

    Raises:
        HeaderError: no Via can be read there.
    """
    rport = rport_at(value)
    if rport >= 0:
        request.lines[index] = b"Via: %b%b%b" % (value[:rport], flow.via_stamp, value[rport + 6 :])
        return None
    if value.find(b";received=") >= 0:  # what the client says of itself counts for nothing
        value = b";".join(piece for piece in value.split(b";") if not _is_param(piece, (b"received",)))
        request.lines[index] = b"Via: " + value
    via = Via.parse(value)
    ip, port = flow.remote
    stamp = b"" if via.host == ip or "received" in via.params else b";received=" + ip.encode()
    asked = "rport" in via.params
    if asked:
        kept = b";".join(piece for piece in value.split(b";") if not _is_param(piece, (b"rport", b"received")))
        request.lines[index] = b"Via: " + kept + flow.via_stamp
    elif stamp:
        request.lines[index] = b"Via: " + value + stamp
    sent_by = via.port or (5061 if flow.secure else 5060)
    return None if asked or flow.reliable or sent_by == port else sent_by


def _is_param(piece: bytes, names: tuple[bytes, ...]) -> bool:
    return piece.partition(b"=")[0].strip().lower() in names


def own_tag(call_id: bytes) -> bytes:
    """The To tag of our own answers to the requests of a call; see `Agent.to_tag`."""
    return b"fx" + hex8(hash(call_id))


def first_route(request: Request) -> bytes | None:
    """The URI bytes of the topmost Route, None where there is none.

    Raises:
        HeaderError: a Route that cannot be read.
    """
    index = request.shape.route
    if index < 0:
        return None
    line = request.lines[index]
    start = find_octet(line, LESS, 0)
    end = find_octet(line, GREATER, start) if start >= 0 else -1
    if end < 0 or QUOTE in line:
        return NameAddr.parse(request.get_all(H.ROUTE)[0]).uri_raw
    return line[start + 1 : end]


def next_hop(request: Request) -> SipUri:
    """Where a request goes next: its topmost Route, or else its request URI (RFC 3261 section 16.6 item 7).

    Raises:
        UriError: not a SIP URI.
    """
    route = first_route(request)
    return SipUri.parse(request.uri_raw if route is None else route)


def decrement_max_forwards(request: Request) -> None:
    """Count the hop (RFC 3261 section 16.6 item 3); a request without Max-Forwards gets 70.

    Raises:
        SipError: 483, it may go no further; or 400, not a number.
    """
    index = request.shape.max_forwards
    if index < 0:
        request.append(H.MAX_FORWARDS, b"Max-Forwards: 70")
        return
    left = count_of(request.lines[index])
    if left < 0:
        raise HeaderError("bad Max-Forwards")
    if left == 0:
        raise SipError("Too Many Hops", 483)
    request.lines[index] = b"Max-Forwards: %b" % decimal(min(left, 255) - 1)


def loop_mark(received_uri: bytes, request: Request) -> bytes:
    """What the routing of a request depends on, as eight hex digits (RFC 5393 section 4.2.2)."""
    route = first_route(request)
    return hex8(hash((received_uri, route)))


_own_prefix = BRANCH_PREFIX


def number_branches(worker: int) -> None:
    """Put the number of this worker, two hexadecimal digits, in each branch from now on: answers then find it."""
    global _own_prefix  # noqa: PLW0603 - one process is one worker
    _own_prefix = BRANCH_PREFIX + b"%02x" % worker


def new_branch(mark: bytes) -> bytes:
    """A branch parameter of our own: magic cookie, this server, 64 random bits, the loop mark."""
    return b"%b%b.%b" % (_own_prefix, _unforeseeable(), mark)


def _random_words() -> Iterator[bytes]:
    # Who saw many branches must not know the next: responses are matched by nothing else.
    while True:
        block = os.urandom(4096).hex().encode()
        for start in range(0, len(block), 16):
            yield block[start : start + 16]


_unforeseeable: Final = _random_words().__next__


def passed_here_before(request: Request, mark: bytes) -> bool:
    """Whether the request came through this process with the same routing already (RFC 5393 section 4.2.1)."""
    shape = request.shape
    if shape.vias == 1 and not contains(request.lines[shape.via], INSTANCE):
        return False
    for name, line in zip(shape.names, request.lines, strict=True):
        if name == H.VIA and line.find(INSTANCE) >= 0:
            for value in line.partition(b":")[2].split(b","):
                branch = find_param(value, b"branch")
                if branch is not None and branch.startswith(BRANCH_PREFIX) and branch.endswith(mark):
                    return True
    return False


def forms_dialog(method: bytes) -> bool:
    """Whether a request of that method can start a dialog, so that a proxy that wants to stay must say so now."""
    return method in _DIALOG_FORMING


def record_route_line(uri: bytes, token: bytes) -> bytes:
    """A Record-Route header line of ours, with a flow token as user part where there is one."""
    if not token:
        return b"Record-Route: <" + uri + b">"
    scheme, _, rest = uri.partition(b":")
    return b"Record-Route: <" + scheme + b":" + token + b"@" + rest + b">"


def compose(
    request: Request, flow: Flow, branch: bytes, came_by: Flow | None, incoming_token: bytes, outgoing_token: bytes
) -> bytes:
    """The bytes of a request as it leaves: our Via and Record-Routes on top, everything else as it is.

    Args:
        request: left unchanged.
        flow: it leaves by this one.
        branch: for our Via.
        came_by: the flow it came by, to record our route; None not to record any. Two routes are recorded where
            the sides differ, the one toward the callee first (RFC 5658 section 3.3).
        incoming_token: flow token for the caller's side, or empty.
        outgoing_token: flow token for the callee's side, or empty.
    """
    parts = [request.method + b" " + request.uri_raw + b" SIP/2.0", flow.via_prefix + branch]
    if came_by is not None:
        ours, theirs = flow.record_route_uri, came_by.record_route_uri
        parts.append(record_route_line(ours, outgoing_token))
        if ours != theirs or incoming_token or outgoing_token:
            parts.append(record_route_line(theirs, incoming_token))
    parts += request.lines
    parts.append(b"")
    parts.append(request.body)
    return b"\r\n".join(parts)
