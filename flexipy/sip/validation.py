"""What makes a readable message unacceptable (RFC 3261 sections 8.1.1, 16.3 and 18.3; RFC 4475 tells the traps)."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from flexipy.sip import names as H
from flexipy.sip.errors import HeaderError, SipError
from flexipy.sip.headers import CSeq, NameAddr, Via, is_token, parse_tokens
from flexipy.sip.message import Message, Request, unfold
from flexipy.sip.octets import BACKSLASH, COMMA, EQUALS, GREATER, LESS, LF, QUOTE, SEMICOLON, table
from flexipy.sip.params import decode, split_quoted
from flexipy.sip.plain import behind_name
from flexipy.sip.searching import COMPILED, find_octet, has_usual_tag
from flexipy.sip.uri import SipUri, TelUri, end_of_usual_uri, scheme_of

_METHODS: Final = frozenset(
    b"ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER SUBSCRIBE UPDATE".split()
)
_MAGIC: Final = b"=z9hG4bK"
_CACHE_LIMIT: Final = 65536

# Hashes of lines found good: the same people come again and again. Those of From and To are of what stands before
# the `>`. Hashes of bytes are keyed for this process, so nobody outside can make a bad line with a good one's hash.
_good_addresses: Final[set[int]] = set()
_good_contacts: Final[set[int]] = set()
_good_targets: Final[set[int]] = set()


class ExtensionError(SipError):
    """A request that insists on extensions which proxies here do not have (RFC 3261 section 16.3 item 5).

    Attributes:
        unsupported: their option tags.
    """

    def __init__(self, unsupported: list[str]) -> None:
        super().__init__("Bad Extension", 420)
        self.unsupported = unsupported


def check_request(request: Request) -> None:
    """Cheap checks on every request: what routing and transactions rely on.

    Raises:
        SipError: with the status that answers the request.
    """
    missing = request.shape.missing
    if missing is not None:
        raise HeaderError(f"missing {decode(missing)} header")
    if request.number < 0:
        _check_cseq(request)
    if request.length_fault:
        raise HeaderError(request.length_fault)


def _check_cseq(request: Request) -> None:
    cseq = CSeq.parse(request.require(H.CSEQ))
    if cseq.method != decode(request.method):
        raise HeaderError("CSeq method differs from the request's")


def check_response(response: Message) -> bool:
    """Whether a response has what matching and forwarding need."""
    shape = response.shape
    return shape.missing is None and shape.via >= 0 and not response.length_fault


def check_thoroughly(request: Request) -> None:
    """Every check that costs more: addresses, duplicates, quoting. What SanityChecker does to each request.

    Raises:
        SipError: with the status that answers the request.
    """
    shape = request.shape
    lines = request.lines
    if shape.twice is not None:
        raise HeaderError(f"more than one {decode(shape.twice)} header")
    if shape.vias != 1 or COMMA in lines[shape.via]:
        _check_vias(request)
    method = request.method
    if method not in _METHODS and not is_token(decode(method)):
        raise HeaderError("method is not a token")
    if hash(request.uri_raw) not in _good_targets:
        _check_target(request.uri_raw)
    line = lines[shape.from_]
    if not has_usual_tag(line) or not request.plain_from:
        _check_from(request, line)
    if not request.plain_to:
        _check_address(lines[shape.to])
    contact = shape.contact
    if contact >= 0 and (shape.contacts > 1 or hash(lines[contact]) not in _good_contacts):
        _check_contacts(request)
    if method == b"SUBSCRIBE" and H.EVENT not in request:
        raise HeaderError("SUBSCRIBE without Event")  # RFC 6665 section 3.1.2
    if shape.proxy_require >= 0:
        raise ExtensionError([tag for value in request.get_all(H.PROXY_REQUIRE) for tag in parse_tokens(value)])


def _check_vias(request: Request) -> None:
    """Vias that share a line are often the work of a broken client; one to a line is the rule of proxies."""
    for name, line in zip(request.names, request.lines, strict=True):
        if name == H.VIA and COMMA in line:
            for value in split_quoted(unfold(line.partition(b":")[2]), 0x2C):
                Via.parse(value)
                _check_params(value.partition(b";")[2])


def _check_target(raw: bytes) -> None:
    if raw[:4] != b"sip:" and scheme_of(raw) == "tel":
        TelUri.parse(raw)
    elif SipUri.parse(raw).headers:
        raise SipError("header fields in the request URI")
    _remember(_good_targets, raw)


def _check_from(request: Request, line: bytes) -> None:
    _check_address(line)
    # Without a branch of RFC 3261 in its Via the request is an older client's, which had no tags.
    if line.find(b">;tag=") < 0 and _MAGIC in request.require(H.VIA) and request.from_.tag is None:
        raise HeaderError("From without a tag")


def _check_address(line: bytes) -> None:
    """Look at a From or To; keep in mind what is good."""
    head, closed, tail = line.partition(b">")
    if hash(head) in _good_addresses and (not tail or (tail[:1] == b";" and LESS not in tail)):
        return
    value = unfold(line.partition(b":")[2]).strip()
    address = NameAddr.parse(value)
    if scheme_of(address.uri_raw) in ("sip", "sips"):
        SipUri.parse(address.uri_raw)
    if address.tag is not None and not is_token(address.tag):
        raise HeaderError("tag is not a token")
    if closed and LF not in line and _is_whole(head):
        _remember(_good_addresses, head)


def _is_whole(head: bytes) -> bool:
    """Whether what stands before the first `>` is an address up to its end, not part of a display name."""
    return BACKSLASH not in head and head.count(b'"') % 2 == 0 and head.count(b"<") == 1


def _check_contacts(request: Request) -> None:
    for name, line in zip(request.names, request.lines, strict=True):
        if name != H.CONTACT or hash(line) in _good_contacts:
            continue
        if COMPILED and is_usual_contact(line):
            _remember(_good_contacts, line)
            continue
        value = unfold(line.partition(b":")[2]).strip()
        for part in split_quoted(value, 0x2C) if COMMA in value else [value]:
            if part != b"*":
                _check_contact(part)
        _remember(_good_contacts, line)


def is_usual_contact(line: bytes) -> bool:
    """Whether a Contact line is one usual address with usual parameters, as nearly every one; for compiled code."""
    size: i64 = len(line)
    at = behind_name(line)
    if at >= size or line[at] != LESS:
        return False
    at = end_of_usual_uri(line, at + 1)
    if at < 0 or at >= size or line[at] != GREATER:
        return False
    at += 1
    last: i64 = GREATER
    while at < size:
        octet: i64 = line[at]
        if octet == QUOTE:
            at = find_octet(line, QUOTE, at + 1)
            if last != EQUALS or at < 0:
                return False
        elif octet == SEMICOLON:
            if last == SEMICOLON:
                return False
        elif not _IN_PARAMETER[octet] or last in (GREATER, QUOTE) or (last == SEMICOLON and octet == EQUALS):
            return False
        last = octet
        at += 1
    return last != SEMICOLON and BACKSLASH not in line


_IN_PARAMETER: Final = table(bytes(octet for octet in range(0x21, 0x7F) if octet not in b'",;<>\\'))


def _check_contact(value: bytes) -> None:
    address = NameAddr.parse(value)
    if scheme_of(address.uri_raw) in ("sip", "sips"):
        SipUri.parse(address.uri_raw)
    if GREATER in value:
        _check_params(value.rpartition(b">")[2].partition(b";")[2])


def _check_params(raw: bytes) -> None:
    """Refuse separators with nothing between them (RFC 4475 section 3.1.2.1)."""
    if b";;" in raw or raw.endswith(b";"):
        raise HeaderError("empty parameter")


def _remember(known: set[int], line: bytes) -> None:
    if len(known) >= _CACHE_LIMIT:
        known.clear()
    known.add(hash(line))
