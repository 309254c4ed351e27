"""How much may wait for devices that are off: strangers and friends send, this server remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_MESSAGES: Final = 1000  # for one address
_BYTES: Final = 256 << 20  # in all


class Allowance:
    """Counts what waits.

    Args:
        messages: that may wait for one address.
        size: bytes that may wait in all.
    """

    def __init__(self, messages: int = _MESSAGES, size: int = _BYTES) -> None:
        self._messages = messages
        self._size = size
        self._by_key: dict[str, int] = {}
        self._total = 0

    def admits(self, key: str, size: int) -> bool:
        """Whether one more may wait.

        Args:
            key: of the address, in the registrar.
            size: of the message, bytes.
        """
        return self._by_key.get(key, 0) < self._messages and self._total + size <= self._size

    def take(self, key: str, size: int) -> Callable[[], None]:
        """Count one; returns what takes it out again."""
        self._by_key[key] = self._by_key.get(key, 0) + 1
        self._total += size

        def give_back() -> None:
            self._total -= size
            left = self._by_key[key] - 1
            if left:
                self._by_key[key] = left
            else:
                del self._by_key[key]

        return give_back
