"""What makes a readable message unacceptable (RFC 3261 sections 8.1.1, 16.3 and 18.3; RFC 4475 tells the traps)."""

from __future__ import annotations

from typing import Final

from flexipy.sip import names as H
from flexipy.sip.errors import HeaderError, SipError
from flexipy.sip.headers import CSeq, NameAddr, is_token
from flexipy.sip.message import Message, Request
from flexipy.sip.params import decode
from flexipy.sip.uri import TelUri, scheme_of

# The header fields that must stand once, in the order a proxy comes to need them.
_SINGLE: Final = (H.CALL_ID, H.CSEQ, H.FROM, H.TO)
_AT_MOST_ONCE: Final = (H.CONTENT_LENGTH, H.CONTENT_TYPE, H.MAX_FORWARDS, H.EXPIRES)
_SPECIAL: Final = frozenset(b'"<,\\')
_URI_BREAKERS: Final = frozenset(b' <>"\t')


def check_request(request: Request) -> None:
    """Cheap checks on every request: what routing and transactions rely on.

    Raises:
        SipError: with the status that answers the request.
    """
    names = request.names
    for name in _SINGLE:
        if name not in names:
            raise HeaderError(f"missing {decode(name)} header")
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
    return H.VIA in names and H.CSEQ in names and H.CALL_ID in names and not response.length_fault


def check_thoroughly(request: Request) -> None:
    """Every check that costs more: addresses, duplicates, quoting. What SanityChecker does to each request.

    Raises:
        SipError: with the status that answers the request.
    """
    names = request.names
    for name in _SINGLE:
        if names.count(name) > 1:
            raise HeaderError(f"more than one {decode(name)} header")
    for name in _AT_MOST_ONCE:
        if name in names and names.count(name) > 1:
            raise HeaderError(f"more than one {decode(name)} header")
    if not is_token(decode(request.method)):
        raise HeaderError("method is not a token")
    _check_uri(request.uri_raw)
    for name in (H.FROM, H.TO):
        _check_address(request.lines[names.index(name)].partition(b":")[2].strip())
    if H.CONTACT in names:
        for value in request.get_all(H.CONTACT):
            if value != b"*":
                _check_address(value)
    if request.method == b"REGISTER":
        _check_register_to(request)


def _check_uri(raw: bytes) -> None:
    if not _URI_BREAKERS.isdisjoint(raw):
        raise SipError("white space or brackets in the request URI")
    scheme = scheme_of(raw)
    if scheme == "tel":
        TelUri.parse(raw)
    elif scheme not in ("sip", "sips"):
        raise SipError("unsupported URI scheme", 416)


def _check_address(value: bytes) -> None:
    # Plain `<sip:a@b>;tag=x` needs no thorough look; that is nearly every message.
    if value[:1] == b"<" and value.count(b"<") == 1 and value.count(b">") == 1 and b'"' not in value:
        return
    NameAddr.parse(b" ".join(value.split()) if b"\n" in value else value)


def _check_register_to(request: Request) -> None:
    scheme = scheme_of(NameAddr.parse(request.require(H.TO)).uri_raw)
    if scheme not in ("sip", "sips"):
        raise SipError("unsupported URI scheme in To", 416)
