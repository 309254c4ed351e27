"""What makes a readable message unacceptable (RFC 3261 sections 8.1.1, 16.3 and 18.3; RFC 4475 tells the traps)."""

from __future__ import annotations

from typing import Final

from flexipy.sip import names as H
from flexipy.sip.errors import HeaderError, SipError
from flexipy.sip.headers import CSeq, NameAddr, Via, is_token, parse_tokens
from flexipy.sip.message import Message, Request, unfold
from flexipy.sip.octets import BACKSLASH, COMMA, GREATER, LESS, LF
from flexipy.sip.params import decode, split_quoted
from flexipy.sip.uri import SipUri, TelUri, scheme_of

# The header fields that must stand once, in the order a proxy comes to need them.
_SINGLE: Final = (H.CALL_ID, H.CSEQ, H.FROM, H.TO)
_NEEDED: Final = frozenset(_SINGLE)
_AT_MOST_ONCE: Final = frozenset(
    (*_SINGLE, H.CONTENT_LENGTH, H.CONTENT_TYPE, H.MAX_FORWARDS, H.EXPIRES, H.EVENT, H.MIN_EXPIRES)
)
_OFTEN_REPEATED: Final = (H.VIA, H.ROUTE, H.RECORD_ROUTE)
_METHODS: Final = frozenset(
    b"ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER SUBSCRIBE UPDATE".split()
)
_MAGIC: Final = b"=z9hG4bK"
_CACHE_LIMIT: Final = 65536

# Hashes of lines found good: the same people come again and again. Those of From and To are of what stands before
# the `>`. Hashes of bytes are keyed for this process, so nobody outside can make a bad line with a good one's hash.
_good_addresses: set[int] = set()
_good_contacts: set[int] = set()
_good_targets: set[int] = set()


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
    names = request.names
    kinds = frozenset(names)
    if not kinds >= _NEEDED:
        missing = next(name for name in _SINGLE if name not in kinds)
        raise HeaderError(f"missing {decode(missing)} header")
    request.repeated = len(names) - len(kinds)
    number, _, method = request.lines[names.index(H.CSEQ)].partition(b":")[2].strip().partition(b" ")
    if method != request.method or not number.isdigit() or len(number) > 9:
        _check_cseq(request)
    if request.length_fault:
        raise HeaderError(request.length_fault)


def _check_cseq(request: Request) -> None:
    cseq = CSeq.parse(request.require(H.CSEQ))
    if cseq.method != decode(request.method):
        raise HeaderError("CSeq method differs from the request's")


def check_response(response: Message) -> bool:
    """Whether a response has what matching and forwarding need."""
    names = response.names
    return (
        H.VIA in names
        and H.CSEQ in names
        and H.CALL_ID in names
        and H.TO in names
        and H.FROM in names
        and not response.length_fault
    )


def check_thoroughly(request: Request) -> None:
    """Every check that costs more: addresses, duplicates, quoting. What SanityChecker does to each request.

    Raises:
        SipError: with the status that answers the request.
    """
    names = request.names
    lines = request.lines
    repeated = request.repeated if request.repeated >= 0 else len(names) - len(set(names))
    if repeated:
        _check_repeated(request, repeated)
    elif COMMA in lines[names.index(H.VIA)]:
        _check_vias(request)
    method = request.method
    if method not in _METHODS and not is_token(decode(method)):
        raise HeaderError("method is not a token")
    if hash(request.uri_raw) not in _good_targets:
        _check_target(request.uri_raw)
    line = lines[names.index(H.FROM)]
    if line.find(b">;tag=") < 0 or not request.plain_from:
        _check_from(request, line)
    if not request.plain_to:
        _check_address(lines[names.index(H.TO)])
    if H.CONTACT in names and hash(lines[names.index(H.CONTACT)]) not in _good_contacts:
        _check_contacts(request)
    if method == b"SUBSCRIBE" and H.EVENT not in names:
        raise HeaderError("SUBSCRIBE without Event")  # RFC 6665 section 3.1.2
    if H.PROXY_REQUIRE in names:
        raise ExtensionError([tag for value in request.get_all(H.PROXY_REQUIRE) for tag in parse_tokens(value)])


def _check_repeated(request: Request, repeated: int) -> None:
    names = request.names
    for name in _OFTEN_REPEATED:
        count = names.count(name)
        if count:
            repeated -= count - 1
    if repeated:
        single = [name for name in names if name in _AT_MOST_ONCE]
        if len(single) != len(set(single)):
            twice = next(name for name in single if single.count(name) > 1)
            raise HeaderError(f"more than one {decode(twice)} header")
        if names.count(H.CONTACT) > 1:
            _check_contacts(request)
    _check_vias(request)


def _check_vias(request: Request) -> None:
    """Vias that share a line are often the work of a broken client; one to a line is the rule of proxies."""
    names = request.names
    index = names.index(H.VIA)
    for _ in range(names.count(H.VIA)):
        index = names.index(H.VIA, index)
        line = request.lines[index]
        index += 1
        if COMMA in line:
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
        value = unfold(line.partition(b":")[2]).strip()
        for part in split_quoted(value, 0x2C) if COMMA in value else [value]:
            if part != b"*":
                _check_contact(part)
        _remember(_good_contacts, line)


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
