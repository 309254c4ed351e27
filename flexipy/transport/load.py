"""Whether more comes in than can be dealt with, judged by how long what arrives has to wait before it is looked at.

A wait that grows because too much comes in grows little by little: from one look at the queue to the next by no more
than it takes to deal with the messages in between. Where it has grown at once the process stood still, since its host
had other things to do, or a disk. What queued up meanwhile can be served in time, unless too much comes in besides.

Nothing here touches a socket or a clock; `udp.py` asks the kernel when the next datagram came.
"""

from __future__ import annotations

import logging
from math import inf
from typing import Final

logger = logging.getLogger(__name__)

# How much is to be refused.
NOTHING: Final = 0
NEWCOMERS: Final = 1  # new requests, but for those with credentials: for them half of the work is done
ALL_NEW: Final = 2  # new requests, also with credentials

# How long a message must wait for each of the levels to begin, and to go on, in times the limit.
_BEGIN: Final = (1.0, 3.0)
_GO_ON: Final = (0.5, 2.0)

# Seconds; between two looks there are 64 messages at most, which take a fifth of that.
_HITCH: Final = 0.05
# What waited longer is not answered before its sender sends it again (T1 of RFC 3261 section 17.1 is 0.5 s).
_IN_TIME: Final = 0.4
# Seconds in which a queue must have got rid of what a hitch left behind. A host that goes on like that is too slow.
_GRACE: Final = 2.0


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

    def clock(self, name: str) -> Clock:
        """A clock to be watched, that is read when the loop comes round to it."""
        return Clock(self, name)

    def judge(self, name: str, waited: float, forgiven: float = 0.0) -> bool:
        """Take note of how long a message has waited in a queue.

        What is refused is refused until the wait is well below where that began.

        Args:
            name: of the queue.
            waited: seconds; 0 when the queue is empty.
            forgiven: how many of them don't count.

        Returns:
            Whether more is refused than before.
        """
        limit = self.limit
        if limit <= 0:
            return False
        before = self._levels.get(name, NOTHING)
        height = (waited - forgiven) / limit
        level = _steps(_BEGIN, height)
        if level < before:
            level = min(before, _steps(_GO_ON, height))
        if level != before:
            self._levels[name] = level
            self.level = max(self._levels.values())
            logger.info("%s: messages wait for %.0f ms, level %d of refusal", name, waited * 1000, level)
        return level > before


def _steps(steps: tuple[float, ...], height: float) -> int:
    count = 0
    for step in steps:
        count += height > step
    return count


class Queue:
    """The queue of a socket, or another in which messages wait.

    What a hitch adds to the wait is forgiven for a while, as far as answers are still in time. The wait may go up and
    down meanwhile: whoever is answered comes with the next request, so that what queued up comes back as a wave.
    """

    __slots__ = ("_empty", "_forgiven", "_jumped", "_last", "_lost", "_meter", "_name", "_until")

    def __init__(self, meter: LoadMeter, name: str) -> None:
        self._meter = meter
        self._name = name
        self._empty = True
        self._lost = 0
        self._last = 0.0
        self._jumped = False
        self._forgiven = 0.0
        self._until = inf

    def waited(self, seconds: float, now: float, lost: int = 0) -> None:
        """The next message has waited so long.

        Args:
            seconds: since it came.
            now: by any clock, always the same one.
            lost: how many there was no room for since the start. A queue that overflows is too long, whatever the
                wait: where the kernel gives little room, it is never long enough for a long one.
        """
        self._empty = False
        grown = seconds - self._last
        hitch = grown > _HITCH and not self._jumped
        self._last, self._jumped = seconds, grown > _HITCH
        if hitch:
            self._forgive(grown, now)
        elif lost != self._lost:
            self._forgiven = 0.0
            seconds = max(seconds, 1.01 * self._meter.limit)
        elif now > self._until:
            self._forgiven = 0.0
        self._lost = lost
        if self._meter.judge(self._name, seconds, self._forgiven) and not hitch:
            self._forgiven = 0.0
            self._until = -inf

    def _forgive(self, grown: float, now: float) -> None:
        self._until = min(self._until, now + _GRACE)
        if now <= self._until:
            self._forgiven = max(0.0, min(self._forgiven + grown, _IN_TIME - self._meter.limit))
            logger.info("%s: stood still for %.0f ms", self._name, grown * 1000)

    def emptied(self) -> None:
        """No message waits."""
        if not self._empty:
            self._empty = True
            self._jumped = False
            self._last = self._forgiven = 0.0
            self._until = inf
            self._meter.judge(self._name, 0.0)


class Clock:
    """A clock that is read when the loop comes round to it."""

    __slots__ = ("_before", "_last", "_meter", "_name")

    def __init__(self, meter: LoadMeter, name: str) -> None:
        self._meter = meter
        self._name = name
        self._last = 0.0
        self._before = 0.0

    def late(self, seconds: float) -> None:
        """What is due again and again came so late. Once or twice is a hitch, of a disk perhaps, and over already."""
        self._meter.judge(self._name, min(seconds, self._last, self._before))
        self._before, self._last = self._last, seconds

    def stopped(self) -> None:
        """Nothing is due any more."""
        self._last = self._before = 0.0
        self._meter.judge(self._name, 0.0)
