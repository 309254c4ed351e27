"""Which bindings lapse when, without looking at the others.

Bindings stand in buckets of one second. A refresh doesn't move its binding: when the old second comes, the
queue sees that it lives on and puts it where it belongs now.
"""

from __future__ import annotations

import heapq
from math import ceil

from flexipy.registrar.binding import NEVER, Binding


class ExpiryQueue:
    """Buckets of bindings by the second in which to look at them."""

    __slots__ = ("_buckets", "_seconds")

    def __init__(self) -> None:
        self._buckets: dict[int, list[Binding]] = {}
        self._seconds: list[int] = []

    def watch(self, binding: Binding) -> None:
        """Look at a binding when it expires; called again after each change of its times."""
        expires_at = binding.expires_at
        if binding.due and binding.due <= expires_at:
            return  # looked at early enough, and then moved
        self._put(binding, expires_at)

    def due(self, now: float) -> list[Binding]:
        """Take out the bindings whose SIP expiry has come, or whose time for messages ended.

        A binding that was removed or replaced meanwhile may be among them: ask its record.
        """
        found: list[Binding] = []
        while self._seconds and self._seconds[0] <= now:
            second = heapq.heappop(self._seconds)
            for binding in self._buckets.pop(second):
                if binding.due != second:
                    continue  # put elsewhere when its expiry was brought forward
                if binding.expires_at > now:
                    self._put(binding, binding.expires_at)
                    continue
                if binding.message_expires_at > now:
                    self._put(binding, binding.message_expires_at)
                else:
                    binding.due = 0
                found.append(binding)
        return found

    def next_due(self) -> float | None:
        """When `due` may have something again, None for never."""
        return float(self._seconds[0]) if self._seconds else None

    def _put(self, binding: Binding, at: float) -> None:
        if at == NEVER:
            return
        second = ceil(at)
        binding.due = second
        bucket = self._buckets.get(second)
        if bucket is None:
            self._buckets[second] = [binding]
            heapq.heappush(self._seconds, second)
        else:
            bucket.append(binding)
