"""Who is in a call with whom: what lets the requests within a call pass that no rule allows by itself.

A To tag proves nothing, anybody can write one. So each call that the rules let through is noted, and only a request
of somebody who is in that call, to somebody who is in it, counts as a part of it.
"""

from __future__ import annotations

from typing import Final

_MOST: Final = 50_000
_DROPPED: Final = 10_000

Place = tuple[str, int]


class JudgedCalls:
    """Remembers pairs of sender and receiver by Call-ID.

    Hashes are kept instead of what they are made of; the interpreter keys them for this process, so that nobody can
    find two that are equal. The oldest go when there are too many: requests of their calls are then judged as new ones.

    Args:
        most: how many pairs are kept. A call takes about six.
    """

    __slots__ = ("_most", "_pairs")

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._pairs: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def note(self, call_id: bytes, sender: str, receiver: str | Place) -> None:
        """Somebody may from now on send requests of a call to an address, or to the place of a device."""
        pairs = self._pairs
        key = hash((call_id, sender, receiver))
        pairs.pop(key, None)  # the newest stand last
        if len(pairs) >= self._most:
            for old in list(pairs)[: max(1, min(_DROPPED, self._most // 5))]:
                del pairs[old]
        pairs[key] = None

    def knows(self, call_id: bytes, sender: str, receiver: str | Place) -> bool:
        """Whether that was noted."""
        return hash((call_id, sender, receiver)) in self._pairs
