"""SIP, SIPS and tel URIs: reading, writing, equality (RFC 3261 section 19.1, RFC 3966).

A URI is an immutable value. Parsing goes through a bounded cache, because the same addresses come again with
every request of a call.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import unquote_to_bytes

from mypy_extensions import i64

from flexipy.sip.errors import HeaderError, UriError
from flexipy.sip.octets import AT, COLON, HOST, NINE, PARAMETERS, SEMICOLON, USER, ZERO
from flexipy.sip.params import Params, decode, encode, parse_params
from flexipy.sip.searching import COMPILED, find_octet

_UNRESERVED: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()")
_USER: Final = _UNRESERVED | frozenset("&=+$,;?/%")
_HOST: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")
_SCHEME_MARKS: Final = str.maketrans("", "", "+-.")
_LONGEST_HOST: Final = 255  # RFC 1035 section 2.3.4
_CACHE_LIMIT: Final = 20000
# RFC 3261 section 19.1.4: parameters that make two URIs differ when only one of them carries it.
_TELLING: Final = ("user", "ttl", "method", "maddr", "transport")

_PARAMS_CACHE_LIMIT: Final = 4000
_SHARED_PARAMS: Final = 80  # characters; longer ones are of one device each

_cache: Final[dict[bytes, SipUri]] = {}
_params_cache: Final[dict[str, Params]] = {}


class SipUri:
    """A `sip:` or `sips:` URI (RFC 3261 section 19.1.1).

    Attributes:
        raw: the bytes it was read from; what goes on the wire.
        scheme: `sip` or `sips`.
        user: the user part as written, escapes kept; None where there is none.
        password: as written, or None.
        host: lower case; an IPv6 address without its brackets.
        port: None where none is given.
        params: lower-case names to values (None: no value), escapes resolved.
        headers: what follows `?`, raw, or an empty string.
    """

    __slots__ = ("_aor", "headers", "host", "params", "password", "port", "raw", "scheme", "user")

    def __init__(
        self,
        scheme: str,
        user: str | None,
        host: str,
        port: int | None = None,
        params: Params | None = None,
        headers: str = "",
        password: str | None = None,
        raw: bytes | None = None,
    ) -> None:
        self.scheme = scheme
        self.user = user
        self.password = password
        self.host = host
        self.port = port
        self.params: Params = params if params is not None else {}
        self.headers = headers
        self._aor: str | None = None
        self.raw = raw if raw is not None else self._compose()

    @staticmethod
    def parse(raw: bytes) -> SipUri:
        """Read a SIP or SIPS URI.

        Raises:
            UriError: 400 for broken grammar, 416 for another scheme.
        """
        found = _cache.get(raw)
        if found is None:
            if COMPILED:
                found = usual_uri(raw)
            if found is None:
                found = _parse_sip(raw)
            if len(raw) <= 512:
                if len(_cache) >= _CACHE_LIMIT:
                    _cache.clear()
                _cache[raw] = found
        return found

    def _compose(self) -> bytes:
        userinfo = ""
        if self.user is not None:
            userinfo = f"{self.user}@" if self.password is None else f"{self.user}:{self.password}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        params = "".join(_param_text(name, value) for name, value in self.params.items())
        headers = f"?{self.headers}" if self.headers else ""
        return encode(f"{self.scheme}:{userinfo}{host}{port}{params}{headers}")

    @property
    def aor(self) -> str:
        """`user@host` without port or parameters, the user unescaped; the bare host where there is no user."""
        aor = self._aor
        if aor is None:
            aor = self.host if self.user is None else f"{unescape(self.user)}@{self.host}"
            self._aor = aor
        return aor

    @property
    def secure(self) -> bool:
        """Whether the scheme is `sips`."""
        return self.scheme == "sips"

    @property
    def host_port(self) -> str:
        """Host and, where given, port; IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def param(self, name: str) -> str | None:
        """A parameter's value; an empty string for one without a value, None where absent."""
        if name not in self.params:
            return None
        return self.params[name] or ""

    def with_params(self, **changes: str | None) -> SipUri:
        """A copy with parameters set (a text, or "" for a bare one) or removed (None); `_` stands for `-`."""
        params = dict(self.params)
        for key, value in changes.items():
            name = key.replace("_", "-")
            if value is None:
                params.pop(name, None)
            else:
                params[name] = value or None
        return SipUri(self.scheme, self.user, self.host, self.port, params, self.headers, self.password)

    def without_params(self, names: frozenset[str]) -> SipUri:
        """A copy without some parameters; itself where it has none of them."""
        if names.isdisjoint(self.params):
            return self
        params = {name: value for name, value in self.params.items() if name not in names}
        return SipUri(self.scheme, self.user, self.host, self.port, params, self.headers, self.password)

    def as_request_uri(self) -> SipUri:
        """The same URI without what a Request-URI can't have: header fields and `method` (RFC 3261 section 19.1.1)."""
        if not self.headers and "method" not in self.params:
            return self
        params = {name: value for name, value in self.params.items() if name != "method"}
        return SipUri(self.scheme, self.user, self.host, self.port, params, "", self.password)

    def with_address(self, host: str, port: int | None) -> SipUri:
        """A copy that names another host and port."""
        return SipUri(self.scheme, self.user, host, port, self.params, self.headers, self.password)

    def matches(self, other: SipUri) -> bool:
        """Whether two URIs are equal by RFC 3261 section 19.1.4 (not an equivalence: it isn't transitive)."""
        if (self.scheme, self.host, self.port) != (other.scheme, other.host, other.port):
            return False
        if _unescaped(self.user) != _unescaped(other.user):
            return False
        if _unescaped(self.password) != _unescaped(other.password):
            return False
        if not _params_match(self.params, other.params):
            return False
        return _header_set(self.headers) == _header_set(other.headers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SipUri) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __str__(self) -> str:
        return decode(self.raw)

    def __repr__(self) -> str:
        return f"<{decode(self.raw)}>"


class TelUri:
    """A `tel:` URI (RFC 3966): a number and its parameters."""

    __slots__ = ("number", "params", "raw")

    def __init__(self, number: str, params: Params, raw: bytes) -> None:
        self.number = number
        self.params = params
        self.raw = raw

    @staticmethod
    def parse(raw: bytes) -> TelUri:
        """Read a tel URI.

        Raises:
            UriError: no number, or characters that no number has.
        """
        scheme, _, rest = decode(raw).partition(":")
        number, _, params = rest.partition(";")
        digits = frozenset("0123456789abcdefABCDEF*#-.()+")
        if scheme.lower() != "tel" or not number or not digits.issuperset(number):
            raise UriError("not a telephone number")
        return TelUri(number, parse_params(encode(params)), raw)

    @property
    def digits(self) -> str:
        """The number without visual separators; two numbers are compared by it (RFC 3966 section 4)."""
        return "".join(character for character in self.number if character not in "-.()").lower()

    def to_sip(self, domain: str) -> SipUri:
        """The SIP URI for this number at a domain (RFC 3261 section 19.1.6)."""
        return SipUri("sip", self.digits, domain, None, {"user": "phone"})


def scheme_of(raw: bytes) -> str:
    """The scheme in lower case, empty where there is no colon."""
    name, colon, _ = raw.partition(b":")
    return decode(name).lower() if colon else ""


def _is_scheme(text: str) -> bool:
    """Whether a text can be a URI scheme, be it unknown (RFC 3986 section 3.1)."""
    return text.isascii() and text[:1].isalpha() and text.translate(_SCHEME_MARKS).isalnum()


def unescape(text: str) -> str:
    """`%hh` escapes resolved to their bytes, read as UTF-8. Text without escapes is returned as it is."""
    if "%" not in text:
        return text
    return decode(unquote_to_bytes(encode(text)))


def _unescaped(text: str | None) -> str | None:
    return None if text is None else unescape(text)


def _escape_param(text: str) -> str:
    allowed = _UNRESERVED | frozenset("[]/:&+$%")
    if allowed.issuperset(text):
        return text
    return "".join(c if c in allowed else "".join(f"%{b:02X}" for b in encode(c)) for c in text)


def _param_text(name: str, value: str | None) -> str:
    return f";{name}" if value is None else f";{name}={_escape_param(value)}"


def _params_match(ours: Params, theirs: Params) -> bool:
    for name in ours.keys() & theirs.keys():
        if (ours[name] or "").lower() != (theirs[name] or "").lower():
            return False
    return not any((name in ours) != (name in theirs) for name in _TELLING)


def _header_set(headers: str) -> frozenset[str]:
    return frozenset(unescape(part).lower() for part in headers.split("&") if part)


def parse_host_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]` or `[v6]:port`; the host in lower case and without brackets.

    Raises:
        UriError: anything else.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        try:
            IPv6Address(host)
        except AddressValueError as error:
            raise UriError("not an IPv6 address") from error
        if not bracket or (rest and not rest.startswith(":")):
            raise UriError("bad IPv6 reference")
        port = rest[1:] if rest else ""
        host = host.lower()
    else:
        host, colon, port = text.partition(":")
        host = host.lower()
        if not host or len(host) > _LONGEST_HOST or not _HOST.issuperset(host):
            raise UriError("bad host name")
        rest = colon + port
    if not rest:
        return host, None
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UriError("bad port")
    return host, int(port)


def usual_uri(raw: bytes) -> SipUri | None:
    """`_parse_sip` for compiled code, octet by octet; None for what needs a closer look."""
    size: i64 = len(raw)
    if end_of_usual_uri(raw, 0) != size:
        return None
    middle = find_octet(raw, AT, _BEGIN)
    at = middle + 1 if middle >= 0 else _BEGIN
    begin = at
    while at < size and raw[at] != COLON and raw[at] != SEMICOLON:
        at += 1
    host = raw[begin:at].decode("ascii")
    port: int | None = None
    if at < size and raw[at] == COLON:
        number: i64 = 0
        at += 1
        while at < size and raw[at] != SEMICOLON:
            number = number * 10 + raw[at] - ZERO
            at += 1
        if number > 65535:
            return None
        port = number
    params: Params = _params(raw[at + 1 :].decode("ascii")) if at < size else {}
    return SipUri("sip", raw[_BEGIN:middle].decode("ascii") if middle >= 0 else None, host, port, params, "", None, raw)


_BEGIN: Final = 4
_SIP: Final = b"sip:"


def end_of_usual_uri(raw: bytes, at: i64) -> i64:
    """Where a `sip:` URI ends that begins at a place and is written in the usual way; -1 for any other.

    The usual way is without escapes and headers, the host in lower case and no IPv6 address. For compiled code.
    """
    size: i64 = len(raw)
    if raw[at : at + _BEGIN] != _SIP:
        return -1
    at += _BEGIN
    begin = at
    while at < size and USER[raw[at]]:  # the user or the host
        at += 1
    if at < size and raw[at] == AT:
        if at == begin:
            return -1
        begin = at + 1
    at = begin
    while at < size and HOST[raw[at]]:
        at += 1
    if at == begin or at - begin > _LONGEST_HOST:
        return -1
    if at < size and raw[at] == COLON:
        at += 1
        begin = at
        while at < size and ZERO <= raw[at] <= NINE:
            at += 1
        if at == begin or at - begin > 5:
            return -1
    if at < size and raw[at] == SEMICOLON:
        at += 1
        while at < size and PARAMETERS[raw[at]]:
            at += 1
    return at


def _parse_sip(raw: bytes) -> SipUri:
    text = decode(raw)
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme not in ("sip", "sips"):
        raise UriError("unsupported URI scheme", 416 if colon and _is_scheme(scheme) else 400)
    scheme = "sips" if scheme == "sips" else "sip"  # one string for all: ten thousands of contacts are kept
    if any(character <= " " or character in '<>"' for character in rest):
        raise UriError("white space or brackets in a URI")
    # An unescaped @ can only end the user part, which itself may hold ; and ?.
    userinfo, at, tail = rest.partition("@")
    if not at:
        tail = rest
    elif "@" in tail:
        raise UriError("more than one @")
    tail, _, headers = tail.partition("?")
    hostport, semicolon, params = tail.partition(";")
    user: str | None = None
    password: str | None = None
    if at:
        user, has_password, secret = userinfo.partition(":")
        password = secret if has_password else None
        if not user or (user.isascii() and not _USER.issuperset(user)):
            raise UriError("bad user part")
    host, port = parse_host_port(hostport)
    return SipUri(scheme, user, host, port, _params(params) if semicolon else {}, headers, password, raw)


def _params(text: str) -> Params:
    """The parameters behind the `;`; one object for all URIs with the same text, since nobody changes them."""
    found = _params_cache.get(text)
    if found is None:
        try:
            found = parse_params(encode(text))
        except HeaderError as error:
            raise UriError(str(error)) from error
        if "%" in text:
            found = {name: None if value is None else unescape(value) for name, value in found.items()}
        if len(text) <= _SHARED_PARAMS:
            if len(_params_cache) >= _PARAMS_CACHE_LIMIT:
                _params_cache.clear()
            _params_cache[text] = found
    return found
