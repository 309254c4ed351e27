"""Answers that come when nobody waits for them any more."""

from __future__ import annotations

from typing import Any

from tests.unit.proxy.house import open_house


async def test_a_200_after_the_fork_gave_up_reaches_the_caller(make_proxy: Any) -> None:
    """RFC 3261 section 16.7 item 5: any 2xx to an INVITE is forwarded, also after another final response."""
    house = await open_house(make_proxy, "module::Router/call-fork-timeout=30")
    phone = house.phone("192.0.2.1")
    house.calls()
    phone.answers(180)
    house.proxy.advance(31)
    assert house.heard()[-1] == 408
    phone.answers(200, method="INVITE")  # it crossed our CANCEL
    assert house.heard()[-1] == 200
    phone.answers(200, method="INVITE")
    assert house.heard()[-2:] == [200, 200]
    house.proxy.advance(100)
    assert house.open_transactions == 0


async def test_a_refusal_after_the_fork_gave_up_ends_here(make_proxy: Any) -> None:
    house = await open_house(make_proxy, "module::Router/call-fork-timeout=30")
    phone = house.phone("192.0.2.1")
    house.calls()
    phone.answers(180)
    house.proxy.advance(31)
    phone.answers(487, method="INVITE")
    assert house.heard() == [180, 408]
    assert phone.methods[-1] == "ACK"
    house.proxy.advance(100)
    assert house.open_transactions == 0


async def test_ringing_after_the_answer_ends_here(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    one, two = house.phone("192.0.2.1"), house.phone("192.0.2.2")
    house.calls()
    one.answers(200)
    two.answers(180)  # and is cancelled now that it may be
    assert house.heard() == [200]
    assert two.methods[-1] == "CANCEL"
