"""Globally routable user agent URIs, public and temporary (RFC 5627).

A public one is the address-of-record with the device's instance id in `gr`. A temporary one hides both: its
user part is the record's key and a tag of (instance, Call-ID), encrypted and signed, so that nothing must be
stored and any server that has the secret can read it. It ends with the registration's Call-ID (section 5.3).
"""

from __future__ import annotations

import hmac
import itertools
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Final

from flexipy.registrar.binding import Binding
from flexipy.sip.params import decode, encode
from flexipy.sip.uri import SipUri

TEMPORARY_PREFIX: Final = "tgruu."
_NONCE: Final = 8
_TAG: Final = 8
_SIGNATURE: Final = 8


def has_gruu(instance_id: str) -> bool:
    """Whether an instance id is a URN that can stand in a URI as it is (RFC 5627 section 4.1)."""
    if not instance_id.startswith("urn:") or not instance_id.isascii():
        return False
    return instance_id.replace(":", "").replace("-", "").isalnum()


def public_gruu(aor: SipUri, instance_id: str) -> bytes:
    """The public GRUU of a device (RFC 5627 section 3.1.1)."""
    user = "" if aor.user is None else f"{aor.user}@"
    host = f"[{aor.host}]" if ":" in aor.host else aor.host
    return encode(f"{aor.scheme}:{user}{host};gr={instance_id}")


class TemporaryGruus:
    """Makes and reads temporary GRUUs under one secret.

    Args:
        secret: 16 bytes or more, the same on all servers and after a restart; made up where empty.
    """

    __slots__ = ("_count", "_seal", "_sign", "_start", "_tag")

    def __init__(self, secret: bytes) -> None:
        root = secret or os.urandom(32)
        # Keyed hashes ready to be copied: setting up a key costs more than hashing these few bytes.
        self._seal = blake2b(key=blake2b(root, person=b"gruu-seal").digest())
        self._sign = blake2b(key=blake2b(root, person=b"gruu-sign").digest(), digest_size=_SIGNATURE)
        self._tag = blake2b(key=blake2b(root, person=b"gruu-tag").digest(), digest_size=_TAG)
        # A nonce must never come twice: a random start for each process, then a count.
        self._start = int.from_bytes(os.urandom(_NONCE), "big")
        self._count = itertools.count()

    def make(self, binding: Binding, aor: SipUri) -> bytes:
        """A new temporary GRUU for a binding; each call makes another one."""
        nonce = ((self._start + next(self._count)) & (2**64 - 1)).to_bytes(_NONCE, "big")
        sealed = nonce + self._crypt(nonce, self._tag_of(binding) + encode(binding.key))
        user = decode(urlsafe_b64encode(sealed + self._signature(sealed)).rstrip(b"="))
        host = f"[{aor.host}]" if ":" in aor.host else aor.host
        return encode(f"{aor.scheme}:{TEMPORARY_PREFIX}{user}@{host};gr")

    def read(self, uri: SipUri) -> tuple[str, bytes] | None:
        """Whose temporary GRUU it is.

        Returns:
            The record's key and the tag for `belongs_to`, or None for a URI that is no GRUU of ours.
        """
        text = (uri.user or "")[len(TEMPORARY_PREFIX) :]
        try:
            raw = urlsafe_b64decode(encode(text + "=" * (-len(text) % 4)))
        except ValueError:
            return None
        sealed, signature = raw[:-_SIGNATURE], raw[-_SIGNATURE:]
        if len(sealed) <= _NONCE + _TAG or not hmac.compare_digest(signature, self._signature(sealed)):
            return None
        plain = self._crypt(sealed[:_NONCE], sealed[_NONCE:])
        return decode(plain[_TAG:]), plain[:_TAG]

    def belongs_to(self, binding: Binding, tag: bytes) -> bool:
        """Whether a tag that was read names this binding's device and its present Call-ID."""
        return binding.instance_id is not None and hmac.compare_digest(tag, self._tag_of(binding))

    def _tag_of(self, binding: Binding) -> bytes:
        name = encode(f"{binding.instance_id}\n") + binding.call_id
        return _digest(self._tag, name)

    def _signature(self, sealed: bytes) -> bytes:
        return _digest(self._sign, sealed)

    def _crypt(self, nonce: bytes, text: bytes) -> bytes:
        stream = _digest(self._seal, nonce)
        block = 1
        while len(stream) < len(text):
            stream += _digest(self._seal, nonce + block.to_bytes(2, "big"))
            block += 1
        length = len(text)
        mixed = int.from_bytes(text, "big") ^ int.from_bytes(stream[:length], "big")
        return mixed.to_bytes(length, "big")


def _digest(keyed: blake2b, data: bytes) -> bytes:
    hashed = keyed.copy()
    hashed.update(data)
    return hashed.digest()


def is_temporary(uri: SipUri) -> bool:
    """Whether a URI looks like a temporary GRUU of ours: a bare `gr` and our prefix."""
    return (
        "gr" in uri.params and not uri.params["gr"] and uri.user is not None and uri.user.startswith(TEMPORARY_PREFIX)
    )
