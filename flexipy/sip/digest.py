"""HTTP Digest as SIP uses it (RFC 7616, RFC 8760, RFC 3261 section 22): the responses and their checks.

Both sides are here and neither does I/O: a server writes challenges and checks answers, a client reads
challenges and writes answers. The headers are in `digest_header.py`, nonces and their reuse in `nonce.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from hmac import compare_digest
from typing import Final

from flexipy.sip.digest_header import Authorization, Challenge, parse_authorization, parse_challenge
from flexipy.sip.nonce import Freshness, NonceSource
from flexipy.sip.params import encode, quote

__all__ = [
    "ALGORITHMS",
    "Authorization",
    "Challenge",
    "Freshness",
    "NonceSource",
    "answer",
    "compute_ha1",
    "compute_response",
    "parse_authorization",
    "parse_challenge",
    "verify",
]

Hash = Callable[[bytes], "hashlib._Hash"]

# OpenSSL's MD5 takes longer to set up than to hash a few hundred bytes, and where it obeys FIPS 140 there is none.
try:
    from _md5 import md5  # type: ignore[import-not-found]
except ImportError:  # a Python built without its own
    from hashlib import md5


def _sha512_256(data: bytes) -> hashlib._Hash:
    return hashlib.new("sha512_256", data)


ALGORITHMS: Final[dict[str, Hash]] = {"MD5": md5, "SHA-256": hashlib.sha256}
if "sha512_256" in hashlib.algorithms_available:
    ALGORITHMS["SHA-512-256"] = _sha512_256

_HA2_LIMIT: Final = 4096
_ha2_cache: Final[dict[tuple[str, str, str], str]] = {}


def compute_ha1(algorithm: str, username: str, realm: str, password: str) -> str:
    """The hash that a server stores in place of a password (RFC 7616 section 3.4.2).

    Raises:
        KeyError: an algorithm that is not in `ALGORITHMS`.
    """
    return ALGORITHMS[algorithm](encode(f"{username}:{realm}:{password}")).hexdigest()


def compute_response(
    algorithm: str,
    ha1: str,
    method: str,
    uri: str,
    nonce: str,
    qop: str = "",
    nc: str = "",
    cnonce: str = "",
) -> str:
    """The `response` that proves knowledge of HA1 (RFC 7616 section 3.4.1; without qop RFC 2069).

    Args:
        algorithm: a name of `ALGORITHMS`, or one with `-SESS`.
        ha1: of user, realm and password, lower-case hexadecimal.
        method: of the request.
        uri: the digest's `uri` parameter, as written there.
        nonce: of the challenge.
        qop: `auth`, or empty.
        nc: the nonce count, eight hexadecimal digits.
        cnonce: the client's nonce.

    Raises:
        KeyError: an algorithm that is not in `ALGORITHMS`.
    """
    session = algorithm.endswith("-SESS")
    if session:
        algorithm = algorithm[:-5]
    function = ALGORITHMS[algorithm]
    if session:
        ha1 = function(encode(f"{ha1}:{nonce}:{cnonce}")).hexdigest()
    key = (algorithm, method, uri)
    ha2 = _ha2_cache.get(key)
    if ha2 is None:
        ha2 = function(encode(f"{method}:{uri}")).hexdigest()
        if len(_ha2_cache) >= _HA2_LIMIT:
            _ha2_cache.clear()
        if len(uri) + len(method) <= 256:
            _ha2_cache[key] = ha2
    if qop:
        return function(encode(f"{ha1}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}")).hexdigest()
    return function(encode(f"{ha1}:{nonce}:{ha2}")).hexdigest()


def verify(authorization: Authorization, ha1: str, method: str) -> bool:
    """Whether credentials were made with the password of an HA1.

    False as well for an algorithm or a qop that we don't speak: answer those with a challenge.
    """
    if authorization.qop not in ("", "auth"):
        return False
    try:
        expected = compute_response(
            authorization.algorithm,
            ha1,
            method,
            authorization.uri,
            authorization.nonce,
            authorization.qop,
            authorization.nc,
            authorization.cnonce,
        )
    except KeyError:
        return False
    given = authorization.response
    return given.isascii() and (compare_digest(expected, given) or compare_digest(expected, given.lower()))


def answer(
    challenge: Challenge,
    username: str,
    ha1: str,
    method: str,
    uri: str,
    cnonce: str,
    nonce_count: int = 1,
) -> bytes:
    """A client's Authorization value for a challenge.

    Args:
        challenge: as read; its algorithm must be one of `ALGORITHMS`.
        username: as hashed in HA1.
        ha1: see `compute_ha1`.
        method: of the request.
        uri: its Request-URI.
        cnonce: fresh random text.
        nonce_count: how often this nonce has been used, this time included.
    """
    qop = "auth" if "auth" in challenge.qop else ""
    nc = f"{nonce_count:08x}" if qop else ""
    response = compute_response(challenge.algorithm, ha1, method, uri, challenge.nonce, qop, nc, cnonce)
    parts = [
        f"Digest username={quote(username)}, realm={quote(challenge.realm)}, nonce={quote(challenge.nonce)}, "
        f'uri={quote(uri)}, response="{response}", algorithm={challenge.algorithm}'
    ]
    if challenge.opaque:
        parts.append(f"opaque={quote(challenge.opaque)}")
    if qop or challenge.algorithm.endswith("-SESS"):
        parts.append(f"cnonce={quote(cnonce)}")
    if qop:
        parts.append(f"qop={qop}, nc={nc}")
    return encode(", ".join(parts))
