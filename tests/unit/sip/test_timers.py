"""The timer queues: fifo by duration, cancelled by epoch."""

from __future__ import annotations

import pytest

from flexipy.sip.timers import Timed, Timers


class Owner(Timed):
    def __init__(self) -> None:
        super().__init__()
        self.fired: list[tuple[int, float]] = []

    def on_timer(self, kind: int, now: float) -> None:
        self.fired.append((kind, now))


def test_timers_of_all_durations_fire_when_their_time_has_come() -> None:
    timers, owner = Timers(), Owner()
    timers.set(0.5, 0.0, owner, 1)
    timers.set(32.0, 0.0, owner, 2)
    timers.set(0.5, 0.3, owner, 3)
    timers.fire(0.49)
    assert owner.fired == []
    timers.fire(0.6)
    assert owner.fired == [(1, 0.6)]
    timers.fire(40.0)
    assert owner.fired == [(1, 0.6), (3, 40.0), (2, 40.0)]


def test_a_raised_epoch_cancels_what_was_set_before() -> None:
    timers, owner = Timers(), Owner()
    timers.set(1.0, 0.0, owner, 1)
    owner.epoch += 1
    timers.set(1.0, 0.0, owner, 2)
    timers.fire(1.0)
    assert owner.fired == [(2, 1.0)]


def test_a_timer_may_be_set_while_one_fires() -> None:
    class Repeats(Owner):
        def on_timer(self, kind: int, now: float) -> None:
            super().on_timer(kind, now)
            timers.set(1.0, now, self, kind + 1)

    timers, owner = Timers(), Repeats()
    timers.set(1.0, 0.0, owner, 1)
    for now in (1.0, 2.0, 3.0):
        timers.fire(now)
    assert owner.fired == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_the_shell_is_woken_when_there_is_something_to_wait_for_and_only_then() -> None:
    woken: list[None] = []
    timers, owner = Timers(lambda: woken.append(None)), Owner()
    assert timers.idle
    timers.set(1.0, 0.0, owner, 1)
    timers.set(1.0, 0.0, owner, 1)
    assert len(woken) == 1
    timers.fire(1.0)
    assert timers.idle
    timers.set(1.0, 1.0, owner, 1)
    assert len(woken) == 2


def test_the_next_deadline_is_the_earliest_of_all() -> None:
    timers, owner = Timers(), Owner()
    assert timers.next_deadline() is None
    timers.set(5.0, 0.0, owner, 1)
    timers.set(1.0, 2.0, owner, 1)
    assert (timers.next_deadline(), len(timers)) == (3.0, 2)


@pytest.mark.parametrize("duration", [40.5, 73.0, 90.0, 604800.0])
def test_a_long_timer_fires_in_time(duration: float) -> None:
    timers, owner = Timers(), Owner()
    timers.set(duration, 5.0, owner, 3)
    while (due := timers.next_deadline()) is not None and due < 5.0 + duration:
        timers.fire(due)
        assert owner.fired == []
    timers.fire(5.0 + duration)
    assert owner.fired == [(3, 5.0 + duration)]
    assert timers.idle


def test_a_long_timer_fires_when_nobody_looked_for_long() -> None:
    timers, owner = Timers(), Owner()
    timers.set(90.0, 0.0, owner, 3)
    timers.fire(89.9)
    timers.fire(90.0)
    assert owner.fired == [(3, 90.0)]


def test_a_long_timer_that_was_cancelled_soon_is_soon_forgotten() -> None:
    timers, owner = Timers(), Owner()
    timers.set(90.0, 0.0, owner, 3)
    owner.epoch += 1
    timers.fire(10.0)
    assert len(timers) == 0


def test_long_timers_of_one_duration_share_their_queues() -> None:
    timers, owner = Timers(), Owner()
    for number in range(2000):
        timers.set(90.0, number * 0.013, owner, 1)
        timers.fire(number * 0.013)
    assert len(timers._queues) <= 3
