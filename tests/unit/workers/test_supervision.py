"""Workers are started in order, again when they die, and never while the server leaves."""

from __future__ import annotations

from flexipy.workers.supervision import End, Ready, Start, StopAll, Supervisor


def _running(count: int) -> Supervisor:
    supervisor = Supervisor(count)
    supervisor.begin(0.0)
    for number in range(count):
        supervisor.ready(number, 1.0)
    return supervisor


def test_the_others_follow_when_the_first_is_ready() -> None:
    supervisor = Supervisor(3)
    assert supervisor.begin(1.0) == [Start(0, frozenset())]
    assert supervisor.ready(0, 2.0) == [Start(1, frozenset({0})), Start(2, frozenset({0}))]
    assert supervisor.ready(2, 3.0) == []
    assert supervisor.ready(1, 3.0) == [Ready()]


def test_one_that_dies_is_started_again_at_once() -> None:
    supervisor = _running(3)
    assert supervisor.exited(1, -9, 5.0) == [Start(1, frozenset({0, 2}))]
    assert supervisor.ready(1, 6.0) == []


def test_one_that_dies_again_and_again_waits_longer_and_longer() -> None:
    supervisor = _running(2)
    supervisor.exited(1, 1, 5.0)
    pauses = []
    now = 5.0
    for _ in range(9):
        assert supervisor.exited(1, 1, now) == []
        due = supervisor.next_due()
        assert due is not None
        pauses.append(due - now)
        now = due
        assert supervisor.tick(now - 0.01) == []
        assert supervisor.tick(now) == [Start(1, frozenset({0}))]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_old_deaths_are_forgotten() -> None:
    supervisor = _running(2)
    supervisor.exited(1, 1, 5.0)
    supervisor.exited(1, 1, 5.0)
    supervisor.tick(6.0)
    supervisor.ready(1, 6.0)
    assert supervisor.exited(1, 1, 100.0) == [Start(1, frozenset({0}))]


def test_what_keeps_a_worker_from_starting_ends_the_server() -> None:
    supervisor = Supervisor(2)
    supervisor.begin(0.0)
    assert supervisor.exited(0, 1, 1.0) == [StopAll(), End(1)]


def test_the_server_ends_when_the_last_worker_has_left() -> None:
    supervisor = _running(2)
    assert supervisor.leave(5.0) == [StopAll()]
    assert supervisor.leave(5.0) == []
    assert supervisor.exited(1, 0, 6.0) == []
    assert supervisor.exited(0, 0, 6.0) == [End(0)]


def test_one_that_waits_to_be_started_again_is_not_when_the_server_leaves() -> None:
    supervisor = _running(2)
    supervisor.exited(1, 1, 5.0)
    supervisor.exited(1, 1, 5.0)
    assert supervisor.leave(5.1) == [StopAll()]
    assert supervisor.tick(60.0) == []
    assert supervisor.next_due() is None
    assert supervisor.exited(0, 0, 6.0) == [End(0)]
