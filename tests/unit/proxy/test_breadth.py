"""How many branches one request may become (RFC 5393 section 5), and loops (section 4)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from flexipy.proxy import routing
from tests.unit.proxy.house import open_house


@pytest.mark.parametrize(("allowed", "phones"), [(3, 4), (1, 2), (0, 2)])
async def test_more_branches_than_allowed_are_refused(make_proxy: Any, allowed: int, phones: int) -> None:
    house = await open_house(make_proxy)
    found = [house.phone(f"192.0.2.{number + 1}") for number in range(phones)]
    house.calls([("Max-Breadth", str(allowed))])
    assert house.heard() == [440]
    assert not any(phone.rings for phone in found)


async def test_what_is_allowed_is_shared_among_the_branches(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    found = [house.phone(f"192.0.2.{number + 1}") for number in range(3)]
    house.calls([("Max-Breadth", "10")])
    shares = [int(phone.last("INVITE").require(b"max-breadth")) for phone in found]
    assert min(shares) >= 1
    assert sum(shares) <= 10


async def test_a_fork_sets_a_limit_where_there_was_none(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    found = [house.phone(f"192.0.2.{number + 1}") for number in range(12)]
    house.calls()
    shares = [int(phone.last("INVITE").require(b"max-breadth")) for phone in found]
    assert min(shares) >= 1
    assert sum(shares) <= 144


async def test_one_branch_takes_nothing_away(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    phone = house.phone("192.0.2.1")
    house.calls([("Max-Breadth", "1")])
    assert phone.last("INVITE").require(b"max-breadth") == b"1"
    house.calls()
    assert b"max-breadth" not in phone.last("INVITE")


async def test_nonsense_is_refused(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    for number in range(2):
        house.phone(f"192.0.2.{number + 1}")
    house.calls([("Max-Breadth", "many")])
    assert house.heard() == [400]


async def test_a_loop_is_found_and_a_spiral_is_not_taken_for_one(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    phone = house.phone("192.0.2.1")
    house.calls()
    back = phone.last("INVITE").copy()
    spiral = back.copy()
    spiral.uri_raw = b"sip:carol@house.test"
    house.phone("192.0.2.2", user="carol")
    back.uri_raw = b"sip:bob@house.test"
    via = b"Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK"
    for number, request in enumerate((back, spiral)):
        request.insert(0, b"via", via + b"%d" % number)
    phone.flow.sends(back)
    assert phone.flow.last_response.status == 482
    phone.flow.sends(spiral)
    assert phone.flow.last_response.status == 100
    assert house.proxy.client("192.0.2.2").last_request.method == b"INVITE"


def test_nobody_can_foresee_a_branch() -> None:
    random.seed(1)
    one = routing.new_branch(b"00000000")
    random.seed(1)
    assert routing.new_branch(b"00000000") != one
    assert len({routing.new_branch(b"0") for _ in range(5000)}) == 5000
