"""Timers for thousands of transactions: one first-in-first-out queue per duration.

SIP knows few durations (T1, 2*T1 ... 64*T1, T4, the fork time-outs), so entries of one duration lapse in the order
they were set and a deque replaces the heap. Cancelling is free: the owner raises its `epoch` and entries of an
older epoch are dropped when their time comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

TICK: Final = 0.05  # seconds; how coarse the shell may be in calling `fire`


_SWEEP_LEAST: Final = 4096  # entries of one duration from which on cancelled ones are swept out


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


class Timers:
    """The timer queues. The shell calls `fire` every `TICK` seconds while `idle` is False.

    Args:
        wake: called when the first timer is set on an idle object, so that the shell starts to tick.
    """

    __slots__ = ("_queues", "_sweep_at", "idle", "wake")

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        self._queues: dict[float, deque[tuple[float, Timed, int, int]]] = {}
        self._sweep_at: dict[float, int] = {}
        self.idle = True
        self.wake = wake

    def set(self, duration: float, now: float, owner: Timed, kind: int) -> None:
        """Call `owner.on_timer(kind, ...)` once `duration` seconds after `now`, unless its epoch changes."""
        queue = self._queues.get(duration)
        if queue is None:
            queue = self._queues[duration] = deque()
        queue.append((now + duration, owner, owner.epoch, kind))
        if len(queue) >= _SWEEP_LEAST and len(queue) >= self._sweep_at.get(duration, _SWEEP_LEAST):
            self._sweep(duration, queue)
        if self.idle:
            self.idle = False
            if self.wake is not None:
                self.wake()

    def _sweep(self, duration: float, queue: deque[tuple[float, Timed, int, int]]) -> None:
        """Drop what was cancelled, which would keep its owner alive until its time came: a week for a message."""
        living = [entry for entry in queue if entry[1].epoch == entry[2]]
        queue.clear()
        queue.extend(living)
        self._sweep_at[duration] = max(_SWEEP_LEAST, 2 * len(living))

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
                self._sweep_at.clear()

    def next_deadline(self) -> float | None:
        """When the earliest entry, cancelled or not, lapses; None with no entries."""
        heads = [queue[0][0] for queue in self._queues.values() if queue]
        return min(heads) if heads else None

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())
