from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from flexipy.modules.forward import Forward
from flexipy.modules.load_balancer import LoadBalancer
from flexipy.proxy.module import ModuleError
from tests.harness.fake_network import FakeProxy, request

SERVERS = ("192.0.2.21", "192.0.2.22", "192.0.2.23")
ROUTES = "module::LoadBalancer/routes=" + " ".join(f"<sip:{ip}>" for ip in SERVERS)
BOB = "sip:bob@198.51.100.77"


@pytest.fixture
async def proxy(make_proxy: Any) -> FakeProxy:
    return await make_proxy([LoadBalancer, Forward], ROUTES)


def server_of(proxy: FakeProxy, call_id: str, method: str = "OPTIONS", headers: Any = ()) -> str:
    """Where a request of a call goes."""
    before = {flow: len(flow.sent) for flow in proxy.network.flows}
    proxy.client().sends(request(method, BOB, headers, call_id=call_id))
    (found,) = [flow for flow in proxy.network.flows if flow.requests and len(flow.sent) > before.get(flow, 0)]
    return found.remote[0]


async def test_calls_spread_evenly(proxy: FakeProxy) -> None:
    found = Counter(server_of(proxy, f"call-{number}") for number in range(300))
    assert found.keys() == set(SERVERS)
    assert min(found.values()) > 70


async def test_all_requests_of_a_call_meet_the_same_server(proxy: FakeProxy) -> None:
    assert len({server_of(proxy, "one-call", method) for method in ("INVITE", "ACK", "INFO", "BYE")}) == 1


async def test_server_gets_a_loose_route_and_the_request_uri_as_it_was(proxy: FakeProxy) -> None:
    ip = server_of(proxy, "call")
    sent = proxy.client(ip).last_request
    assert sent.uri_raw == BOB.encode()
    assert sent.get_all(b"route") == [f"<sip:{ip};lr>".encode()]


async def test_new_route_stands_before_others(proxy: FakeProxy) -> None:
    ip = server_of(proxy, "call", headers=[("Route", "<sip:192.0.2.99;lr>")])
    assert ip in SERVERS
    assert proxy.client(ip).last_request.get_all(b"route")[1] == b"<sip:192.0.2.99;lr>"


async def test_request_on_its_way_to_one_of_the_servers_stays_on_it(proxy: FakeProxy) -> None:
    for number in range(10):
        headers = [("Route", "<sip:192.0.2.22:5060;lr;x=1>")]
        assert server_of(proxy, f"call-{number}", headers=headers) == "192.0.2.22"


async def test_server_that_does_not_answer_gets_no_calls_for_a_while(proxy: FakeProxy) -> None:
    lost = server_of(proxy, "call")
    proxy.advance(33)
    assert proxy.client().last_response.status == 408
    assert proxy.counters["balanced_servers_lost"] == 1
    found = Counter(server_of(proxy, f"call-{number}") for number in range(90))
    assert found.keys() == set(SERVERS) - {lost}
    proxy.clock.now += 30
    assert server_of(proxy, "call") == lost


async def test_answer_of_a_server_is_no_sign_of_death(proxy: FakeProxy) -> None:
    ip = server_of(proxy, "call")
    proxy.client(ip).answers(503)
    assert server_of(proxy, "call") == ip


async def test_without_routes_nothing_changes(make_proxy: Any) -> None:
    proxy = await make_proxy([LoadBalancer, Forward])
    assert server_of(proxy, "call") == "198.51.100.77"


async def test_unusable_route_is_a_fault_of_the_configuration(make_proxy: Any) -> None:
    with pytest.raises(ModuleError, match="routes"):
        await make_proxy([LoadBalancer], "module::LoadBalancer/routes=<sip:192.0.2.1> nonsense")
