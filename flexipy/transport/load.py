"""Whether more comes in than can be dealt with, judged by how long what arrives has to wait before it is looked at.

Nothing here touches a socket or a clock; `udp.py` asks the kernel when the next datagram came.
"""

from __future__ import annotations

import logging
from typing import Final

logger = logging.getLogger(__name__)

# How much is to be refused.
NOTHING: Final = 0
NEWCOMERS: Final = 1  # new requests, but for those with credentials: for them half of the work is done
ALL_NEW: Final = 2  # new requests, also with credentials

# How long a message must wait for each of the levels to begin, and to go on, in times the limit.
_BEGIN: Final = (1.0, 3.0)
_GO_ON: Final = (0.5, 2.0)


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
        """Take note of how long a message has waited in a queue.

        What is refused is refused until the wait is well below where that began.

        Args:
            name: of the queue.
            waited: seconds; 0 when the queue is empty.
        """
        limit = self.limit
        if limit <= 0:
            return
        before = self._levels.get(name, NOTHING)
        level = _steps(_BEGIN, waited / limit)
        if level < before:
            level = min(before, _steps(_GO_ON, waited / limit))
        if level != before:
            self._levels[name] = level
            self.level = max(self._levels.values())
            logger.info("%s: messages wait for %.0f ms, level %d of refusal", name, waited * 1000, level)


def _steps(steps: tuple[float, ...], height: float) -> int:
    count = 0
    for step in steps:
        count += height > step
    return count


class Queue:
    """One queue: of a socket, or of a clock that is read when the loop comes round to it."""

    __slots__ = ("_before", "_empty", "_last", "_lost", "_meter", "_name")

    def __init__(self, meter: LoadMeter, name: str) -> None:
        self._meter = meter
        self._name = name
        self._empty = True
        self._lost = 0
        self._last = 0.0
        self._before = 0.0

    def waited(self, seconds: float, lost: int = 0) -> None:
        """The next message has waited so long.

        Args:
            seconds: since it came, or since it was due.
            lost: how many there was no room for since the start. A queue that overflows is too long, whatever the
                wait: where the kernel gives little room, it is never long enough for a long one.
        """
        self._empty = False
        if lost != self._lost:
            self._lost = lost
            seconds = max(seconds, 1.01 * self._meter.limit)
        self._meter.judge(self._name, seconds)

    def late(self, seconds: float) -> None:
        """What is due again and again came so late. Once or twice is a hitch, of a disk perhaps, and over already."""
        self.waited(min(seconds, self._last, self._before))
        self._before, self._last = self._last, seconds

    def emptied(self) -> None:
        """No message waits."""
        if not self._empty:
            self._empty = True
            self._meter.judge(self._name, 0.0)
