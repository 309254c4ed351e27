"""Reading a message off the wire: from one datagram, or one message that the stream framer cut out."""

from __future__ import annotations

from typing import Final

from flexipy.sip import heads
from flexipy.sip import names as H
from flexipy.sip.digits import decimal
from flexipy.sip.errors import ParseError
from flexipy.sip.message import NO_BODY, Request, Response
from flexipy.sip.octets import SPACE
from flexipy.sip.searching import count_of, find_octet
from flexipy.sip.shape import Shape

_VERSION: Final = b"SIP/2.0"
_ANSWERS: Final = b"SIP/2.0 "
_REQUESTS: Final = b" SIP/2.0"


class VersionError(ParseError):
    """A request of another SIP version, to be answered 505.

    Attributes:
        request: what could be read of it.
    """

    def __init__(self, request: Request) -> None:
        super().__init__("SIP version not supported", 505)
        self.request = request


def parse(data: bytes) -> Request | Response:
    """Read one message.

    Args:
        data: a datagram, or a message that the stream framer cut out. Bytes beyond Content-Length are dropped.

    Raises:
        ParseError: not a SIP message, or one that nothing sensible can be made of. `validate` finds what is
            wrong with a message that could be read.
    """
    start, lines, shape, body = heads.read(data)
    fault = ""
    index = shape.content_length
    if index >= 0 and not body and lines[index] == NO_BODY:
        pass  # nearly every message without a body says so like that
    elif index >= 0:
        length = count_of(lines[index])
        if length < 0:
            fault = "bad Content-Length"
        elif length < len(body):
            body = body[:length]
        elif length > len(body):
            fault = "body shorter than Content-Length"
    else:
        # Optional in a datagram only, and it may leave by a stream (RFC 3261 sections 16.6 step 10, 20.14).
        lines.append(b"Content-Length: %b" % decimal(len(body)))
        shape = shape.then(H.CONTENT_LENGTH)
    message = (
        _response(start, lines, shape, body) if start.startswith(_ANSWERS) else _request(start, lines, shape, body)
    )
    if fault:
        message.length_fault = fault
    return message


def _request(start: bytes, lines: list[bytes], shape: Shape, body: bytes) -> Request:
    space = find_octet(start, SPACE, 0)
    if 0 < space < len(start) - 9 and start[-8:] == _REQUESTS:
        return Request(start[:space], start[space + 1 : -8], lines, shape, body)
    method, _, rest = start.partition(b" ")
    uri, _, version = rest.rpartition(b" ")
    if version != _VERSION:
        # White space after the version, or another version; both leave a readable request behind.
        trimmed = rest.rstrip(b" \t")
        uri, _, version = trimmed.rpartition(b" ")
        if not version.upper().startswith(b"SIP/"):
            raise ParseError("not a SIP request line")
        if version.upper() != _VERSION:
            request = Request(method, uri, lines, shape, body)
            raise VersionError(request)
    if not method or not uri:
        raise ParseError("not a SIP request line")
    return Request(method, uri, lines, shape, body)


def _response(start: bytes, lines: list[bytes], shape: Shape, body: bytes) -> Response:
    code = start[8:11]
    if not code.isdigit() or start[11:12] not in (b" ", b""):
        raise ParseError("bad status code")
    status = int(code)
    if not 100 <= status <= 699:
        raise ParseError("status code out of range")
    return Response(status, start[12:], lines, shape, body)
