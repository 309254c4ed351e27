"""Timers for thousands of transactions: one first-in-first-out queue per duration.

SIP knows few durations (T1, 2*T1 ... 64*T1, T4, the fork time-outs), so entries of one duration lapse in the order
they were set and a deque replaces the heap. Cancelling is free: the owner raises its `epoch` and entries of an
older epoch are dropped when their time comes. Long timers are looked at in between, for a cancelled one would keep its
owner alive until then: a week for a message that was delivered at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

TICK: Final = 0.05  # seconds; how coarse the shell may be in calling `fire`


_LONG: Final = 40.0  # seconds; transactions take 32
_FIRST_LOOK: Final = 8.0  # seconds after a long timer was set
_LESS_OFTEN: Final = 8.0  # the longer it has lived, the longer it will


@mypyc_attr(allow_interpreted_subclasses=True)
class Timed:
    """Something that timers run for.

    Attributes:
        epoch: raise it by one to cancel every timer set so far.
    """

    __slots__ = ("epoch",)

    def __init__(self) -> None:
        self.epoch = 0

    def on_timer(self, kind: int, now: float) -> None:
        """A timer set with `kind` has lapsed."""


class _LongTimer(Timed):
    """A timer that is not queued until its end yet, but until it is looked at."""

    __slots__ = ("_deadline", "_kind", "_left", "_owner", "_owner_epoch", "_timers", "_wait")

    def __init__(self, timers: Timers, duration: float, now: float, owner: Timed, kind: int) -> None:
        self.epoch = 0
        self._wait = _FIRST_LOOK
        self._timers = timers
        self._deadline = now + duration
        self._left = duration
        self._owner = owner
        self._owner_epoch = owner.epoch
        self._kind = kind

    def on_timer(self, kind: int, now: float) -> None:
        """A look: go on waiting for an owner that still does."""
        owner = self._owner
        if owner.epoch != self._owner_epoch:
            return
        if now >= self._deadline:
            owner.on_timer(self._kind, now)
            return
        # What is left is counted, not measured, so that equal timers keep sharing their queues.
        self._left -= self._wait
        self._wait *= _LESS_OFTEN
        if self._left > self._wait:
            self._timers.enter(self._wait, (min(now + self._wait, self._deadline), self, 0, 0))
        else:
            self._timers.enter(self._left, (self._deadline, owner, self._owner_epoch, self._kind))


class Timers:
    """The timer queues. The shell calls `fire` every `TICK` seconds while `idle` is False.

    Args:
        wake: called when the first timer is set on an idle object, so that the shell starts to tick.
    """

    __slots__ = ("_queues", "idle", "wake")

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        self._queues: dict[float, deque[tuple[float, Timed, int, int]]] = {}
        self.idle = True
        self.wake = wake

    def set(self, duration: float, now: float, owner: Timed, kind: int) -> None:
        """Call `owner.on_timer(kind, ...)` once `duration` seconds after `now`, unless its epoch changes."""
        if duration > _LONG:
            self.enter(_FIRST_LOOK, (now + _FIRST_LOOK, _LongTimer(self, duration, now, owner, kind), 0, 0))
        else:
            self.enter(duration, (now + duration, owner, owner.epoch, kind))

    def enter(self, duration: float, entry: tuple[float, Timed, int, int]) -> None:
        """Queue an entry: when it is due, its owner, his epoch, what kind it is."""
        queue = self._queues.get(duration)
        if queue is None:
            queue = self._queues[duration] = deque()
        queue.append(entry)
        if self.idle:
            self.idle = False
            if self.wake is not None:
                self.wake()

    def fire(self, now: float) -> None:
        """Run what has lapsed. An owner may set new timers from within."""
        pending = 0
        for queue in list(self._queues.values()):
            while queue and queue[0][0] <= now:
                _, owner, epoch, kind = queue.popleft()
                if owner.epoch == epoch:
                    owner.on_timer(kind, now)
            pending += len(queue)
        if not pending:
            self.idle = not any(self._queues.values())
            if self.idle and len(self._queues) > 64:
                self._queues.clear()

    def next_deadline(self) -> float | None:
        """When the earliest entry, cancelled or not, lapses; None with no entries."""
        heads = [queue[0][0] for queue in self._queues.values() if queue]
        return min(heads) if heads else None

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())
