"""The collector looks at few objects at a time, however many there are, and still finds young cycles."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from flexipy.servers.collection import begin_collection, end_collection

_MOST = 10_000  # objects that one collection may look at


@pytest.fixture
def policy() -> Iterator[None]:
    begin_collection()
    yield
    end_collection()


class _Thing:
    def __init__(self) -> None:
        self.other: object = None


@pytest.mark.usefixtures("policy")
def test_no_collection_looks_at_many_objects_however_many_live_long() -> None:
    looked_at: list[int] = []

    def note(phase: str, facts: dict[str, int]) -> None:
        if phase == "start":
            generations = range(facts["generation"] + 1)
            looked_at.append(sum(len(gc.get_objects(generation)) for generation in generations))

    gc.callbacks.insert(0, note)
    try:
        kept = [[_Thing()] for _ in range(100_000)]
    finally:
        gc.callbacks.remove(note)
    assert len(kept) == 100_000
    assert looked_at
    assert max(looked_at) < _MOST


@pytest.mark.usefixtures("policy")
def test_a_cycle_that_ends_soon_is_collected() -> None:
    first, second = _Thing(), _Thing()
    first.other, second.other = second, first
    gone = weakref.ref(first)
    del first, second
    kept = [[] for _ in range(20_000)]
    assert len(kept) == 20_000
    assert gone() is None


@pytest.mark.usefixtures("policy")
def test_what_was_set_aside_is_freed_with_its_last_reference() -> None:
    thing = _Thing()
    kept = [[] for _ in range(20_000)]
    gone = weakref.ref(thing)
    del thing, kept
    assert gone() is None
