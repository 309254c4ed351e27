"""Whether more comes in than can be dealt with, judged by how long what arrives has to wait.

A queue that is read empty now and then keeps up, however busy the processor is. One that is not found empty any more
grows, and what is read from it has waited for up to as long as that. Time is an argument; nothing here touches a
socket.
"""

from __future__ import annotations

import logging
from typing import Final

logger = logging.getLogger(__name__)

# How much is to be refused.
NOTHING: Final = 0
NEWCOMERS: Final = 1  # new requests, but for those with credentials: for them half of the work is done
ALL_NEW: Final = 2  # new requests, also with credentials
_AT_ONCE: Final = 0.1  # seconds: other sockets have their turn in between


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
        self._levels: dict[str, int] = {}
        self._number = 0

    def queue(self, name: str) -> Queue:
        """A further queue to be watched; the name is for the log."""
        self._number += 1
        return Queue(self, f"{name} ({self._number})")

    def judge(self, name: str, waited: float) -> None:
        """Take note of how long a queue may have kept a message waiting.

        Args:
            name: of the queue.
            waited: seconds; 0 when it was found empty. Only then, or when it is well below the limit, is all well.
        """
        limit = self.limit
        if limit <= 0:
            return
        levels = self._levels
        before = levels.get(name, NOTHING)
        if waited > 2 * limit:
            level = ALL_NEW
        elif waited > limit:
            level = max(before, NEWCOMERS)
        elif waited > limit / 2:
            level = before
        else:
            level = NOTHING
        if level != before:
            levels[name] = level
            self.level = max(levels.values())
            logger.info("%s: messages wait for %.0f ms, level %d of refusal", name, waited * 1000, level)


class Queue:
    """One queue: a socket that is read in batches, or a clock that is read when the loop comes round to it."""

    __slots__ = ("_done", "_meter", "_name", "_since")

    def __init__(self, meter: LoadMeter, name: str) -> None:
        self._meter = meter
        self._name = name
        self._since = 0.0
        self._done = 0.0

    def left_some(self, now: float, done: float) -> None:
        """A batch was read and there may be more.

        Args:
            now: when the batch was begun; unless that was right after the last one, the queue had been empty.
            done: when it was dealt with.
        """
        if self._since == 0.0 or now - self._done > _AT_ONCE:
            self._since = now
        self._done = done
        self._meter.judge(self._name, done - self._since)

    def emptied(self) -> None:
        """All was read."""
        if self._since != 0.0:
            self._since = 0.0
            self._meter.judge(self._name, 0.0)

    def late(self, seconds: float) -> None:
        """What was due came so much later."""
        self._meter.judge(self._name, seconds)
