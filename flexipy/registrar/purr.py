"""Proxy unique registration references (RFC 8599 section 6.2.1).

A name for one binding that its device puts into the Contact of its calls, so that requests within them lead to it also
after it slept and came back from elsewhere.

It is the binding's key and unique id, encrypted under their own keyed hash: nothing must be stored, it stays the same
for as long as the binding's id does, whoever reads it learns nothing, and nobody can make one up.
"""

from __future__ import annotations

import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Final

from flexipy.sip.params import decode, encode

PARAMETER: Final = "pn-purr"
_TAG: Final = 16
_BLOCK: Final = 64
_LONGEST: Final = 2048  # bytes; more is none of ours


class Purrs:
    """Makes and reads references under one secret.

    Args:
        secret: 16 bytes or more, the same on all servers and after a restart; made up where empty.
    """

    __slots__ = ("_seal", "_tag")

    def __init__(self, secret: bytes) -> None:
        root = secret or os.urandom(32)
        self._seal = blake2b(root, person=b"purr-seal").digest()
        self._tag = blake2b(root, person=b"purr-tag").digest()

    def make(self, key: str, unique_id: str) -> str:
        """The reference of a binding; fit for a URI parameter and a quoted string."""
        plain = encode(f"{key}\n{unique_id}")
        tag = self._tag_of(plain)
        return urlsafe_b64encode(tag + self._crypt(tag, plain)).rstrip(b"=").decode("ascii")

    def read(self, text: str) -> tuple[str, str] | None:
        """The key and unique id in a reference; None for one that is not ours."""
        if len(text) > _LONGEST:
            return None
        try:
            sealed = urlsafe_b64decode(encode(text + "=" * (-len(text) % 4)))
        except ValueError:
            return None
        tag = sealed[:_TAG]
        plain = self._crypt(tag, sealed[_TAG:])
        if not hmac.compare_digest(tag, self._tag_of(plain)):
            return None
        key, _, unique_id = decode(plain).partition("\n")
        return key, unique_id

    def _tag_of(self, plain: bytes) -> bytes:
        return blake2b(plain, key=self._tag, digest_size=_TAG).digest()

    def _crypt(self, tag: bytes, text: bytes) -> bytes:
        stream = b"".join(
            blake2b(tag + block.to_bytes(2, "big"), key=self._seal).digest() for block in range(-(-len(text) // _BLOCK))
        )
        return bytes(byte ^ mask for byte, mask in zip(text, stream, strict=False))
