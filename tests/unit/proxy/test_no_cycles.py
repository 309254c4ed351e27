"""When a call is over nothing of it waits for the garbage collector, however it ended."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.proxy.house import House, Phone, open_house

CALLS = 20


@pytest.fixture
def by_hand() -> Iterator[None]:
    """The collector runs when it is asked to."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def play(house: House, phones: list[Phone], ending: str) -> None:
    house.calls()
    for phone in phones:
        phone.answers(180)
    if ending == "answered":
        phones[0].answers(200)
        for phone in phones[1:]:
            phone.answers(487, method="INVITE")
    elif ending == "declined":
        for phone in phones:
            phone.answers(486)
    elif ending == "cancelled":
        house.hangs_up()
        for phone in phones:
            phone.answers(487, method="INVITE")
    house.proxy.advance(200)
    house.caller.sent.clear()
    for phone in phones:
        phone.flow.sent.clear()


@pytest.mark.parametrize("ending", ["answered", "declined", "cancelled", "gone"])
async def test_a_call_leaves_no_cycles(make_proxy: Any, by_hand: None, ending: str) -> None:
    house = await open_house(make_proxy)
    phones = [house.phone(f"192.0.2.{number + 1}") for number in range(2)]
    play(house, phones, ending)  # what is made once
    gc.collect()
    for _ in range(CALLS):
        play(house, phones, ending)
    assert gc.collect() < CALLS, "objects for each call"
