"""The headers of digest authentication: credentials and challenges, read and written (RFC 7616 section 3).

Credentials come with every registration, so the reader is made for speed: it knows from earlier headers what
stands between the quoted strings.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Final
from urllib.parse import unquote_to_bytes

from mypy_extensions import i64

from flexipy.sip.errors import HeaderError
from flexipy.sip.octets import BACKSLASH, COMMA, EQUALS, QUOTE, SPACE, TAB
from flexipy.sip.params import decode, encode, quote, unquote
from flexipy.sip.searching import COMPILED, find_octet

_FIRST_USE: Final = "00000001"
_HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")
# What stands between two quoted strings: complete pairs, then the name of the quoted string that follows.
Between = tuple[tuple[tuple[str, str], ...], str]
_CACHE_LIMIT: Final = 1024
_BETWEEN_LENGTH: Final = 64
_between_cache: Final[dict[str, Between]] = {}

# A client writes its credentials in one form: the same names in the same order. What stands between the quoted
# strings is the form; with it is kept how to pick the ten fields out of the pieces.
_FORM_LENGTH: Final = 256
_QUOTED: Final = ("username", "realm", "nonce", "uri", "response", "cnonce", "opaque")
Fields = tuple[str, str, str, str, str, str, str, str, str, str]
_forms: Final[dict[tuple[str, ...], Callable[[list[str]], Fields]]] = {}


class Authorization:
    """Credentials of an Authorization or Proxy-Authorization header.

    Attributes:
        username: decoded; empty where absent.
        algorithm: as `ALGORITHMS` names it, `MD5` where absent, with `-SESS` where that variant is meant.
        qop: lower case, empty for RFC 2069 clients.
        nc: the nonce count as sent: eight hexadecimal digits.
    """

    __slots__ = ("algorithm", "cnonce", "nc", "nonce", "opaque", "qop", "realm", "response", "uri", "username")

    def __init__(
        self,
        username: str,
        realm: str,
        nonce: str,
        uri: str,
        response: str,
        algorithm: str,
        qop: str,
        nc: str,
        cnonce: str,
        opaque: str,
    ) -> None:
        self.username = username
        self.realm = realm
        self.nonce = nonce
        self.uri = uri
        self.response = response
        self.algorithm = algorithm
        self.qop = qop
        self.nc = nc
        self.cnonce = cnonce
        self.opaque = opaque

    @property
    def nonce_count(self) -> int:
        """`nc` as a number, -1 where it isn't one."""
        nc = self.nc
        if nc == _FIRST_USE:
            return 1
        return int(nc, 16) if len(nc) == 8 and _HEXADECIMAL.issuperset(nc) else -1

    def fields(self) -> Fields:
        """What it holds, in the order in which it is made of it."""
        first = (self.username, self.realm, self.nonce, self.uri, self.response)
        return (*first, self.algorithm, self.qop, self.nc, self.cnonce, self.opaque)


@dataclass(slots=True, frozen=True)
class Challenge:
    """What a WWW-Authenticate or Proxy-Authenticate header asks for.

    Attributes:
        algorithm: in upper case; one that is not in `ALGORITHMS` has to be passed over.
        qop: offered protections, empty for RFC 2069 servers.
        stale: the last answer was right but its nonce too old.
    """

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ("auth",)
    stale: bool = False
    opaque: str = ""

    def __bytes__(self) -> bytes:
        parts = [f"Digest realm={quote(self.realm)}, nonce={quote(self.nonce)}, algorithm={self.algorithm}"]
        if self.opaque:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.qop:
            parts.append(f'qop="{",".join(self.qop)}"')
        if self.stale:
            parts.append("stale=true")
        return encode(", ".join(parts))


def parse_authorization(raw: bytes) -> Authorization:
    """Read digest credentials.

    Args:
        raw: the header's value, `Digest username="alice", ...`.

    Raises:
        HeaderError: another scheme, quotes that don't match, or no nonce, realm, uri or response.
    """
    if COMPILED:
        usual = usual_credentials(raw)
        if usual is not None:
            return usual
    text = raw.decode("utf-8", "surrogateescape")
    if "\\" in text:
        return _credentials(_scan(raw))
    pieces = text.split('"')
    if len(pieces) & 1 == 0:
        raise HeaderError("unbalanced quotes")
    form = tuple(pieces[::2])
    pick = _forms.get(form)
    if pick is not None:
        return Authorization(*pick(pieces))
    credentials = _credentials(_scan(raw))
    _remember_form(form)
    return credentials


def usual_credentials(raw: bytes) -> Authorization | None:
    """`parse_authorization` for compiled code, octet by octet; None for what is written in an unusual way."""
    if not raw.isascii() or BACKSLASH in raw:
        return None
    at = _behind_blanks(raw, 0)
    if raw[at : at + 7] != _SCHEME:
        return None
    size: i64 = len(raw)
    text = raw.decode("ascii")
    found = [""] * len(_KINDS)
    seen: i64 = 0
    at = _behind_blanks(raw, at + 7)
    while at < size:
        name = at
        while at < size and raw[at] != EQUALS:
            at += 1
        kind = _kind_of(raw, name, at - name)
        if kind < 0 or seen >> kind & 1:
            return None
        seen |= 1 << kind
        quoted: i64 = 1 if at + 1 < size and raw[at + 1] == QUOTE else 0
        begin = at + 1 + quoted
        at = find_octet(raw, QUOTE, begin) if quoted else _end_of_token(raw, begin)
        if at < 0:
            return None
        found[kind] = text[begin:at]
        at = _behind_blanks(raw, at + quoted)
        if at < size:
            if raw[at] != COMMA:
                return None
            at = _behind_blanks(raw, at + 1)
    if seen & _ALWAYS_THERE != _ALWAYS_THERE:
        return None
    algorithm, qop = found[5], found[6]
    if algorithm != "MD5":
        algorithm = algorithm.upper() if seen & _WITH_ALGORITHM else "MD5"
    if qop and qop != "auth":
        qop = qop.lower()
    return Authorization(found[0], found[1], found[2], found[3], found[4], algorithm, qop, found[7], found[8], found[9])


_SCHEME: Final = b"Digest "
_KINDS: Final = (
    b"username",
    b"realm",
    b"nonce",
    b"uri",
    b"response",
    b"algorithm",
    b"qop",
    b"nc",
    b"cnonce",
    b"opaque",
)
# By length and first letter, which tell them apart: the name there may be, and its place in `_KINDS`.
_NAMES: Final = [b""] * (16 * 32)
_PLACES: Final = [-1] * (16 * 32)
for _place, _kind in enumerate(_KINDS):
    _NAMES[len(_kind) * 32 + (_kind[0] & 31)] = _kind
    _PLACES[len(_kind) * 32 + (_kind[0] & 31)] = _place
_ALWAYS_THERE: Final = 0b11111
_WITH_ALGORITHM: Final = 0b100000


def _behind_blanks(raw: bytes, at: i64) -> i64:
    size: i64 = len(raw)
    while at < size and (raw[at] == SPACE or raw[at] == TAB):
        at += 1
    return at


def _end_of_token(raw: bytes, at: i64) -> i64:
    """Where a value without quotes ends, at the next comma; -1 where there are quotes or blanks before it."""
    size: i64 = len(raw)
    while at < size and raw[at] != COMMA:
        if raw[at] == QUOTE or raw[at] <= SPACE:
            return -1
        at += 1
    return at


def _kind_of(raw: bytes, at: i64, length: i64) -> i64:
    """Which of `_KINDS` is written there; -1 for none."""
    if not 0 < length < 16:
        return -1
    place = length * 32 + (raw[at] & 31)
    name = _NAMES[place]
    if not name:
        return -1
    same: i64 = 0
    while same < length and raw[at + same] == name[same]:
        same += 1
    return _PLACES[place] if same == length else -1


def _credentials(found: dict[str, str]) -> Authorization:
    get = found.get
    response = get("response")
    nonce = get("nonce")
    realm = get("realm")
    uri = get("uri")
    if response is None or nonce is None or realm is None or uri is None:
        raise HeaderError("incomplete digest credentials")
    username = get("username")
    if username is None:
        username = _extended(get("username*", ""))
    return Authorization(
        username,
        realm,
        nonce,
        uri,
        response,
        get("algorithm", "MD5").upper(),
        get("qop", "").lower(),
        get("nc", ""),
        get("cnonce", ""),
        get("opaque", ""),
    )


def _remember_form(form: tuple[str, ...]) -> None:
    """Keep how to read credentials of this form, unless one of their quoted fields needs more than being picked."""
    if sum(map(len, form)) > _FORM_LENGTH:
        return
    # Read once with the pieces' numbers in their quotes: where a number comes out, that piece is the field.
    numbered = [f'{piece}"#{2 * place + 1}' for place, piece in enumerate(form[:-1])]
    found = _scan(encode('"'.join([*numbered, form[-1]])))
    if any(found.get(name, "#")[:1] != "#" for name in _QUOTED) or "username*" in found:
        return
    fields = _credentials(found).fields()
    if any(field[:1] == "#" for field in fields[5:7]):
        return  # an algorithm or qop in quotes, to be brought into one case each time
    fixed: list[str] = [field for field in fields if field[:1] != "#"]
    behind = itertools.count(2 * len(form) - 1)
    get: Callable[[list[str]], Fields] = itemgetter(
        *(int(field[1:]) if field[:1] == "#" else next(behind) for field in fields)
    )
    if len(_forms) >= _CACHE_LIMIT:
        _forms.clear()

    def pick(pieces: list[str]) -> Fields:
        pieces += fixed
        return get(pieces)

    _forms[form] = pick


def parse_challenge(raw: bytes) -> Challenge:
    """Read a challenge.

    Raises:
        HeaderError: another scheme, or no realm or nonce.
    """
    found = _scan(raw)
    if "realm" not in found or "nonce" not in found:
        raise HeaderError("incomplete digest challenge")
    return Challenge(
        found["realm"],
        found["nonce"],
        found.get("algorithm", "MD5").upper(),
        tuple(word.strip().lower() for word in found.get("qop", "").split(",") if word.strip()),
        found.get("stale", "").lower() == "true",
        found.get("opaque", ""),
    )


def _scan(raw: bytes) -> dict[str, str]:
    """The parameters of a digest header, lower-case names; of duplicates the first counts.

    Split at quotes, every second piece is the inside of a quoted string and needs no more care; the pieces
    between hold `name=` and short unquoted pairs.
    """
    text = decode(raw).strip()
    if text[:7].lower() != "digest ":
        raise HeaderError("not digest authentication")
    if "\\" in text:
        return _scan_escaped(text[7:])
    pieces = text[7:].split('"')
    if len(pieces) & 1 == 0:
        raise HeaderError("unbalanced quotes")
    pieces.append("")
    found: dict[str, str] = {}
    rest = iter(pieces)
    for piece, inside in zip(rest, rest, strict=True):
        pairs, name = _between_cache.get(piece) or _read_between(piece)
        for key, value in pairs:
            if key not in found:
                found[key] = value
        if name not in found:
            found[name] = inside
    if found.pop("", ""):
        raise HeaderError("a quoted string without a name")
    return found


def _read_between(text: str) -> Between:
    pairs: dict[str, str] = {}
    *whole, last = text.split(",")
    name, equals, value = last.partition("=")
    if equals and not value.strip():
        name = name.strip().lower()
    else:
        whole.append(last)
        name = ""
    for pair in whole:
        _unquoted(pairs, pair)
    result = tuple(pairs.items()), name
    if len(text) <= _BETWEEN_LENGTH:
        if len(_between_cache) >= _CACHE_LIMIT:
            _between_cache.clear()
        _between_cache[text] = result
    return result


def _unquoted(found: dict[str, str], pair: str) -> None:
    name, equals, value = pair.partition("=")
    if not equals:
        if pair.strip():
            raise HeaderError("a digest parameter without a value")
        return
    found.setdefault(name.strip().lower(), value.strip())


def _scan_escaped(text: str) -> dict[str, str]:
    """The slow way, for quoted strings with backslashes in them."""
    found: dict[str, str] = {}
    start = index = 0
    quoted = False
    pieces: list[str] = []
    while index < len(text):
        character = text[index]
        if quoted and character == "\\":
            index += 1
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            pieces.append(text[start:index])
            start = index + 1
        index += 1
    if quoted:
        raise HeaderError("unbalanced quotes")
    pieces.append(text[start:])
    for piece in pieces:
        _unquoted(found, piece)
    return {name: unquote(value) for name, value in found.items()}


def _extended(value: str) -> str:
    """`UTF-8''J%C3%A4s` (RFC 5987), the form of a user name that is not ASCII; empty where it isn't one."""
    charset, _, rest = value.partition("'")
    if charset.upper() != "UTF-8":
        return ""
    return decode(unquote_to_bytes(rest.partition("'")[2]))
