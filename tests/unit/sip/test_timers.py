"""The timer queues: fifo by duration, cancelled by epoch."""

from __future__ import annotations

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
