"""Forking of calls: who rings, what the caller hears (RFC 3261 section 16.7)."""

from __future__ import annotations

from typing import Any

import pytest

from flexipy.modules.forward import Forward
from flexipy.modules.nat_helper import NatHelper
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from tests.unit.proxy.house import DOMAIN, House, Phone, open_house


async def ringing(make_proxy: Any, count: int, *settings: str) -> tuple[House, list[Phone]]:
    """Bob's phones ring."""
    house = await open_house(make_proxy, *settings)
    phones = [house.phone(f"192.0.2.{number + 1}") for number in range(count)]
    house.calls()
    for phone in phones:
        phone.answers(180)
    assert house.heard() == [180] * count
    house.caller.sent.clear()
    return house, phones


async def test_100_is_given_at_once_and_none_is_passed_on(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    phone = house.phone("192.0.2.1")
    house.calls()
    assert [response.status for response in house.caller.responses] == [100]
    phone.answers(100)
    assert [response.status for response in house.caller.responses] == [100]


async def test_the_first_to_answer_wins_and_the_others_are_cancelled(make_proxy: Any) -> None:
    house, (one, two) = await ringing(make_proxy, 2)
    one.answers(200)
    assert house.heard() == [200]
    assert b"Call completed elsewhere" in two.last("CANCEL").require(b"reason")
    two.answers(487, method="INVITE")
    assert two.methods[-1] == "ACK"
    assert house.heard() == [200]
    house.proxy.advance(70)
    assert house.open_transactions == 0


async def test_a_second_200_that_crossed_the_cancel_is_passed_on_too(make_proxy: Any) -> None:
    house, (one, two) = await ringing(make_proxy, 2)
    one.answers(200)
    two.answers(200, method="INVITE")
    assert [response.to.tag for response in house.caller.responses] == ["of-192.0.2.1", "of-192.0.2.2"]


async def test_each_repetition_of_a_200_is_passed_on(make_proxy: Any) -> None:
    house, (one,) = await ringing(make_proxy, 1)
    for _ in range(3):
        one.answers(200)
    assert house.heard() == [200] * 3
    house.proxy.advance(40)
    one.answers(200)
    assert house.heard() == [200] * 3  # RFC 6026: 64*T1 later nobody repeats it any more


async def test_each_repetition_of_a_200_is_edited_as_the_first_was(make_proxy: Any) -> None:
    modules = [NatHelper, RegistrarModule, Router, Forward]
    house = House(await make_proxy(modules, f"module::Registrar/reg-domains={DOMAIN}"))
    phone = house.phone("192.0.2.1")
    house.calls()
    for _ in range(3):
        phone.answers(200, [("Contact", "<sip:bob@10.0.0.7>")])
    contacts = [response.require(b"contact") for response in house.caller.responses if response.status == 200]
    assert contacts == [contacts[0]] * 3
    assert b"bob@192.0.2.1" in contacts[0]


async def test_a_200_that_crosses_the_callers_cancel_is_passed_on(make_proxy: Any) -> None:
    house, (one, two) = await ringing(make_proxy, 2)
    house.hangs_up()
    assert house.heard("CANCEL") == [200]
    one.answers(200, method="INVITE")
    two.answers(487, method="INVITE")
    assert house.heard() == [200]


async def test_a_cancelled_call_ends_with_487_once_all_have_answered(make_proxy: Any) -> None:
    house, (one, two) = await ringing(make_proxy, 2)
    house.hangs_up([("Reason", 'SIP;cause=200;text="x"')])
    for phone in (one, two):
        assert phone.last("CANCEL").require(b"reason") == b'SIP;cause=200;text="x"'
        assert phone.last("CANCEL").top_via_raw == phone.last("INVITE").top_via_raw
        assert house.heard() == []
        phone.answers(487, method="INVITE")
    assert house.heard() == [487]


async def test_no_cancel_before_a_provisional_response(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    phone = house.phone("192.0.2.1")
    house.calls()
    house.hangs_up()
    assert "CANCEL" not in phone.methods  # RFC 3261 section 9.1
    phone.answers(180)
    assert phone.methods[-1] == "CANCEL"
    assert 180 not in house.heard()


async def test_a_phone_that_never_answers_a_cancel_is_given_up(make_proxy: Any) -> None:
    house, _ = await ringing(make_proxy, 1)
    house.hangs_up()
    house.proxy.advance(40)
    assert house.heard() == [487]
    house.proxy.advance(70)
    assert house.open_transactions == 0


async def test_a_phone_that_says_nothing_at_all_is_given_up(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    house.phone("192.0.2.1")
    house.calls()
    house.proxy.advance(33)
    assert house.heard() == [408]
    house.proxy.advance(70)
    assert house.open_transactions == 0


async def test_it_does_not_ring_for_ever(make_proxy: Any) -> None:
    house, (one,) = await ringing(make_proxy, 1, "module::Router/call-fork-timeout=30")
    house.proxy.advance(29)
    assert house.heard() == []
    house.proxy.advance(2)
    assert house.heard() == [408]
    assert one.methods[-1] == "CANCEL"


@pytest.mark.parametrize(
    ("answers", "heard"),
    [
        ((486, 404), (404, 486)),
        ((486, 600), (600,)),
        ((603, 486), (603,)),
        ((500, 486), (486,)),
        ((503, 500), (500,)),
        ((503,), (500,)),
        ((503, 486), (486,)),
        ((408, 486), (486,)),
        ((302, 486), (302,)),
        ((480, 401), (401,)),
        ((480, 407), (407,)),
        ((486, 484), (484,)),
        ((486, 415), (415,)),
        ((487, 486), (486,)),
        ((502, 503), (502,)),
        ((604, 200), (200, 604)),
    ],
)
async def test_the_best_of_the_answers_is_chosen(
    make_proxy: Any, answers: tuple[int, ...], heard: tuple[int, ...]
) -> None:
    house, phones = await ringing(make_proxy, len(answers), "module::Router/call-fork-urgent-timeout=60")
    for phone, status in zip(phones, answers, strict=True):
        if phone.methods[-1] == "CANCEL":
            phone.answers(200, method="CANCEL")
        phone.answers(status, method="INVITE")
    assert len(house.heard()) == 1
    assert house.heard()[0] in heard


async def test_a_503_becomes_a_500_without_its_retry_after(make_proxy: Any) -> None:
    house, (one,) = await ringing(make_proxy, 1)
    one.answers(503, [("Retry-After", "3600")])
    response = house.caller.last_response
    assert (response.status, response.get(b"retry-after")) == (500, None)


async def test_the_challenges_of_all_are_gathered(make_proxy: Any) -> None:
    house, (one, two, three) = await ringing(make_proxy, 3, "module::Router/call-fork-urgent-timeout=60")
    one.answers(407, [("Proxy-Authenticate", 'Digest realm="one", nonce="1"')])
    two.answers(486)
    three.answers(401, [("WWW-Authenticate", 'Digest realm="three", nonce="3"')])
    response = house.caller.last_response
    assert response.status in (401, 407)
    assert response.get(b"proxy-authenticate") == b'Digest realm="one", nonce="1"'
    assert response.get(b"www-authenticate") == b'Digest realm="three", nonce="3"'


async def test_who_declines_for_all_cancels_the_others(make_proxy: Any) -> None:
    house, (one, two) = await ringing(make_proxy, 2)
    one.answers(603)
    assert two.methods[-1] == "CANCEL"
    assert house.heard() == []
    two.answers(487, method="INVITE")
    assert house.heard() == [603]


async def test_with_no_global_decline_the_others_go_on_ringing(make_proxy: Any) -> None:
    house, (one, two) = await ringing(make_proxy, 2, "module::Router/fork-no-global-decline=true")
    one.answers(603)
    assert "CANCEL" not in two.methods
    two.answers(200)
    assert house.heard() == [200]


async def test_priorities_ring_one_after_the_other(make_proxy: Any) -> None:
    house = await open_house(make_proxy, "module::Router/call-fork-current-branches-timeout=10")
    first = house.phone("192.0.2.1", ";q=0.9")
    second = house.phone("192.0.2.2", ";q=0.5")
    third = house.phone("192.0.2.3", ";q=0.1")
    house.calls()
    assert (first.rings, second.rings, third.rings) == (True, False, False)
    first.answers(180)
    house.proxy.advance(11)
    assert (second.rings, third.rings) == (True, False)
    first.answers(486)
    second.answers(486)
    assert third.rings
    third.answers(200)
    assert house.heard()[-1] == 200


async def test_failures_of_the_first_group_start_the_next_at_once(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    first = house.phone("192.0.2.1", ";q=0.9")
    second = house.phone("192.0.2.2", ";q=0.5")
    house.calls()
    first.answers(480)
    assert second.rings
    second.answers(486)
    assert len(house.heard()) == 1


async def test_a_retransmitted_invite_rings_nobody_again(make_proxy: Any) -> None:
    house, (one,) = await ringing(make_proxy, 1)
    assert house.invite is not None
    house.caller.sends(house.invite)
    assert one.methods.count("INVITE") == 1
    assert house.heard() == [180]  # the last answer, again


async def test_the_ack_of_a_refusal_ends_here(make_proxy: Any) -> None:
    house, (one,) = await ringing(make_proxy, 1)
    one.answers(486)
    assert house.invite is not None
    ack = house.invite.copy()
    ack.method = b"ACK"
    ack.set(b"cseq", b"CSeq: 1 ACK")
    house.caller.sent.clear()
    house.caller.sends(ack)
    assert one.methods == ["INVITE", "ACK"]  # ours
    house.proxy.advance(20)
    assert house.caller.sent == []


async def test_late_devices_ring_too(make_proxy: Any) -> None:
    house, (one,) = await ringing(make_proxy, 1, "module::Router/fork-late=true")
    late = house.phone("192.0.2.9")
    assert late.rings
    late.answers(200)
    assert house.heard() == [200]
    assert one.methods[-1] == "CANCEL"


async def test_a_phone_that_registers_after_the_answer_does_not_ring(make_proxy: Any) -> None:
    house, (one,) = await ringing(make_proxy, 1, "module::Router/fork-late=true")
    one.answers(200)
    assert not house.phone("192.0.2.9").rings


async def test_without_late_forking_it_does_not_either(make_proxy: Any) -> None:
    house, _ = await ringing(make_proxy, 1)
    assert not house.phone("192.0.2.9").rings
