"""Globally routable user agent URIs, public and temporary (RFC 5627).

A public one is the address-of-record with the device's instance id in `gr`. A temporary one hides both: its
user part is the record's key and a keyed tag of (key, instance, Call-ID), encrypted, so that nothing must be stored
and any server that has the secret can read it. What somebody made up or altered reads as nonsense, or has a tag that
fits no binding. It ends with the registration's Call-ID (section 5.3).
"""

from __future__ import annotations

import hmac
import os
from binascii import hexlify
from hashlib import blake2b, shake_128
from typing import TYPE_CHECKING, Final

from flexipy.sip.digits import hex2, hex16
from flexipy.sip.octets import COLON
from flexipy.sip.params import decode, encode
from flexipy.sip.searching import find_octet
from flexipy.sip.uri import SipUri

if TYPE_CHECKING:
    from flexipy.registrar.binding import Binding

TEMPORARY_PREFIX: Final = "tgruu."
_PREFIX: Final = TEMPORARY_PREFIX.encode()
_NONCE: Final = 8
_NONCE_MASK: Final = 2**62 - 1  # what compiled code keeps without an object of its own
_TAG: Final = 8
_BLOCK: Final = 48  # a tag and the key of nearly every record
_BATCH: Final = 64  # divides 256, so that the last byte of a nonce tells its place


def base_of(aor: SipUri) -> bytes:
    """The URI of an address-of-record, from which its GRUUs are made: scheme, user and host."""
    user = "" if aor.user is None else f"{aor.user}@"
    host = f"[{aor.host}]" if ":" in aor.host else aor.host
    return encode(f"{aor.scheme}:{user}{host}")


class TemporaryGruus:
    """Makes and reads temporary GRUUs under one secret.

    Args:
        secret: 16 bytes or more, the same on all servers and after a restart; made up where empty.
    """

    __slots__ = ("_batch", "_blocks", "_head", "_number", "_seal", "_tag")

    def __init__(self, secret: bytes) -> None:
        root = secret or os.urandom(32)
        self._seal = blake2b(root, person=b"gruu-seal").digest()
        # Hashed before the text: half a block, where a key of the hash's own would be a block to hash each time.
        self._tag = blake2b(root, person=b"gruu-tag", digest_size=16).digest()
        # A nonce must never come twice: a random start for each process, then a count.
        self._number = int.from_bytes(os.urandom(_NONCE), "big") & _NONCE_MASK
        # What seals is made for a batch of nonces at once.
        self._batch = -1
        self._blocks = b""
        self._head = b""  # the digits of its nonces but for the last two

    def make(self, key: str, instance: bytes, call_id: bytes, base: bytes) -> bytes:
        """A new temporary GRUU for a binding; each call makes another one.

        Args:
            key: of its record.
            instance: its instance id.
            call_id: of its REGISTER.
            base: as `base_of` makes it.
        """
        number = self._number = (self._number + 1) & _NONCE_MASK
        name = encode(key)
        plain = self._tag_of(name, instance, call_id) + name
        length = len(plain)
        place = number % _BATCH
        if number - place != self._batch:
            self._batch = number - place
            self._blocks = self._blocks_of(self._batch)
            self._head = hex16(number)[:-2]
        if length > _BLOCK:
            block = self._long_block(number, length)
        else:
            block = self._blocks[place * _BLOCK : place * _BLOCK + length]
        sealed = hexlify(_mixed(plain, block))
        scheme = find_octet(base, COLON, 0)
        host = base[max(base.rfind(b"@"), scheme) + 1 :]
        return b"%b:%b%b%b%b@%b;gr" % (base[:scheme], _PREFIX, self._head, hex2(number), sealed, host)

    def read(self, uri: SipUri) -> tuple[str, bytes] | None:
        """Whose temporary GRUU it claims to be.

        Returns:
            The record's key and the tag for `belongs_to`, which alone tells whether it is genuine; or None for a URI
            that cannot be a GRUU of ours.
        """
        text = (uri.user or "")[len(TEMPORARY_PREFIX) :]
        try:
            sealed = bytes.fromhex(text)
        except ValueError:
            return None
        if len(sealed) <= _NONCE + _TAG or sealed.hex() != text:
            return None
        number, body = int.from_bytes(sealed[:_NONCE], "big"), sealed[_NONCE:]
        if len(body) > _BLOCK:
            block = self._long_block(number, len(body))
        else:
            place = number % _BATCH
            block = self._blocks_of(number - place)[place * _BLOCK :][: len(body)]
        plain = _mixed(body, block)
        return decode(plain[_TAG:]), plain[:_TAG]

    def belongs_to(self, binding: Binding, tag: bytes) -> bool:
        """Whether a tag that was read names this binding's device and its present Call-ID."""
        instance = binding.instance_id
        if instance is None:
            return False
        return hmac.compare_digest(tag, self._tag_of(encode(binding.key), encode(instance), binding.call_id))

    def _tag_of(self, key: bytes, instance: bytes, call_id: bytes) -> bytes:
        return blake2b(b"%b%b\n%b\n%b" % (self._tag, key, instance, call_id), digest_size=_TAG).digest()

    def _blocks_of(self, batch: int) -> bytes:
        """What the texts of a batch of nonces are mixed with, a block each."""
        return shake_128(self._seal + batch.to_bytes(_NONCE, "big")).digest(_BATCH * _BLOCK)

    def _long_block(self, number: int, length: int) -> bytes:
        """What a text longer than a block is mixed with."""
        return shake_128(self._seal + number.to_bytes(_NONCE + 1, "big")).digest(length)


def _mixed(text: bytes, block: bytes) -> bytes:
    return (int.from_bytes(text, "big") ^ int.from_bytes(block, "big")).to_bytes(len(text), "big")


def is_temporary(uri: SipUri) -> bool:
    """Whether a URI looks like a temporary GRUU of ours: a bare `gr` and our prefix."""
    return (
        "gr" in uri.params and not uri.params["gr"] and uri.user is not None and uri.user.startswith(TEMPORARY_PREFIX)
    )
