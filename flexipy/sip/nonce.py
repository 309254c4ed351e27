"""Nonces for digest authentication: nothing is stored for a challenge, and no answer counts twice.

A nonce is a time, a count and a signature of both, so that a challenge costs no memory and a forged nonce is
known at once. Only nonces that were answered are remembered, each with the nonce counts it has seen.
"""

from __future__ import annotations

import enum
import hmac
import os
from hashlib import blake2b, shake_128
from typing import Final

from flexipy.sip.digits import hex8, hex16

_TIME: Final = 16  # hexadecimal digits, as all that follows
_HEAD: Final = _TIME + 8  # the number of a batch behind the time; then come two digits for the place in it
_SIGNATURE: Final = 14  # bytes
_SIGNED: Final = 2 * _SIGNATURE
_LENGTH: Final = _HEAD + 2 + _SIGNED
_HEXADECIMAL: Final = frozenset("0123456789abcdef")
_BATCH: Final = 64
_PLACES: Final = [f"{place:02x}" for place in range(_BATCH)]
_SAME_TIME: Final = 100.0  # milliseconds for which a batch is used
# How far behind the highest count a late request may be: requests of one nonce overtake each other over UDP.
_WINDOW: Final = 32
_WINDOW_MASK: Final = (1 << _WINDOW) - 1
_GENERATION: Final = 1024


class Freshness(enum.Enum):
    """What a nonce is worth."""

    FRESH = "fresh"
    STALE = "stale"  # ours, but too old or used up: challenge again with stale=true
    FORGED = "forged"  # not ours, or of another life of the server: challenge again


class NonceSource:
    """Makes nonces and judges those that come back.

    Args:
        secret: the signing key, the same for all servers that share a domain; made up where empty.
        lifetime: seconds for which a nonce may be used.
        capacity: how many answered nonces are remembered, at most; at least half of them.
        not_before: nonces issued earlier are stale: the counts they have seen went with the last process.
    """

    __slots__ = (
        "_count",
        "_floor",
        "_head",
        "_issued_at",
        "_key",
        "_made",
        "_made_before",
        "_seen",
        "_seen_before",
        "_signatures",
        "_turned",
        "_youngest",
        "_youngest_before",
        "capacity",
        "lifetime",
    )

    def __init__(
        self, secret: bytes = b"", lifetime: float = 3600.0, capacity: int = 20000, not_before: float = 0.0
    ) -> None:
        self._key = blake2b(secret or os.urandom(32), person=b"digest-nonce").digest()
        # Signatures are made for a batch at once, whose nonces all bear the time at which it was begun.
        self._signatures = ""
        self._issued_at = 0
        self._head = ""
        self.lifetime = lifetime
        self.capacity = capacity
        self._count = int.from_bytes(os.urandom(4), "big")
        # Issue times, in milliseconds, of the nonces made last: nearly every answer is to one of these, and needs
        # no check of its signature. Two generations; the older one is dropped whole.
        self._made: dict[str, int] = {}
        self._made_before: dict[str, int] = {}
        # nonce -> highest count seen, shifted, and a bitmap of those just below it. Two generations again: to look for
        # the oldest of one dict at each turn means to pass by all that was deleted before it.
        self._seen: dict[str, int] = {}
        self._seen_before: dict[str, int] = {}
        self._turned = 0.0  # when the younger generation began
        self._youngest = -1  # issue time in milliseconds, of each generation
        self._youngest_before = -1
        self._floor = int(not_before * 1000) - 1  # issue time in milliseconds: younger than what was forgotten

    def __len__(self) -> int:
        return len(self._seen) + len(self._seen_before)

    def make(self, now: float) -> str:
        """A new nonce.

        Args:
            now: seconds, 0 or more; of the same clock as for `validate`.
        """
        count = self._count = (self._count + 1) & 0xFFFFFFFF
        place = count % _BATCH
        issued = self._issued_at
        if not place or not 0 <= now * 1000 - issued < _SAME_TIME:
            issued = self._issued_at = int(now * 1000)
            self._head = (hex16(issued) + hex8(count // _BATCH)).decode()
            self._signatures = self._sign(self._head)
        begin = place * _SIGNED
        nonce = f"{self._head}{_PLACES[place]}{self._signatures[begin : begin + _SIGNED]}"
        made = self._made
        made[nonce] = issued
        if len(made) >= _GENERATION:
            self._made_before = made
            self._made = {}
        return nonce

    def validate(self, nonce: str, now: float) -> Freshness:
        """Whether a nonce is ours and young enough; see `use` for its count."""
        issued = self._issued(nonce)
        if issued < 0:
            return Freshness.FORGED
        age = now * 1000 - issued
        return Freshness.FRESH if -1000 < age <= self.lifetime * 1000 else Freshness.STALE

    def use(self, nonce: str, nonce_count: int, now: float) -> Freshness:
        """Judge a nonce and take note of its count; to be called once the response is known to be right.

        Args:
            nonce: as it came back.
            nonce_count: the credentials' `nc`; 0 for clients without qop, which have none to check.
            now: seconds.

        Returns:
            STALE also for a count that came before, and for a nonce too long forgotten to tell.
        """
        generation = self._seen if nonce in self._seen else self._seen_before
        state = generation.get(nonce)
        if state is None:
            issued = self._made.get(nonce) or self._issued(nonce)
        else:
            issued = _issue_time(nonce)
        if issued < 0:
            return Freshness.FORGED
        if not -1000 < now * 1000 - issued <= self.lifetime * 1000:
            generation.pop(nonce, None)
            return Freshness.STALE
        if nonce_count == 0:
            return Freshness.FRESH
        if state is None:
            if nonce_count < 0 or issued <= self._floor:
                return Freshness.STALE
            if now - self._turned > self.lifetime:
                self._turn()  # what is in the older generation has lapsed
                self._turned = now
            self._remember(nonce, nonce_count << _WINDOW | 1, issued)
            return Freshness.FRESH
        return _mark(generation, nonce, state, nonce_count)

    def note(self, nonce: str, nonce_count: int) -> None:
        """Another server with the same key accepted an answer: it does not count here any more."""
        if nonce_count > 0:
            generation = self._seen if nonce in self._seen else self._seen_before
            state = generation.get(nonce)
            if state is None:
                self._remember(nonce, nonce_count << _WINDOW | 1, _issue_time(nonce))
            else:
                _mark(generation, nonce, state, nonce_count)

    def _remember(self, nonce: str, state: int, issued: int) -> None:
        if 2 * len(self._seen) >= self.capacity:
            self._turn()
        self._seen[nonce] = state
        self._youngest = max(self._youngest, issued)

    def _turn(self) -> None:
        """A generation ends; the one before it is forgotten."""
        # What was issued before the youngest of those may have been used and forgotten, too.
        self._floor = max(self._floor, self._youngest_before)
        self._seen_before, self._youngest_before = self._seen, self._youngest
        self._seen, self._youngest = {}, -1

    def _sign(self, head: str) -> str:
        """The signatures of a batch, one after the other."""
        return shake_128(self._key + head.encode()).hexdigest(_BATCH * _SIGNATURE)

    def _issued(self, nonce: str) -> int:
        """Issue time in milliseconds, -1 for a nonce that isn't ours."""
        made = self._made.get(nonce) or self._made_before.get(nonce)
        if made is not None:
            return made
        if len(nonce) != _LENGTH or not nonce.isascii():
            return -1
        if not _HEXADECIMAL.issuperset(nonce):
            return -1
        place = int(nonce[_HEAD : _HEAD + 2], 16)
        if place >= _BATCH:
            return -1
        signature = self._sign(nonce[:_HEAD])[place * _SIGNED :][:_SIGNED]
        return _issue_time(nonce) if hmac.compare_digest(nonce[_HEAD + 2 :], signature) else -1


def _mark(generation: dict[str, int], nonce: str, state: int, nonce_count: int) -> Freshness:
    highest = state >> _WINDOW
    if nonce_count > highest:
        # bit 0 stands for the highest count itself
        bitmap = (state & _WINDOW_MASK) << min(nonce_count - highest, _WINDOW)
        generation[nonce] = nonce_count << _WINDOW | (bitmap & _WINDOW_MASK) | 1
        return Freshness.FRESH
    bit = highest - nonce_count
    if nonce_count <= 0 or bit >= _WINDOW or state >> bit & 1:
        return Freshness.STALE
    generation[nonce] = state | 1 << bit
    return Freshness.FRESH


def _issue_time(nonce: str) -> int:
    return int(nonce[:_TIME], 16)
