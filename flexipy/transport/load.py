"""Whether more comes in than can be dealt with, judged by how long what arrives has to wait.

A queue that is read empty now and then keeps up, however busy the processor is. One that is not found empty any more
grows, and what is read from it has waited for up to as long as that. Time is an argument; nothing here touches a
socket.
"""

from __future__ import annotations

from typing import Final

# How much is to be refused.
NOTHING: Final = 0
NEWCOMERS: Final = 1  # new requests, but for those with credentials: for them half of the work is done
ALL_NEW: Final = 2  # new requests, also with credentials


class LoadMeter:
    """The state of all queues of the server.

    Args:
        limit: seconds that a message may wait; 0 for any time.

    Attributes:
        level: NOTHING, NEWCOMERS or ALL_NEW.
    """

    __slots__ = ("_levels", "_number", "level", "limit")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.level = NOTHING
        self._levels: dict[int, int] = {}
        self._number = 0

    def queue(self) -> Queue:
        """A further queue to be watched."""
        self._number += 1
        return Queue(self, self._number)

    def judge(self, number: int, waited: float) -> None:
        """Take note of how long a queue may have kept a message waiting.

        Args:
            number: of the queue.
            waited: seconds; 0 when it was found empty. Only then, or when it is well below the limit, is all well.
        """
        limit = self.limit
        if limit <= 0:
            return
        levels = self._levels
        before = levels.get(number, NOTHING)
        if waited > 2 * limit:
            level = ALL_NEW
        elif waited > limit:
            level = max(before, NEWCOMERS)
        elif waited > limit / 2:
            level = before
        else:
            level = NOTHING
        if level != before:
            levels[number] = level
            self.level = max(levels.values())


class Queue:
    """One queue: a socket that is read in batches, or a clock that is read when the loop comes round to it."""

    __slots__ = ("_meter", "_number", "_since")

    def __init__(self, meter: LoadMeter, number: int) -> None:
        self._meter = meter
        self._number = number
        self._since = 0.0

    def left_some(self, now: float) -> None:
        """A batch was read and there may be more."""
        if self._since == 0.0:
            self._since = now
        else:
            self._meter.judge(self._number, now - self._since)

    def emptied(self) -> None:
        """All was read."""
        if self._since != 0.0:
            self._since = 0.0
            self._meter.judge(self._number, 0.0)

    def late(self, seconds: float) -> None:
        """What was due came so much later."""
        self._meter.judge(self._number, seconds)
