"""Typed header values: addresses, Via, CSeq, Content-Type and the like (RFC 3261 section 20).

Each type has `parse(bytes)` and turns back into bytes with `bytes(value)`. They are made when somebody asks;
a message that is only forwarded never makes one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from flexipy.sip.errors import HeaderError, UriError
from flexipy.sip.octets import COLON, COMMA, LESS, QUESTION, SPACE
from flexipy.sip.params import (
    Params,
    decode,
    encode,
    parse_params,
    quote,
    split_quoted,
    split_values,
    unquote,
)
from flexipy.sip.uri import SipUri, TelUri, parse_host_port, scheme_of

_TOKEN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")


def is_token(text: str) -> bool:
    """Whether a text is a token (RFC 3261 section 25.1)."""
    return bool(text) and _TOKEN.issuperset(text)


def _serialise_params(params: Params) -> str:
    out: list[str] = []
    for name, value in params.items():
        if value is None:
            out.append(f";{name}")
        elif is_token(value) or _is_host_like(value):
            out.append(f";{name}={value}")
        else:
            out.append(f";{name}={quote(value)}")
    return "".join(out)


def _is_host_like(value: str) -> bool:
    return bool(value) and (_TOKEN | frozenset("[]:")).issuperset(value)


@dataclass(slots=True)
class NameAddr:
    """A `"Name" <uri>;params` value: From, To, Contact, Route, Record-Route, Path, Refer-To.

    Attributes:
        uri_raw: the URI's bytes; `uri` reads them.
        display: the display name without quotes, may be empty.
        params: header parameters (not the URI's), lower-case names.
    """

    uri_raw: bytes
    display: str = ""
    params: Params = field(default_factory=dict)

    @staticmethod
    def parse(raw: bytes) -> NameAddr:
        """Read one value.

        Raises:
            HeaderError: brackets or quotes that don't match, or no URI.
        """
        if raw.startswith(b"<"):
            display, rest = b"", raw[1:]
        elif raw.startswith(b'"'):
            end = _closing_quote(raw)
            display = raw[: end + 1]
            after = raw[end + 1 :].lstrip()
            if not after.startswith(b"<"):
                raise HeaderError("no < after a display name")
            rest = after[1:]
        elif LESS in raw:
            display, _, rest = raw.partition(b"<")
            if not all(is_token(word) for word in decode(display).split()):
                raise HeaderError("display name must be quoted")
        else:
            # addr-spec: what follows the first ; belongs to the header, not to the URI (section 20.10)
            uri, _, params = raw.partition(b";")
            if QUESTION in uri or COMMA in uri:
                raise HeaderError("this URI needs angle brackets")
            return NameAddr(_checked(uri.strip()), "", parse_params(params))
        uri, closed, params = rest.partition(b">")
        if not closed or LESS in uri:
            raise HeaderError("unbalanced angle brackets")
        params = params.strip()
        if params and not params.startswith(b";"):
            raise HeaderError("unexpected text after an address")
        return NameAddr(_checked(uri.strip()), unquote(decode(display.strip())), parse_params(params))

    @staticmethod
    def parse_all(raw: bytes) -> list[NameAddr]:
        """Read the comma-separated values of one header line."""
        return [NameAddr.parse(value) for value in split_values(raw)]

    @property
    def uri(self) -> SipUri:
        """The address as a SIP URI.

        Raises:
            UriError: it is of another scheme, or broken.
        """
        return SipUri.parse(self.uri_raw)

    @property
    def tag(self) -> str | None:
        """The tag parameter (From, To)."""
        return self.params.get("tag")

    def __bytes__(self) -> bytes:
        display = f"{quote(self.display)} " if self.display else ""
        return encode(display) + b"<" + self.uri_raw + b">" + encode(_serialise_params(self.params))


def replace_uri(raw: bytes, old: bytes, new: bytes) -> bytes:
    """An address value with another URI, its other bytes as they are (parameters keep their quotes).

    Args:
        raw: the value.
        old: its URI, as `NameAddr.parse(raw).uri_raw`.
        new: comes in its place, in angle brackets.
    """
    start = _closing_quote(raw) + 1 if raw.startswith(b'"') else 0  # a display name may look like an address
    display, raw = raw[:start], raw[start:]
    bracketed = b"<" + old + b">"
    if bracketed in raw:
        return display + raw.replace(bracketed, b"<" + new + b">", 1)
    return display + raw.replace(old, new if LESS in raw else b"<" + new + b">", 1)


def _checked(uri: bytes) -> bytes:
    if not uri or COLON not in uri or SPACE in uri:
        raise HeaderError("no URI in an address")
    return uri


def _closing_quote(raw: bytes) -> int:
    index = 1
    while index < len(raw):
        if raw[index] == 0x5C:
            index += 1
        elif raw[index] == 0x22:
            return index
        index += 1
    raise HeaderError("unbalanced quotes")


@dataclass(slots=True)
class Via:
    """One Via value (RFC 3261 section 20.42).

    Attributes:
        transport: upper case, `UDP`.
        host: sent-by host, IPv6 without brackets.
        port: sent-by port or None.
    """

    transport: str
    host: str
    port: int | None
    params: Params

    @staticmethod
    def parse(raw: bytes) -> Via:
        """Read one value.

        Raises:
            HeaderError: not `SIP/2.0/TRANSPORT sent-by;params`.
        """
        head, _, params = decode(raw).strip().partition(";")
        pieces = [piece.strip() for piece in head.split("/", 2)]
        if len(pieces) != 3:
            raise HeaderError("bad Via")
        transport, _, sent_by = " ".join(pieces[2].split()).partition(" ")
        if pieces[0].upper() != "SIP" or pieces[1] != "2.0" or not is_token(transport):
            raise HeaderError("bad Via protocol")
        try:
            host, port = parse_host_port("".join(sent_by.split()))
        except UriError as error:
            raise HeaderError("bad Via sent-by") from error
        return Via(transport.upper(), host, port, parse_params(encode(params)))

    @property
    def branch(self) -> str:
        """The branch parameter, empty where there is none (RFC 2543 clients)."""
        return self.params.get("branch") or ""


@dataclass(slots=True, frozen=True)
class CSeq:
    """A CSeq value: number below 2**31 and method (RFC 3261 section 20.16)."""

    number: int
    method: str

    @staticmethod
    def parse(raw: bytes) -> CSeq:
        """Read a value.

        Raises:
            HeaderError: no number, a number of 2**32 or more, or no method.
        """
        pieces = decode(raw).split()
        if len(pieces) != 2 or not (pieces[0].isascii() and pieces[0].isdigit()):
            raise HeaderError("bad CSeq")
        if len(pieces[0]) > 10 or int(pieces[0]) >= 2**32:
            raise HeaderError("CSeq number out of range")
        return CSeq(int(pieces[0]), pieces[1])


@dataclass(slots=True)
class MediaType:
    """A Content-Type or Accept value: `application/sdp;charset=utf-8`, type in lower case."""

    type: str
    params: Params = field(default_factory=dict)

    @staticmethod
    def parse(raw: bytes) -> MediaType:
        """Read a value.

        Raises:
            HeaderError: no `type/subtype`.
        """
        head, _, params = raw.partition(b";")
        name = "".join(decode(head).lower().split())
        kind, slash, subtype = name.partition("/")
        if not slash or not kind or not subtype:
            raise HeaderError("bad media type")
        return MediaType(name, parse_params(params))


@dataclass(slots=True)
class Credentials:
    """An Authorization, Proxy-Authorization or WWW-Authenticate value: scheme and its parameters (RFC 7235)."""

    scheme: str
    params: Params

    @staticmethod
    def parse(raw: bytes) -> Credentials:
        """Read a value; the scheme comes back in lower case.

        Raises:
            HeaderError: no scheme, or unbalanced quotes.
        """
        scheme, _, rest = raw.strip().partition(b" ")
        if not scheme:
            raise HeaderError("no authentication scheme")
        params: Params = {}
        for piece in split_quoted(rest, 0x2C):
            name, _, value = decode(piece).partition("=")
            if name.strip():
                params.setdefault(name.strip().lower(), unquote(value.strip()))
        return Credentials(decode(scheme).lower(), params)


def parse_seconds(raw: bytes) -> int:
    """Delta-seconds (Expires, Min-Expires): a decimal number, capped at 2**32 - 1.

    Raises:
        HeaderError: not a number.
    """
    text = raw.strip()
    if not text.isdigit():
        raise HeaderError("not a number of seconds")
    return min(int(text[:12]), 2**32 - 1)


def parse_tokens(raw: bytes) -> list[str]:
    """A comma-separated list of tokens (Supported, Require, Allow), as written, without empty ones."""
    return [decode(part.strip()) for part in raw.split(b",") if part.strip()]


def address_uri(raw: bytes) -> SipUri | TelUri:
    """The URI of a From, To or other address value, SIP or tel.

    Raises:
        SipError: neither.
    """
    address = NameAddr.parse(raw)
    if scheme_of(address.uri_raw) == "tel":
        return TelUri.parse(address.uri_raw)
    return address.uri
