"""Several addresses of one target: the next one is tried when one fails (RFC 3263 section 4.3)."""

from __future__ import annotations

from typing import Any

import pytest

from flexipy.modules.forward import Forward
from tests.harness.fake_network import FakeFlow, FakeProxy, request

HOSTS = {"server.test": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}


async def sent(make_proxy: Any, method: str = "OPTIONS", uri: str = "sip:bob@server.test") -> FakeProxy:
    proxy: FakeProxy = await make_proxy([Forward], hosts=HOSTS)
    proxy.client().sends(request(method, uri))
    await proxy.settle()
    return proxy


def asked(proxy: FakeProxy) -> list[FakeFlow]:
    return [flow for flow in proxy.network.flows if flow.requests and flow.remote[0].startswith("192.0.2.")]


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE"])
async def test_a_503_leads_to_the_next_address_and_is_not_passed_on(make_proxy: Any, method: str) -> None:
    proxy = await sent(make_proxy, method)
    (first,) = asked(proxy)
    first.answers(503)
    await proxy.settle()
    (second,) = [flow for flow in asked(proxy) if flow is not first]
    second.answers(200)
    finals = [response.status for response in proxy.client().responses if response.status >= 200]
    assert finals == [200]
    assert proxy.counters["failovers"] == 1


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE"])
async def test_silence_leads_to_the_next_address(make_proxy: Any, method: str) -> None:
    proxy = await sent(make_proxy, method)
    proxy.advance(33)
    await proxy.settle()
    assert len(asked(proxy)) == 2


async def test_a_branch_has_another_id_at_each_address(make_proxy: Any) -> None:
    proxy = await sent(make_proxy)
    asked(proxy)[0].answers(503)
    await proxy.settle()
    one, two = (flow.last_request.top_via.branch for flow in asked(proxy))
    assert one != two


async def test_any_other_answer_is_final(make_proxy: Any) -> None:
    proxy = await sent(make_proxy)
    asked(proxy)[0].answers(500)
    await proxy.settle()
    assert len(asked(proxy)) == 1
    assert proxy.client().last_response.status == 500


async def test_when_all_have_failed_the_caller_hears_500(make_proxy: Any) -> None:
    proxy = await sent(make_proxy)
    for _ in range(3):
        waiting = [flow for flow in asked(proxy) if not flow.closed and not flow.refuses]
        waiting[-1].answers(503)
        waiting[-1].refuses = True
        await proxy.settle()
    assert proxy.client().last_response.status == 500


async def test_addresses_that_refuse_a_connection_are_passed_over(make_proxy: Any) -> None:
    proxy: FakeProxy = await make_proxy([Forward], hosts=HOSTS)
    proxy.network.unreachable |= {("192.0.2.1", 5060), ("192.0.2.2", 5060)}
    proxy.client().sends(request("OPTIONS", "sip:bob@server.test;transport=tcp"))
    await proxy.settle()
    assert [flow.remote[0] for flow in asked(proxy)] == ["192.0.2.3"]


async def test_where_none_can_be_reached_the_caller_hears_so(make_proxy: Any) -> None:
    proxy: FakeProxy = await make_proxy([Forward], hosts=HOSTS)
    proxy.network.unreachable |= {(ip, 5060) for ip in HOSTS["server.test"]}
    proxy.client().sends(request("OPTIONS", "sip:bob@server.test;transport=tcp"))
    await proxy.settle()
    assert proxy.client().last_response.status == 500


async def test_a_connection_that_breaks_leads_to_the_next_address(make_proxy: Any) -> None:
    proxy = await sent(make_proxy, uri="sip:bob@server.test;transport=tcp")
    (first,) = asked(proxy)
    first.close()
    await proxy.settle()
    assert [flow for flow in asked(proxy) if flow is not first]


async def test_a_cancelled_call_is_not_tried_elsewhere(make_proxy: Any) -> None:
    proxy: FakeProxy = await make_proxy([Forward], hosts=HOSTS)
    invite = request("INVITE", "sip:bob@server.test")
    proxy.client().sends(invite)
    await proxy.settle()
    (first,) = asked(proxy)
    first.answers(100)
    proxy.client().sends(bytes(invite).replace(b"INVITE", b"CANCEL"))
    first.answers(503, index=0)
    await proxy.settle()
    assert asked(proxy) == [first]


async def test_a_request_too_large_for_udp_goes_by_tcp_and_falls_back(make_proxy: Any) -> None:
    proxy: FakeProxy = await make_proxy([Forward])
    proxy.client().sends(request("MESSAGE", "sip:bob@192.0.2.1", body="x" * 1400))
    await proxy.settle()
    assert [flow.transport for flow in asked(proxy)] == [b"TCP"]
    proxy.network.unreachable.add(("192.0.2.2", 5060))
    proxy.client().sends(request("MESSAGE", "sip:bob@192.0.2.2", body="x" * 1400))
    await proxy.settle()
    assert [flow.transport for flow in asked(proxy) if flow.remote[0] == "192.0.2.2"] == [b"UDP"]
