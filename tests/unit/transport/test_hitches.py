"""A server that stood still for a moment serves what queued up; one that is asked too much refuses.

The queues are simulated: messages that come at a rate, a server that deals with so many a second and looks at the queue
after 64 of them, as `udp.py` does, and moments in which it stands still.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from flexipy.transport.load import LoadMeter

_LIMIT = 0.1
_SENT_AGAIN = 0.5  # seconds after which a client does (T1)
_CAPACITY = 8000.0
_BATCH = 64
_REFUSING = 0.05  # of the time that serving takes


@dataclass
class Outcome:
    """What became of the messages.

    Attributes:
        served: when each was, and after what wait.
        refused: when each was.
    """

    served: list[tuple[float, float]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def longest(self, begin: float = 0.0) -> float:
        """The longest wait of those served from a moment on."""
        return max(wait for at, wait in self.served if at >= begin)

    def share(self, begin: float, end: float) -> float:
        """Those served in between, as a share of what the server can do."""
        return sum(begin <= at < end for at, _ in self.served) / _CAPACITY / (end - begin)


class Simulation:
    """A server and its queue.

    Args:
        hitches: when it stands still and for how long.
        costs: of the messages of one operation, in times the usual; each comes when the one before was answered.
        capacity: messages that it can deal with in a second.
        limit: of the load meter.
    """

    def __init__(
        self,
        hitches: Sequence[tuple[float, float]] = (),
        *,
        costs: Sequence[float] = (1.0,),
        capacity: float = _CAPACITY,
        limit: float = _LIMIT,
    ) -> None:
        self._meter = LoadMeter(limit)
        self._queue = self._meter.queue("socket")
        self._hitches = deque(hitches)
        self._costs = [cost / capacity for cost in costs]
        self._now = 0.0
        self._further: deque[tuple[float, int]] = deque()
        self._outcome = Outcome()

    def run(self, *load: tuple[float, float]) -> Outcome:
        """Put a load on the server.

        Args:
            load: operations a second, and for how many seconds.
        """
        fresh = deque(_arrivals(load))
        while fresh or self._further:
            for _ in range(_BATCH):
                source = self._next(fresh)
                if source is None or source[0][0] > self._now:
                    break
                self._deal_with(*source.popleft())
            source = self._next(fresh)
            if source is None or source[0][0] > self._now:
                self._queue.emptied()
                self._now = source[0][0] if source else self._now
            else:
                self._queue.waited(self._now - source[0][0], self._now)
        return self._outcome

    def _next(self, fresh: deque[tuple[float, int]]) -> deque[tuple[float, int]] | None:
        return min((source for source in (fresh, self._further) if source), key=lambda source: source[0], default=None)

    def _deal_with(self, came: float, exchange: int) -> None:
        while self._hitches and self._hitches[0][0] <= self._now:
            self._now += self._hitches.popleft()[1]
        if self._meter.level > exchange:  # further exchanges have credentials
            self._now += _REFUSING * self._costs[exchange]
            self._outcome.refused.append(self._now)
            return
        self._now += self._costs[exchange]
        self._outcome.served.append((self._now, self._now - came))
        if exchange + 1 < len(self._costs):
            self._further.append((self._now, exchange + 1))


def _arrivals(load: Sequence[tuple[float, float]]) -> Iterator[tuple[float, int]]:
    begin = 0.0
    for rate, seconds in load:
        for number in range(round(rate * seconds)):
            yield begin + number / rate, 0
        begin += seconds


@pytest.mark.parametrize("hitch", [0.06, 0.15, 0.3])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.9])
def test_a_hitch_makes_nobody_be_refused_or_send_again(share: float, hitch: float) -> None:
    outcome = Simulation([(1.0, hitch)]).run((share * _CAPACITY, 5))
    assert not outcome.refused
    assert outcome.longest() < _SENT_AGAIN


@pytest.mark.parametrize("costs", [(1.0, 1.0), (0.5, 1.5), (1.0, 0.5, 1.5)])
@pytest.mark.parametrize("hitch", [0.15, 0.3])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.85])
def test_what_queued_up_comes_back_as_a_wave_and_is_served(share: float, hitch: float, costs: Sequence[float]) -> None:
    outcome = Simulation([(1.0, hitch)], costs=costs).run((share * _CAPACITY / sum(costs), 5))
    assert not outcome.refused
    assert outcome.longest() < _SENT_AGAIN


def test_hitches_follow_each_other() -> None:
    hitches = [(1.0, 0.1), (1.15, 0.1), (2.0, 0.3), (4.0, 0.2), (4.25, 0.1)]
    outcome = Simulation(hitches).run((0.5 * _CAPACITY, 6))
    assert not outcome.refused


@pytest.mark.parametrize("hitch", [0.5, 1.5])
def test_who_sends_again_before_the_answer_is_refused_and_the_rest_is_served(hitch: float) -> None:
    rate = 0.5 * _CAPACITY
    outcome = Simulation([(1.0, hitch)]).run((rate, 5))
    assert rate * (hitch - 0.4) < len(outcome.refused) < rate * (hitch - 0.3)
    assert outcome.longest() < hitch + _SENT_AGAIN
    late = [wait for _, wait in outcome.served if wait > 0.4]
    assert len(late) <= 2 * _BATCH  # dealt with before anybody looked


def test_overload_is_refused_as_soon_as_the_wait_is_too_long() -> None:
    outcome = Simulation().run((2 * _CAPACITY, 5))
    assert min(outcome.refused) < 2 * _LIMIT + 0.02
    assert outcome.longest() < 1.3 * _LIMIT
    assert outcome.share(0, 5) > 0.85


def test_overload_that_a_hitch_begins_with_is_refused_before_anybody_sends_again() -> None:
    outcome = Simulation([(0.5, 0.3)]).run((0.5 * _CAPACITY, 0.8), (2 * _CAPACITY, 5))
    assert outcome.longest() < _SENT_AGAIN
    assert outcome.longest(begin=2.0) < 1.3 * _LIMIT
    assert outcome.share(1, 5.8) > 0.85


def test_in_overload_hitches_change_nothing() -> None:
    outcome = Simulation([(2.0, 0.3), (3.0, 0.06), (3.5, 0.06)]).run((2 * _CAPACITY, 5))
    assert outcome.longest() < 0.3 + 1.3 * _LIMIT
    assert outcome.longest(begin=2.5) < 0.06 + 1.3 * _LIMIT
    assert outcome.longest(begin=3.7) < 1.3 * _LIMIT


def test_a_queue_that_does_not_get_shorter_after_a_hitch_is_too_long_after_two_seconds() -> None:
    outcome = Simulation([(1.0, 0.3)]).run((_CAPACITY, 6))
    assert outcome.longest(begin=3.0 + 0.3 + 0.1) < 1.3 * _LIMIT
    assert outcome.share(1.3, 6) > 0.95


def test_a_host_that_gives_half_of_the_time_is_a_slower_server() -> None:
    stolen = [(0.2 * number, 0.1) for number in range(40)]
    assert not Simulation(stolen).run((0.4 * _CAPACITY, 8)).refused
    outcome = Simulation(stolen).run((0.8 * _CAPACITY, 8))
    assert outcome.longest() < _SENT_AGAIN
    assert outcome.longest(begin=3.0) < _LIMIT + 0.1 + 0.05
    assert outcome.share(3, 8) > 0.4


def test_a_machine_so_slow_that_each_look_seems_a_hitch_refuses_too() -> None:
    capacity = 500.0
    outcome = Simulation(capacity=capacity).run((4 * capacity, 8))
    assert outcome.longest() < _SENT_AGAIN
    assert outcome.longest(begin=3.0) < 3 * _LIMIT


def test_after_overload_all_are_served_again_at_once() -> None:
    outcome = Simulation().run((3 * _CAPACITY, 3), (0.5 * _CAPACITY, 3))
    assert max(outcome.refused) < 3 + 2 * _LIMIT


def test_a_limit_beyond_what_can_be_answered_in_time_holds_for_hitches_too() -> None:
    load = 0.5 * _CAPACITY, 4.0
    assert not Simulation([(1.0, 0.55)], limit=0.6).run(load).refused
    assert Simulation([(1.0, 0.7)], limit=0.6).run(load).refused
