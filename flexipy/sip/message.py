"""Requests and responses: read in one pass, kept as they came, spliced when forwarded (RFC 3261 section 7).

A message is its start line, its header lines (bytes as received, a folded header is one entry), their shape (which
name stands where, see `flexipy.sip.shape`), and its body. Nothing is decoded until asked for. Forwarding inserts,
removes or replaces whole lines; untouched lines and the body go out byte for byte.
"""

from __future__ import annotations

from typing import Final

from flexipy.sip import names as H
from flexipy.sip.errors import HeaderError
from flexipy.sip.headers import CSeq, NameAddr, Via
from flexipy.sip.octets import COMMA, GREATER, LESS, LF, QUOTE, SEMICOLON
from flexipy.sip.params import decode, encode, find_param, split_values
from flexipy.sip.plain import plain_address
from flexipy.sip.searching import find_octet, number_of, value_of
from flexipy.sip.shape import EMPTY, Shape, shape_of
from flexipy.sip.status import phrase_bytes, start_line_of
from flexipy.sip.uri import SipUri

_CRLF: Final = b"\r\n"


class Message:
    """What requests and responses share: header lines and a body.

    Attributes:
        lines: header lines without their CRLF, as received. One may be replaced by another of the same name; more and
            less become of them by the methods below alone, which keep the shape.
        shape: the names of the lines, and where each stands.
        body: everything after the empty line.
        length_fault: what is wrong with Content-Length, found while reading; empty for nothing.
    """

    __slots__ = ("body", "length_fault", "lines", "shape")

    def __init__(self, lines: list[bytes], shape: Shape, body: bytes) -> None:
        self.lines = lines
        self.shape = shape
        self.body = body
        self.length_fault = ""

    # --- reading -----------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[bytes, ...]:
        """The canonical name of each line (see `flexipy.sip.names`)."""
        return self.shape.names

    def __contains__(self, name: bytes) -> bool:
        return name in self.shape.first

    def get(self, name: bytes) -> bytes | None:
        """The first header line's value of that name, trimmed; None where there is none.

        Args:
            name: canonical name, `names.VIA` or b"x-custom".
        """
        index = self.shape.at(name)
        return None if index < 0 else value_of(self.lines[index])

    def get_text(self, name: bytes) -> str:
        """The first value as text, empty where there is none, line folding resolved."""
        raw = self.get(name)
        return "" if raw is None else decode(unfold(raw))

    def get_all(self, name: bytes) -> list[bytes]:
        """Each value of that name, in order; values sharing a line are taken apart (RFC 3261 section 7.3.1)."""
        shape = self.shape
        if name not in shape.first:
            return []
        found: list[bytes] = []
        for index, other in enumerate(shape.names):
            if other == name:
                value = self.lines[index].partition(b":")[2]
                found.extend(split_values(value) if COMMA in value else [value.strip()])
        return found

    def count(self, name: bytes) -> int:
        """How many header lines have that name."""
        return self.shape.names.count(name)

    def require(self, name: bytes) -> bytes:
        """Like `get`, for a header that must be there.

        Raises:
            HeaderError: it is missing.
        """
        value = self.get(name)
        if value is None:
            raise HeaderError(f"missing {decode(name)} header")
        return value

    @property
    def call_id(self) -> bytes:
        """The Call-ID, empty where there is none."""
        index = self.shape.call_id
        return b"" if index < 0 else value_of(self.lines[index])

    @property
    def label(self) -> str:
        """The Call-ID as logs show it: without line ends and the like."""
        return repr(decode(self.call_id))[1:-1]

    @property
    def cseq(self) -> CSeq:
        """The CSeq, decoded.

        Raises:
            HeaderError: missing or broken.
        """
        return CSeq.parse(self.require(H.CSEQ))

    @property
    def from_(self) -> NameAddr:
        """The From value, decoded."""
        return NameAddr.parse(unfold(self.require(H.FROM)))

    @property
    def to(self) -> NameAddr:
        """The To value, decoded."""
        return NameAddr.parse(unfold(self.require(H.TO)))

    def tag(self, name: bytes) -> bytes:
        """The tag of From or To as bytes, empty where there is none; cheaper than `from_.tag`."""
        index = self.shape.at(name)
        if index < 0:
            return b""
        line = self.lines[index]
        params = line.rpartition(b">")[2] if GREATER in line else line
        return (find_param(params, b"tag") or b"").strip() if SEMICOLON in params else b""

    @property
    def from_uri(self) -> SipUri:
        """The URI of the From header, decoded; cheaper than `from_`."""
        return self._address_uri(H.FROM)

    @property
    def to_uri(self) -> SipUri:
        """The URI of the To header, decoded; cheaper than `to`."""
        return self._address_uri(H.TO)

    def _address_uri(self, name: bytes) -> SipUri:
        index = self.shape.at(name)
        if index < 0:
            raise HeaderError(f"missing {decode(name)} header")
        line = self.lines[index]
        start = line.find(b"<")
        end = line.find(b">", start)
        if start > 0 and end > 0 and QUOTE not in line:
            return SipUri.parse(line[start + 1 : end])
        return NameAddr.parse(unfold(self.require(name))).uri

    @property
    def top_via_raw(self) -> bytes:
        """The topmost Via value as bytes.

        Raises:
            HeaderError: there is none.
        """
        value = self.require(H.VIA)
        return split_values(value)[0] if COMMA in value else value

    @property
    def top_via(self) -> Via:
        """The topmost Via, decoded."""
        return Via.parse(unfold(self.top_via_raw))

    def contacts(self) -> list[NameAddr]:
        """Every Contact but `*`, decoded."""
        return [NameAddr.parse(unfold(raw)) for raw in self.get_all(H.CONTACT) if raw != b"*"]

    # --- splicing ----------------------------------------------------------------------------------------

    def append(self, name: bytes, line: bytes) -> None:
        """Put a header line last. `line` is whole: b"Expires: 60"."""
        self.shape = self.shape.then(name)
        self.lines.append(line)

    def insert(self, index: int, name: bytes, line: bytes) -> None:
        """Put a header line before the one at an index."""
        self.insert_all(index, name, [line])

    def insert_all(self, index: int, name: bytes, lines: list[bytes]) -> None:
        """Put header lines of one name before the line at an index."""
        before = self.shape.names
        self.shape = shape_of((*before[:index], *([name] * len(lines)), *before[index:]))
        self.lines[index:index] = lines

    def set(self, name: bytes, line: bytes) -> None:
        """Replace the first line of that name, or append."""
        index = self.shape.at(name)
        if index >= 0:
            self.lines[index] = line
        else:
            self.append(name, line)

    def remove(self, name: bytes) -> int:
        """Take out every line of that name; how many there were."""
        removed = 0
        while (index := self.shape.at(name)) >= 0:
            self.remove_at(index)
            removed += 1
        return removed

    def remove_at(self, index: int) -> None:
        """Take out the line at an index."""
        self.shape = self.shape.without(index)
        del self.lines[index]

    def set_values(self, name: bytes, title: bytes, values: list[bytes]) -> None:
        """Replace all values of a header by others, one a line, where its first line stood."""
        index = self.shape.at(name)
        if index < 0:
            index = len(self.lines)
        self.remove(name)
        self.insert_all(index, name, [title + b": " + value for value in values])

    def pop_first_value(self, name: bytes) -> bytes | None:
        """Take the first value of a header off and return it; None where there is none."""
        index = self.shape.at(name)
        if index < 0:
            return None
        line = self.lines[index]
        if COMMA in line:
            title, _, rest = line.partition(b":")
            if QUOTE not in rest and LESS not in rest:
                first, _, others = rest.partition(b",")
                self.lines[index] = title + b":" + others
                return first.strip()
            values = split_values(rest)
            if len(values) > 1:
                self.lines[index] = title + b": " + b", ".join(values[1:])
                return values[0]
        self.remove_at(index)
        return value_of(line)

    def set_body(self, body: bytes, content_type: bytes | None = None) -> None:
        """Replace the body and set Content-Length (and Content-Type) to fit."""
        self.body = body
        if content_type is not None:
            self.set(H.CONTENT_TYPE, b"Content-Type: " + content_type)
        self.set(H.CONTENT_LENGTH, b"Content-Length: %d" % len(body))


class Request(Message):
    """A SIP request.

    Attributes:
        method: as on the wire, upper case by convention, compared by bytes.
        uri_raw: the request URI's bytes.
    """

    __slots__ = ("_plain_from", "_plain_to", "method", "uri_raw")

    def __init__(
        self, method: bytes, uri_raw: bytes, lines: list[bytes], shape: Shape = EMPTY, body: bytes = b""
    ) -> None:
        self._plain_from: str | None = None
        self._plain_to: str | None = None
        self.method = method
        self.uri_raw = uri_raw
        self.lines = lines
        self.shape = shape
        self.body = body
        self.length_fault = ""

    @staticmethod
    def build(method: str, uri: str, headers: list[tuple[str, str]], body: bytes = b"") -> Request:
        """Make a request of one's own from texts; Content-Length is added."""
        request = Request(encode(method), encode(uri), [])
        for name, value in headers:
            request.append(H.canonical(encode(name)), encode(f"{name}: {value}"))
        request.set_body(body)
        return request

    @property
    def uri(self) -> SipUri:
        """The request URI, decoded.

        Raises:
            UriError: another scheme (416) or broken (400).
        """
        return SipUri.parse(self.uri_raw)

    @property
    def plain_from(self) -> str:
        """`user@host` of the From header where it has the usual form, else empty; see `flexipy.sip.plain`.

        Like `plain_to` it is found once: what a module later makes of the header does not show.
        """
        plain = self._plain_from
        if plain is None:
            plain = self._plain_from = plain_address(self.lines[self.shape.from_])
        return plain

    @property
    def plain_to(self) -> str:
        """`user@host` of the To header where it has the usual form, else empty."""
        plain = self._plain_to
        if plain is None:
            plain = self._plain_to = plain_address(self.lines[self.shape.to])
        return plain

    @property
    def number(self) -> int:
        """The number of the CSeq where it has the usual form and the request's own method; else -1, see `cseq`."""
        return number_of(self.lines[self.shape.cseq], self.method)

    @property
    def from_aor(self) -> str:
        """The address-of-record of the From header, `user@host`; cheaper than `from_uri.aor`."""
        return self.plain_from or self.from_uri.aor

    @property
    def to_aor(self) -> str:
        """The address-of-record of the To header, `user@host`; cheaper than `to_uri.aor`."""
        return self.plain_to or self.to_uri.aor

    @property
    def start_line(self) -> bytes:
        """The first line, without CRLF."""
        return self.method + b" " + self.uri_raw + b" SIP/2.0"

    @property
    def in_dialog(self) -> bool:
        """Whether the To carries a tag: the request belongs to a dialog (RFC 3261 section 12.2)."""
        index = self.shape.to
        return index >= 0 and self.lines[index].rpartition(b">")[2].lower().find(b"tag=") >= 0

    def copy(self) -> Request:
        """A copy that can be spliced on its own; the body is shared."""
        return Request(self.method, self.uri_raw, self.lines[:], self.shape, self.body)

    def __bytes__(self) -> bytes:
        return _CRLF.join([self.method + b" " + self.uri_raw + b" SIP/2.0", *self.lines, b"", self.body])

    def __repr__(self) -> str:
        return f"<{decode(self.method)} {decode(self.uri_raw)}>"


class Response(Message):
    """A SIP response.

    Attributes:
        status: 100 to 699.
        reason: the reason phrase as bytes, may be empty.
    """

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: bytes, lines: list[bytes], shape: Shape, body: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self.lines = lines
        self.shape = shape
        self.body = body
        self.length_fault = ""

    @staticmethod
    def to_request(request: Request, status: int, reason: str = "", to_tag: bytes = b"") -> Response:
        """The response to a request with the headers that RFC 3261 section 8.2.6.2 copies.

        Args:
            request: what is answered; its Vias, From, To, Call-ID and CSeq go in unchanged.
            status: the code.
            reason: another phrase than the usual one.
            to_tag: set on the To where it has no tag yet and the code is above 100.
        """
        shape = request.shape
        source = request.lines
        if shape.missing is None and shape.vias == 1 and (status != 100 or shape.at(H.TIMESTAMP) < 0):
            to = source[shape.to]
            if to_tag and not _has_tag(to):
                to = to + b";tag=" + to_tag
            lines = [source[shape.via], source[shape.from_], to, source[shape.call_id], source[shape.cseq], NO_BODY]
            return Response(status, encode(reason) if reason else phrase_bytes(status), lines, _USUAL_ANSWER)
        return _copy_what_is_there(request, status, reason, to_tag)

    @property
    def start_line(self) -> bytes:
        """The first line, without CRLF."""
        return start_line_of(self.status, self.reason)

    def copy(self) -> Response:
        """A copy that can be spliced on its own."""
        return Response(self.status, self.reason, self.lines[:], self.shape, self.body)

    def __bytes__(self) -> bytes:
        return _CRLF.join([start_line_of(self.status, self.reason), *self.lines, b"", self.body])

    def __repr__(self) -> str:
        return f"<{self.status} {decode(self.reason)}>"


_COPIED: Final = (H.VIA, H.FROM, H.TO, H.CALL_ID, H.CSEQ)
_USUAL_ANSWER: Final = shape_of((*_COPIED, H.CONTENT_LENGTH))
NO_BODY: Final = b"Content-Length: 0"


def _has_tag(to: bytes) -> bool:
    end = find_octet(to, GREATER, 0)
    if end >= 0 and end == len(to) - 1:
        return False
    return to.rpartition(b">")[2].find(b"tag=") >= 0


def _copy_what_is_there(request: Request, status: int, reason: str, to_tag: bytes) -> Response:
    """Answer a request with several Vias, or that lacks a header which every request must have.

    A Timestamp goes into a 100 (RFC 3261 section 8.2.6.1).
    """
    response = Response(status, encode(reason) if reason else phrase_bytes(status), [], EMPTY)
    shape = request.shape
    for name in _COPIED:
        for index in range(shape.at(name), len(shape.names)):
            if index >= 0 and shape.names[index] == name:
                line = request.lines[index]
                if name == H.TO and to_tag and not _has_tag(line):
                    line = line + b";tag=" + to_tag
                response.append(name, line)
                if name != H.VIA:
                    break
    timestamp = shape.at(H.TIMESTAMP)
    if status == 100 and timestamp >= 0:
        response.append(H.TIMESTAMP, request.lines[timestamp])
    response.append(H.CONTENT_LENGTH, NO_BODY)
    return response


def unfold(value: bytes) -> bytes:
    """A header value with line folding turned into single spaces (RFC 3261 section 7.3.1)."""
    if LF not in value:
        return value
    return b" ".join(part.strip() for part in value.splitlines())
