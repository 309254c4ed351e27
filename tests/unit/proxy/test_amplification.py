"""What needs no password must not become many messages, nor a way to places that only this server reaches."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flexipy.modules.forward import Forward
from tests.harness.fake_network import request
from tests.unit.proxy.house import DOMAIN, open_house

TARGETS = ", ".join(f"<sip:victim@192.0.2.{number}>" for number in range(100, 150))


@pytest.mark.parametrize("method", ["BYE", "ACK", "CANCEL"])
async def test_a_list_of_targets_is_not_for_requests_without_a_password(make_proxy: Any, method: str) -> None:
    house = await open_house(make_proxy)
    house.phone("192.0.2.1")
    house.calls([("X-Target-Uris", TARGETS)], method=method)
    await house.proxy.settle()
    assert not [flow for flow in house.proxy.network.flows if flow.requests and flow.remote[0] != "192.0.2.1"]


async def test_a_list_of_targets_reaches_each(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    phone = house.phone("192.0.2.1")
    house.calls([("X-Target-Uris", f"<sip:bob@{DOMAIN}>, <sip:x@192.0.2.50>, <sip:x@192.0.2.50>")], method="MESSAGE")
    await house.proxy.settle()
    assert phone.methods == ["MESSAGE"]
    assert len(house.proxy.client("192.0.2.50").requests) == 1
    assert b"x-target-uris" not in phone.last("MESSAGE")


async def test_a_list_of_targets_without_end_is_refused(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    house.calls([("X-Target-Uris", ", ".join([TARGETS] * 10))], method="MESSAGE")
    await house.proxy.settle()
    assert house.heard() == [440]
    assert house.open_transactions == 0


@pytest.mark.parametrize("uri", ["<sip:bob", "<tel:+1>", "nobody", "<sip:bob@>"])
async def test_a_list_of_targets_that_cannot_be_read_is_refused(make_proxy: Any, uri: str) -> None:
    house = await open_house(make_proxy)
    house.calls([("X-Target-Uris", uri)], method="MESSAGE")
    await house.proxy.settle()
    assert house.heard()[0] in (400, 416)


async def test_an_ack_reaches_one_device_only(make_proxy: Any) -> None:
    house = await open_house(make_proxy)
    phones = [house.phone(f"192.0.2.{number}") for number in range(1, 5)]
    house.calls(method="ACK")
    assert sum(len(phone.methods) for phone in phones) == 1
    assert house.caller.sent == []


async def test_acks_do_not_keep_us_busy_with_names(make_proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def never(resolver: object, question: object) -> None:
        asked.append(question)
        await asyncio.get_running_loop().create_future()

    house = await open_house(make_proxy)
    monkeypatch.setattr("flexipy.transport.resolver.Resolver._search", never)
    for number in range(2000):
        house.caller.sends(request("ACK", f"sip:x@host{number}.test"))
    await house.proxy.settle()
    assert 0 < len(asked) <= 512
    assert house.proxy.counters["acks_dropped"] == 2000 - len(asked)


async def test_an_ack_goes_to_the_next_address_when_one_cannot_be_reached(make_proxy: Any) -> None:
    proxy = await make_proxy([Forward], hosts={"server.test": ["192.0.2.1", "192.0.2.2"]})
    proxy.network.unreachable |= {("192.0.2.1", 5060)}
    for _ in range(600):
        proxy.client().sends(request("ACK", "sip:x@server.test;transport=tcp"))
        await proxy.settle()
    assert len(proxy.client("192.0.2.2", transport=b"TCP").requests) == 600
    assert "acks_dropped" not in proxy.counters
