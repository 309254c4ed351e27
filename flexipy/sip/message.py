"""Requests and responses: read in one pass, kept as they came, spliced when forwarded (RFC 3261 section 7).

A message is its start line, its header lines (bytes as received, a folded header is one entry) with their
canonical names beside them, and its body. Nothing is decoded until asked for. Forwarding inserts, removes or
replaces whole lines; untouched lines and the body go out byte for byte.
"""

from __future__ import annotations

from typing import Final

from flexipy.sip import heads
from flexipy.sip import names as H
from flexipy.sip.errors import HeaderError, ParseError
from flexipy.sip.headers import CSeq, NameAddr, Via
from flexipy.sip.octets import COMMA, GREATER, LESS, LF, QUOTE, SEMICOLON
from flexipy.sip.params import decode, encode, find_param, split_values
from flexipy.sip.plain import plain_address
from flexipy.sip.status import phrase_bytes
from flexipy.sip.uri import SipUri

_CRLF: Final = b"\r\n"
_VERSION: Final = b"SIP/2.0"


class Message:
    """What requests and responses share: header lines and a body.

    Attributes:
        lines: header lines without their CRLF, as received.
        names: canonical name of each line (see `flexipy.sip.names`).
        body: everything after the empty line.
        length_fault: what is wrong with Content-Length, found while reading; empty for nothing.
    """

    __slots__ = ("body", "length_fault", "lines", "names")

    def __init__(self, lines: list[bytes], names: list[bytes], body: bytes) -> None:
        self.lines = lines
        self.names = names
        self.body = body
        self.length_fault = ""

    # --- reading -----------------------------------------------------------------------------------------

    def __contains__(self, name: bytes) -> bool:
        return name in self.names

    def get(self, name: bytes) -> bytes | None:
        """The first header line's value of that name, trimmed; None where there is none.

        Args:
            name: canonical name, `names.VIA` or b"x-custom".
        """
        names = self.names
        if name not in names:
            return None
        return self.lines[names.index(name)].partition(b":")[2].strip()

    def get_text(self, name: bytes) -> str:
        """The first value as text, empty where there is none, line folding resolved."""
        raw = self.get(name)
        return "" if raw is None else decode(unfold(raw))

    def get_all(self, name: bytes) -> list[bytes]:
        """Each value of that name, in order; values sharing a line are taken apart (RFC 3261 section 7.3.1)."""
        names = self.names
        if name not in names:
            return []
        found: list[bytes] = []
        for index, other in enumerate(names):
            if other == name:
                value = self.lines[index].partition(b":")[2]
                found.extend(split_values(value) if COMMA in value else [value.strip()])
        return found

    def count(self, name: bytes) -> int:
        """How many header lines have that name."""
        return self.names.count(name)

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
        return self.get(H.CALL_ID) or b""

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
        names = self.names
        if name not in names:
            return b""
        line = self.lines[names.index(name)]
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
        if name not in self.names:
            raise HeaderError(f"missing {decode(name)} header")
        line = self.lines[self.names.index(name)]
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
        self.names.append(name)
        self.lines.append(line)

    def insert(self, index: int, name: bytes, line: bytes) -> None:
        """Put a header line before the one at an index."""
        self.names.insert(index, name)
        self.lines.insert(index, line)

    def set(self, name: bytes, line: bytes) -> None:
        """Replace the first line of that name, or append."""
        if name in self.names:
            self.lines[self.names.index(name)] = line
        else:
            self.append(name, line)

    def remove(self, name: bytes) -> int:
        """Take out every line of that name; how many there were."""
        removed = 0
        while name in self.names:
            index = self.names.index(name)
            del self.names[index]
            del self.lines[index]
            removed += 1
        return removed

    def remove_at(self, index: int) -> None:
        """Take out the line at an index."""
        del self.names[index]
        del self.lines[index]

    def set_values(self, name: bytes, title: bytes, values: list[bytes]) -> None:
        """Replace all values of a header by others, one a line, where its first line stood."""
        index = self.names.index(name) if name in self.names else len(self.names)
        self.remove(name)
        self.lines[index:index] = [title + b": " + value for value in values]
        self.names[index:index] = [name] * len(values)

    def pop_first_value(self, name: bytes) -> bytes | None:
        """Take the first value of a header off and return it; None where there is none."""
        names = self.names
        if name not in names:
            return None
        index = names.index(name)
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
        del names[index]
        del self.lines[index]
        return line.partition(b":")[2].strip()

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
        repeated: how many headers had the name of one before them when `check_request` looked; -1 before it did.
    """

    __slots__ = ("_plain_from", "_plain_to", "method", "repeated", "uri_raw")

    def __init__(
        self, method: bytes, uri_raw: bytes, lines: list[bytes], names: list[bytes], body: bytes = b""
    ) -> None:
        self._plain_from: str | None = None
        self._plain_to: str | None = None
        self.repeated = -1
        self.method = method
        self.uri_raw = uri_raw
        self.lines = lines
        self.names = names
        self.body = body
        self.length_fault = ""

    @staticmethod
    def build(method: str, uri: str, headers: list[tuple[str, str]], body: bytes = b"") -> Request:
        """Make a request of one's own from texts; Content-Length is added."""
        request = Request(encode(method), encode(uri), [], [], b"")
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
            plain = self._plain_from = plain_address(self.lines[self.names.index(H.FROM)])
        return plain

    @property
    def plain_to(self) -> str:
        """`user@host` of the To header where it has the usual form, else empty."""
        plain = self._plain_to
        if plain is None:
            plain = self._plain_to = plain_address(self.lines[self.names.index(H.TO)])
        return plain

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
        to = self.get(H.TO)
        return to is not None and to.rpartition(b">")[2].lower().find(b"tag=") >= 0

    def copy(self) -> Request:
        """A copy that can be spliced on its own; the body is shared."""
        return Request(self.method, self.uri_raw, self.lines[:], self.names[:], self.body)

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

    def __init__(self, status: int, reason: bytes, lines: list[bytes], names: list[bytes], body: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self.lines = lines
        self.names = names
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
        names = request.names
        source = request.lines
        try:
            to = source[names.index(H.TO)]
            lines = [
                source[names.index(H.VIA)],
                source[names.index(H.FROM)],
                to,
                source[names.index(H.CALL_ID)],
                source[names.index(H.CSEQ)],
            ]
            copied = _COPIED[:]
        except ValueError:
            lines, copied = _copy_what_is_there(request)
            to = b""
        if to and to_tag and to.rpartition(b">")[2].find(b"tag=") < 0:
            lines[2] = to + b";tag=" + to_tag
        if names.count(H.VIA) > 1 or H.TIMESTAMP in names:
            _copy_more(request, status, lines, copied)
        lines.append(b"Content-Length: 0")
        copied.append(H.CONTENT_LENGTH)
        return Response(status, encode(reason) if reason else phrase_bytes(status), lines, copied)

    @property
    def start_line(self) -> bytes:
        """The first line, without CRLF."""
        return b"SIP/2.0 %d %b" % (self.status, self.reason)

    def copy(self) -> Response:
        """A copy that can be spliced on its own."""
        return Response(self.status, self.reason, self.lines[:], self.names[:], self.body)

    def __bytes__(self) -> bytes:
        return _CRLF.join([b"SIP/2.0 %d %b" % (self.status, self.reason), *self.lines, b"", self.body])

    def __repr__(self) -> str:
        return f"<{self.status} {decode(self.reason)}>"


_COPIED: Final = [H.VIA, H.FROM, H.TO, H.CALL_ID, H.CSEQ]


def _copy_what_is_there(request: Request) -> tuple[list[bytes], list[bytes]]:
    """For a request that lacks a header which every request must have: it is answered all the same."""
    pairs = [pair for pair in zip(request.lines, request.names, strict=True) if pair[1] in _COPIED]
    return [line for line, _ in pairs], [name for _, name in pairs]


def _copy_more(request: Request, status: int, lines: list[bytes], copied: list[bytes]) -> None:
    """The Vias below the first, and the Timestamp into a 100 (RFC 3261 section 8.2.6.1)."""
    vias = [line for line, name in zip(request.lines, request.names, strict=True) if name == H.VIA]
    have = copied.count(H.VIA)
    lines[have:have] = vias[have:]
    copied[have:have] = [H.VIA] * (len(vias) - have)
    if status == 100 and H.TIMESTAMP in request.names:
        lines.append(request.lines[request.names.index(H.TIMESTAMP)])
        copied.append(H.TIMESTAMP)


def unfold(value: bytes) -> bytes:
    """A header value with line folding turned into single spaces (RFC 3261 section 7.3.1)."""
    if LF not in value:
        return value
    return b" ".join(part.strip() for part in value.splitlines())


def parse(data: bytes) -> Request | Response:
    """Read one message.

    Args:
        data: a datagram, or a message that the stream framer cut out. Bytes beyond Content-Length are dropped.

    Raises:
        ParseError: not a SIP message, or one that nothing sensible can be made of. `validate` finds what is
            wrong with a message that could be read.
    """
    start, lines, names, body = heads.read(data)
    fault = ""
    if lines and lines[-1] == b"Content-Length: 0" and not body:
        pass  # nearly every message without a body ends like that
    elif H.CONTENT_LENGTH in names:
        text = lines[names.index(H.CONTENT_LENGTH)].partition(b":")[2].strip()
        if not text.isdigit() or len(text) > 10:
            fault = "bad Content-Length"
        else:
            length = int(text)
            if length < len(body):
                body = body[:length]
            elif length > len(body):
                fault = "body shorter than Content-Length"
    else:
        # Optional in a datagram only, and it may leave by a stream (RFC 3261 sections 16.6 step 10, 20.14).
        lines.append(b"Content-Length: %d" % len(body))
        names.append(H.CONTENT_LENGTH)
    message = _response(start, lines, names, body) if start[:8] == b"SIP/2.0 " else _request(start, lines, names, body)
    if fault:
        message.length_fault = fault
    return message


def _request(start: bytes, lines: list[bytes], names: list[bytes], body: bytes) -> Request:
    space = start.find(b" ")
    if 0 < space < len(start) - 9 and start.endswith(b" SIP/2.0"):
        return Request(start[:space], start[space + 1 : -8], lines, names, body)
    method, _, rest = start.partition(b" ")
    uri, _, version = rest.rpartition(b" ")
    if version != _VERSION:
        # White space after the version, or another version; both leave a readable request behind.
        trimmed = rest.rstrip(b" \t")
        uri, _, version = trimmed.rpartition(b" ")
        if not version.upper().startswith(b"SIP/"):
            raise ParseError("not a SIP request line")
        if version.upper() != _VERSION:
            request = Request(method, uri, lines, names, body)
            raise VersionError(request)
    if not method or not uri:
        raise ParseError("not a SIP request line")
    return Request(method, uri, lines, names, body)


def _response(start: bytes, lines: list[bytes], names: list[bytes], body: bytes) -> Response:
    code = start[8:11]
    if not code.isdigit() or start[11:12] not in (b" ", b""):
        raise ParseError("bad status code")
    status = int(code)
    if not 100 <= status <= 699:
        raise ParseError("status code out of range")
    return Response(status, start[12:], lines, names, body)


class VersionError(ParseError):
    """A request of another SIP version, to be answered 505.

    Attributes:
        request: what could be read of it.
    """

    def __init__(self, request: Request) -> None:
        super().__init__("SIP version not supported", 505)
        self.request = request
