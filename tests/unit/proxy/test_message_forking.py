"""Forking of MESSAGE and of what is neither call nor message."""

from __future__ import annotations

from typing import Any

import pytest

from flexipy.modules.router.allowance import Allowance
from flexipy.sip.message import Response
from tests.unit.proxy.house import House, Phone, open_house


async def sent(make_proxy: Any, method: str, count: int, *settings: str) -> tuple[House, list[Phone]]:
    house = await open_house(make_proxy, *settings)
    phones = [house.phone(f"192.0.2.{number + 1}") for number in range(count)]
    house.calls(method=method)
    return house, phones


async def test_every_device_gets_the_message_and_the_sender_hears_the_first(make_proxy: Any) -> None:
    house, (one, two) = await sent(make_proxy, "MESSAGE", 2)
    one.answers(200)
    assert house.heard() == [200]
    two.answers(200)
    assert house.heard() == [200]
    assert (one.methods, two.methods) == (["MESSAGE"], ["MESSAGE"])
    house.proxy.advance(70)
    assert house.open_transactions == 0


async def test_a_message_that_nobody_takes_soon_is_accepted(make_proxy: Any) -> None:
    house, _ = await sent(make_proxy, "MESSAGE", 1, "module::Router/message-accept-timeout=5")
    house.proxy.advance(4)
    assert house.heard() == []
    house.proxy.advance(2)
    assert house.heard() == [202]


async def test_a_message_reaches_a_device_that_comes_back(make_proxy: Any) -> None:
    house, (one,) = await sent(make_proxy, "MESSAGE", 1)
    house.proxy.advance(40)
    one.flow.sent.clear()
    again = house.phone("192.0.2.1")
    assert again.methods == ["MESSAGE"]
    again.answers(200)
    house.proxy.advance(40)
    again.flow.sent.clear()
    house.phone("192.0.2.1")
    assert again.methods == []


async def test_a_refused_message_is_not_sent_again(make_proxy: Any) -> None:
    house, (one,) = await sent(make_proxy, "MESSAGE", 1)
    one.answers(415)
    house.proxy.advance(40)
    one.flow.sent.clear()
    house.phone("192.0.2.1")
    assert one.methods == []


async def test_a_message_is_forgotten_in_the_end(make_proxy: Any) -> None:
    house, (one,) = await sent(make_proxy, "MESSAGE", 1, "module::Router/message-delivery-timeout=100")
    house.proxy.advance(110)
    one.flow.sent.clear()
    house.phone("192.0.2.1")
    assert one.methods == []
    assert house.open_transactions == 0


async def test_only_so_many_messages_wait_for_one_address(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    phone = house.phone("192.0.2.1")
    for _ in range(1001):
        house.calls(method="MESSAGE")
        phone.flow.sent.clear()
    house.proxy.advance(40)
    heard = [response.status for response in house.caller.responses]
    assert (heard.count(202), heard.count(408)) == (1000, 1)
    phone = house.phone("192.0.2.1")
    for asked in phone.flow.requests:
        phone.flow.sends(Response.to_request(asked, 200, "", b"t"))
    house.caller.sent.clear()
    house.calls(method="MESSAGE")
    house.proxy.advance(6)
    assert house.heard() == [202]


def test_what_waits_is_bounded_in_bytes() -> None:
    allowance = Allowance(10, 1000)
    given_back = [allowance.take(f"user{number}", 300) for number in range(3)]
    assert not allowance.admits("another", 300)
    assert allowance.admits("another", 100)
    given_back[0]()
    assert allowance.admits("another", 300)
    for number in range(10):
        allowance.take("one", number)
    assert not allowance.admits("one", 0)


async def test_without_late_forking_the_sender_hears_what_happened(make_proxy: Any) -> None:
    house, (one, two) = await sent(make_proxy, "MESSAGE", 2, "module::Router/message-fork-late=false")
    one.answers(480)
    assert house.heard() == []
    two.answers(415)
    assert house.heard() == [415]


@pytest.mark.parametrize("method", ["OPTIONS", "REFER", "NOTIFY", "SUBSCRIBE", "INFO", "FOO"])
async def test_the_first_200_of_other_requests_is_the_answer(make_proxy: Any, method: str) -> None:
    house, (one, two) = await sent(make_proxy, method, 2)
    one.answers(486)
    assert house.heard() == []
    two.answers(200)
    assert house.heard() == [200]
    house.proxy.advance(70)
    assert house.open_transactions == 0


async def test_provisional_answers_to_other_requests_are_not_passed_on(make_proxy: Any) -> None:
    house, (one,) = await sent(make_proxy, "OPTIONS", 1)
    one.answers(180)
    assert house.heard() == []


async def test_other_requests_end_before_the_caller_gives_up(make_proxy: Any) -> None:
    house, (_,) = await sent(make_proxy, "OPTIONS", 1)
    house.proxy.advance(31.5)
    assert house.heard() == [408]
    house.proxy.advance(70)
    assert house.open_transactions == 0


async def test_a_retransmitted_request_gets_the_same_answer(make_proxy: Any) -> None:
    house, (one,) = await sent(make_proxy, "OPTIONS", 1)
    assert house.invite is not None
    house.caller.sends(house.invite)
    assert house.heard() == []
    one.answers(200)
    house.caller.sends(house.invite)
    assert house.heard() == [200, 200]
    assert one.methods == ["OPTIONS"]
