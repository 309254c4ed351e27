from __future__ import annotations

import logging
from typing import Any

import pytest

from flexipy.modules.do_s_protection import DoSProtection
from flexipy.modules.redirect import Redirect
from tests.harness.fake_network import FakeFlow, FakeProxy, request

ANSWER = "module::Redirect/contact=<sip:elsewhere.example>"
PERIOD = 3.0


async def proxy_with(make_proxy: Any, *settings: str, **options: Any) -> FakeProxy:
    return await make_proxy([DoSProtection, Redirect], ANSWER, *settings, **options)


def send(proxy: FakeProxy, flow: FakeFlow, count: int, rate: float, method: str = "OPTIONS", agent: str = "x") -> int:
    """Send requests at a rate; how many of them were answered."""
    before = len(flow.responses)
    for _ in range(count):
        flow.sends(request(method, "sip:bob@example.net", [("User-Agent", agent)]))
        proxy.clock.now += 1 / rate
    return len(flow.responses) - before


async def test_source_below_the_limit_is_never_banned(make_proxy: Any) -> None:
    proxy = await proxy_with(make_proxy)
    client = proxy.client()
    assert send(proxy, client, 300, rate=19) == 300


async def test_source_above_the_limit_is_banned_at_the_end_of_the_period(make_proxy: Any) -> None:
    proxy = await proxy_with(make_proxy)
    client = proxy.client()
    # 32 a second for 3 seconds pass, then nothing does
    assert send(proxy, client, 200, rate=32) == 96
    assert proxy.counters["sources_banned"] == 1
    assert proxy.counters["refused_by_limits"] == 104


async def test_burst_that_stays_below_the_average_is_no_attack(make_proxy: Any) -> None:
    proxy = await proxy_with(make_proxy)
    client = proxy.client()
    for _ in range(10):
        assert send(proxy, client, 50, rate=1000) == 50
        proxy.clock.now += PERIOD


async def test_ban_ends(make_proxy: Any) -> None:
    proxy = await proxy_with(make_proxy, "module::DoSProtection/ban-time=1")
    client = proxy.client()
    send(proxy, client, 100, rate=25)
    assert send(proxy, client, 1, rate=25) == 0
    proxy.clock.now += 60
    assert send(proxy, client, 50, rate=10) == 50
    assert proxy.counters["sources_unbanned"] == 1


async def test_banned_source_that_goes_on_is_banned_again(make_proxy: Any) -> None:
    proxy = await proxy_with(make_proxy, "module::DoSProtection/ban-time=1")
    client = proxy.client()
    send(proxy, client, 25 * 130, rate=25)
    assert proxy.counters["sources_banned"] == 3


async def test_other_port_of_the_same_address_is_not_banned(make_proxy: Any) -> None:
    proxy = await proxy_with(make_proxy)
    send(proxy, proxy.client(port=5060), 100, rate=25)
    assert send(proxy, proxy.client(port=5062), 10, rate=25) == 10


async def test_connection_is_limited_as_well(make_proxy: Any) -> None:
    proxy = await proxy_with(make_proxy)
    assert send(proxy, proxy.client(transport=b"TCP"), 200, rate=32) == 96


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
async def test_this_machine_is_never_banned(make_proxy: Any, ip: str) -> None:
    proxy = await proxy_with(make_proxy, listeners=("sip:127.0.0.1:5060", "sip:[::1]:5060"))
    assert send(proxy, proxy.client(ip), 200, rate=100) == 200


@pytest.mark.parametrize("listed", ["203.0.113.5", "203.0.113.0/24", "busy.example"])
async def test_white_list_takes_addresses_networks_and_names(make_proxy: Any, listed: str) -> None:
    proxy = await proxy_with(
        make_proxy, f"module::DoSProtection/white-list={listed}", hosts={"busy.example": ["203.0.113.5"]}
    )
    assert send(proxy, proxy.client("203.0.113.5"), 200, rate=100) == 200


async def test_nodes_of_the_cluster_are_never_banned(make_proxy: Any) -> None:
    proxy = await proxy_with(make_proxy, "cluster/nodes=203.0.113.5 203.0.113.6")
    assert send(proxy, proxy.client("203.0.113.6"), 200, rate=100) == 200


async def test_with_a_filter_only_what_it_lets_in_counts(make_proxy: Any) -> None:
    proxy = await proxy_with(make_proxy, "module::DoSProtection/filter=!(user-agent == 'gateway')")
    assert send(proxy, proxy.client(port=5060), 200, rate=100, agent="gateway") == 200
    assert send(proxy, proxy.client(port=5062), 200, rate=32, agent="scanner") == 96


async def test_ban_is_explained_in_one_line(make_proxy: Any, caplog: pytest.LogCaptureFixture) -> None:
    proxy = await proxy_with(make_proxy)
    with caplog.at_level(logging.WARNING):
        send(proxy, proxy.client(), 200, rate=25)
    (line,) = [record.getMessage() for record in caplog.records if "banned" in record.getMessage()]
    assert line == ("udp 203.0.113.5:5060 banned for 2 min: 25 messages/s over 3.0 s, the limit is 20 (see white-list)")


async def test_sources_are_forgotten_when_they_are_quiet_or_too_many(
    make_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flexipy.modules.do_s_protection._SOURCE_LIMIT", 100)
    proxy = await proxy_with(make_proxy)
    module = proxy.module(DoSProtection)
    banned = proxy.client(port=1)
    send(proxy, banned, 100, rate=25)
    for port in range(1000, 1500):
        send(proxy, proxy.client(port=port), 1, rate=1e6)
    assert len(module._sources) <= 100
    assert send(proxy, banned, 1, rate=1e6) == 0
    proxy.clock.now += 1000
    module._sweep()
    assert module._sources == {}
