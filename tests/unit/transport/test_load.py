"""How long what arrives has to wait decides how much is refused."""

from __future__ import annotations

from flexipy.transport.load import ALL_NEW, NEWCOMERS, NOTHING, LoadMeter


def _meter() -> LoadMeter:
    return LoadMeter(0.3)


def test_a_queue_that_is_emptied_now_and_then_keeps_up() -> None:
    meter = _meter()
    queue = meter.queue("socket")
    for turn in range(1000):
        queue.left_some(turn * 0.01, turn * 0.01 + 0.01)
        if turn % 20 == 19:
            queue.emptied()
        assert meter.level == NOTHING


def test_a_queue_that_is_not_emptied_any_more_has_newcomers_refused_and_then_all_that_is_new() -> None:
    meter = _meter()
    queue = meter.queue("socket")
    levels = []
    for turn in range(6):
        queue.left_some(10 + turn * 0.125, 10 + (turn + 1) * 0.125)
        levels.append(meter.level)
    assert levels == [NOTHING, NOTHING, NEWCOMERS, NEWCOMERS, ALL_NEW, ALL_NEW]


def test_all_are_served_again_at_once_when_it_is_empty() -> None:
    meter = _meter()
    queue = meter.queue("socket")
    queue.left_some(1.0, 2.0)
    assert meter.level == ALL_NEW
    queue.emptied()
    assert meter.level == NOTHING
    queue.left_some(2.1, 2.2)
    assert meter.level == NOTHING


def test_one_queue_that_is_late_is_enough() -> None:
    meter = _meter()
    first, second = meter.queue("one"), meter.queue("other")
    first.left_some(1.0, 1.4)
    second.left_some(1.4, 1.5)
    second.emptied()
    assert meter.level == NEWCOMERS


def test_a_clock_that_is_a_little_late_changes_nothing_in_either_direction() -> None:
    meter = _meter()
    clock = meter.queue("socket")
    clock.late(0.2)
    assert meter.level == NOTHING
    clock.late(0.31)
    clock.late(0.2)
    assert meter.level == NEWCOMERS
    clock.late(0.01)
    assert meter.level == NOTHING


def test_without_a_limit_nothing_is_ever_refused() -> None:
    meter = LoadMeter(0.0)
    queue = meter.queue("socket")
    queue.left_some(1.0, 100.0)
    assert meter.level == NOTHING


def test_a_batch_that_was_just_full_is_not_held_against_the_next_one() -> None:
    meter = _meter()
    queue = meter.queue("socket")
    queue.left_some(1.0, 1.01)  # as many as are read at once, and no more
    queue.left_some(9.0, 9.01)
    assert meter.level == NOTHING
