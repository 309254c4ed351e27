"""When to start which worker: decided from what happens to them, without starting any.

The first worker starts alone and writes what all need (keys, the journal's restored bindings); the others follow at
once when it is ready. One that dies is started again, at once the first time, then later and later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_SHORTEST_PAUSE: Final = 0.5  # seconds before the second attempt; doubled at each further one
_LONGEST_PAUSE: Final = 30.0
_STABLE: Final = 60.0  # seconds after which a worker's former deaths are forgotten


@dataclass(slots=True, frozen=True)
class Start:
    """Start a worker now.

    Attributes:
        index: its number.
        alive: the workers that are ready.
    """

    index: int
    alive: frozenset[int]


@dataclass(slots=True, frozen=True)
class Ready:
    """All workers are ready for the first time."""


@dataclass(slots=True, frozen=True)
class End:
    """Everything is over.

    Attributes:
        status: the exit status.
    """

    status: int


@dataclass(slots=True, frozen=True)
class StopAll:
    """Tell all workers to leave."""


Action = Start | Ready | StopAll | End


@dataclass(slots=True)
class _Place:
    running: bool = False
    ready: bool = False
    started: float = 0.0
    deaths: int = 0
    due: float | None = None


@dataclass(slots=True)
class Supervisor:
    """The state of all workers. Each method takes monotonic seconds and returns what is to be done.

    Attributes:
        count: how many workers there shall be.
        leaving: whether they have been told to leave.
        status: the exit status that is to come.
    """

    count: int
    leaving: bool = False
    status: int = 0
    _places: list[_Place] = field(default_factory=list)
    _complete: bool = False

    def __post_init__(self) -> None:
        self._places = [_Place() for _ in range(self.count)]

    def begin(self, now: float) -> list[Action]:
        """Start the first one."""
        return [self._start(0, now)]

    def ready(self, index: int, now: float) -> list[Action]:
        """A worker works."""
        self._places[index].ready = True
        actions: list[Action] = []
        if self.leaving:
            return actions
        if index == 0:
            waiting = [number for number, place in enumerate(self._places) if not place.started]
            actions += [self._start(number, now) for number in waiting]
        if not self._complete and all(place.ready for place in self._places):
            self._complete = True
            actions.append(Ready())
        return actions

    def exited(self, index: int, status: int, now: float) -> list[Action]:
        """A worker is gone.

        Args:
            index: its number.
            status: its exit status, negative for the signal that killed it.
            now: monotonic seconds.
        """
        place = self._places[index]
        was_ready = place.ready
        place.running = place.ready = False
        if self.leaving:
            return self._end()
        if not was_ready and not self._complete:
            # It could not even begin: a mistake in the configuration, which it has reported.
            return self.leave(now, status if status > 0 else 1)
        if now - place.started >= _STABLE:
            place.deaths = 0
        place.deaths += 1
        pause = 0.0 if place.deaths == 1 else min(_SHORTEST_PAUSE * 2 ** (place.deaths - 2), _LONGEST_PAUSE)
        place.due = now + pause
        return self.tick(now)

    def tick(self, now: float) -> list[Action]:
        """Time has passed."""
        if self.leaving:
            return []
        due = [number for number, place in enumerate(self._places) if place.due is not None and place.due <= now]
        return [self._start(number, now) for number in due]

    def next_due(self) -> float | None:
        """When `tick` will have something to do; None for nothing."""
        return min((place.due for place in self._places if place.due is not None), default=None)

    def leave(self, now: float, status: int = 0) -> list[Action]:
        """The whole server is to leave."""
        if self.leaving:
            return []
        self.leaving = True
        self.status = status
        for place in self._places:
            place.due = None
        return [StopAll(), *self._end()]

    def _start(self, index: int, now: float) -> Start:
        place = self._places[index]
        place.running = True
        place.started = now
        place.due = None
        return Start(index, frozenset(number for number, other in enumerate(self._places) if other.ready))

    def _end(self) -> list[Action]:
        return [] if any(place.running for place in self._places) else [End(self.status)]
