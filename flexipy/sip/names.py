"""Header field names in their canonical form: lower-case bytes, compact forms resolved (RFC 3261 section 7.3.3).

Messages keep each header line as it came; beside it stands the canonical name, always the very object
defined or cached here, so that looking a header up is a comparison of pointers.
"""

from __future__ import annotations

from typing import Final

from flexipy.sip.errors import HeaderError

ACCEPT: Final[bytes] = b"accept"
ALLOW: Final[bytes] = b"allow"
AUTHORIZATION: Final[bytes] = b"authorization"
CALL_ID: Final[bytes] = b"call-id"
CONTACT: Final[bytes] = b"contact"
CONTENT_ENCODING: Final[bytes] = b"content-encoding"
CONTENT_LENGTH: Final[bytes] = b"content-length"
CONTENT_TYPE: Final[bytes] = b"content-type"
CSEQ: Final[bytes] = b"cseq"
DATE: Final[bytes] = b"date"
EVENT: Final[bytes] = b"event"
EXPIRES: Final[bytes] = b"expires"
FROM: Final[bytes] = b"from"
MAX_FORWARDS: Final[bytes] = b"max-forwards"
MIN_EXPIRES: Final[bytes] = b"min-expires"
PATH: Final[bytes] = b"path"
PROXY_AUTHENTICATE: Final[bytes] = b"proxy-authenticate"
PROXY_AUTHORIZATION: Final[bytes] = b"proxy-authorization"
PROXY_REQUIRE: Final[bytes] = b"proxy-require"
REASON: Final[bytes] = b"reason"
RECORD_ROUTE: Final[bytes] = b"record-route"
REQUIRE: Final[bytes] = b"require"
RSEQ: Final[bytes] = b"rseq"
RETRY_AFTER: Final[bytes] = b"retry-after"
ROUTE: Final[bytes] = b"route"
SERVICE_ROUTE: Final[bytes] = b"service-route"
SUPPORTED: Final[bytes] = b"supported"
TIMESTAMP: Final[bytes] = b"timestamp"
TO: Final[bytes] = b"to"
USER_AGENT: Final[bytes] = b"user-agent"
VIA: Final[bytes] = b"via"
WARNING: Final[bytes] = b"warning"
WWW_AUTHENTICATE: Final[bytes] = b"www-authenticate"

# RFC 3261 section 20 and the IANA registry of compact forms.
COMPACT: Final[dict[bytes, bytes]] = {
    b"a": b"accept-contact",
    b"b": b"referred-by",
    b"c": CONTENT_TYPE,
    b"d": b"request-disposition",
    b"e": CONTENT_ENCODING,
    b"f": FROM,
    b"i": CALL_ID,
    b"j": b"reject-contact",
    b"k": SUPPORTED,
    b"l": CONTENT_LENGTH,
    b"m": CONTACT,
    b"n": b"identity-info",
    b"o": EVENT,
    b"r": b"refer-to",
    b"s": b"subject",
    b"t": TO,
    b"u": b"allow-events",
    b"v": VIA,
    b"x": b"session-expires",
    b"y": b"identity",
}

_KNOWN: Final = [value for name, value in list(globals().items()) if name.isupper() and isinstance(value, bytes)]
_CACHE_LIMIT: Final = 4096
_TOKEN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")

# Every spelling seen on the wire -> its canonical name. Bounded: strangers choose the spellings.
canonical_of: Final[dict[bytes, bytes]] = {}


def _titled(name: bytes) -> bytes:
    return b"-".join(part.capitalize() for part in name.split(b"-"))


def _prime() -> None:
    for name in _KNOWN:
        for spelling in (name, _titled(name), name.upper()):
            canonical_of[spelling] = name
    for short, name in COMPACT.items():
        for spelling in (short, short.upper()):
            canonical_of[spelling] = canonical_of.setdefault(name, name)
    canonical_of.update({b"Call-ID": CALL_ID, b"CSeq": CSEQ, b"WWW-Authenticate": WWW_AUTHENTICATE})


_prime()


def canonical(raw: bytes) -> bytes:
    """The canonical name for a field name as it stands before the colon.

    Args:
        raw: the bytes before the colon; white space before the colon is allowed (RFC 3261 section 7.3.1).

    Raises:
        HeaderError: not a token.
    """
    found = canonical_of.get(raw)
    if found is not None:
        return found
    name = raw.rstrip(b" \t")
    if not name or not _TOKEN.issuperset(name):
        raise HeaderError("header field name is not a token")
    lowered = name.lower()
    known = canonical_of.get(lowered)
    if known is None:
        known = COMPACT.get(lowered, lowered)
    if len(canonical_of) < _CACHE_LIMIT and len(raw) <= 64:
        canonical_of[known] = known
        canonical_of[raw] = known
    return known
