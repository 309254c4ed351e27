"""Via, Route, Record-Route and Max-Forwards (RFC 3261 section 16, RFC 3581, RFC 5658)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flexipy.modules.forward import Forward
from flexipy.sip.message import Request
from tests.harness.fake_network import FakeProxy, request

US = "198.51.100.1"
BOB = "sip:bob@192.0.2.7"


async def forwarded(
    make_proxy: Any, method: str = "INVITE", uri: str = BOB, headers: Sequence[tuple[str, str]] = (), **more: Any
) -> tuple[FakeProxy, Request]:
    """What arrives at 192.0.2.7."""
    proxy = await make_proxy([Forward], aliases=("house.test",))
    proxy.client().sends(request(method, uri, headers, **more))
    await proxy.settle()
    (found,) = [found for flow in proxy.network.flows if flow.remote[0] == "192.0.2.7" for found in flow.requests]
    return proxy, found


# --- Max-Forwards --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "left"), [("70", b"69"), ("1", b"0"), ("255", b"254"), ("999999", b"254"), (" 5 ", b"4")]
)
async def test_max_forwards_is_counted_down(make_proxy: Any, given: str, left: bytes) -> None:
    proxy = await make_proxy([Forward])
    sent = request("INVITE", BOB)
    sent.set(b"max-forwards", f"Max-Forwards: {given}".encode())
    proxy.client().sends(sent)
    assert proxy.client("192.0.2.7").last_request.get(b"max-forwards") == left


async def test_a_missing_max_forwards_is_put_in(make_proxy: Any) -> None:
    proxy = await make_proxy([Forward])
    sent = request("INVITE", BOB)
    sent.remove(b"max-forwards")
    proxy.client().sends(sent)
    assert proxy.client("192.0.2.7").last_request.get(b"max-forwards") == b"70"


@pytest.mark.parametrize(("given", "status"), [("0", 483), ("-1", 400), ("x", 400), ("", 400), ("1" * 30, 400)])
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "ACK"])
async def test_where_the_hops_end_so_does_the_request(make_proxy: Any, given: str, status: int, method: str) -> None:
    proxy = await make_proxy([Forward])
    sent = request(method, BOB)
    sent.set(b"max-forwards", f"Max-Forwards: {given}".encode())
    proxy.client().sends(sent)
    assert [response.status for response in proxy.client().responses] == ([] if method == "ACK" else [status])
    assert proxy.client("192.0.2.7").sent == []


# --- Via -----------------------------------------------------------------------------------------------------


async def test_our_via_stands_on_top_and_comes_off_again(make_proxy: Any) -> None:
    proxy, found = await forwarded(make_proxy)
    assert found.top_via.host == US
    assert found.top_via.branch.startswith("z9hG4bK")
    assert found.count(b"via") == 2
    proxy.client("192.0.2.7").answers(200)
    response = proxy.client().last_response
    assert [via.partition(b";")[0] for via in response.get_all(b"via")] == [b"SIP/2.0/UDP 203.0.113.5:5060"]


@pytest.mark.parametrize(
    ("via", "stamps"),
    [
        ("SIP/2.0/UDP 10.0.0.1:5060;rport", ["received=203.0.113.5", "rport=5060"]),
        ("SIP/2.0/UDP 10.0.0.1:5060;RPORT;x=1", ["received=203.0.113.5", "rport=5060", "x=1"]),
        ("SIP/2.0/UDP phone.test", ["received=203.0.113.5"]),
        ("SIP/2.0/UDP 10.0.0.1:5060;received=192.0.2.99;rport=7", ["received=203.0.113.5", "rport=5060"]),
        ("SIP/2.0/UDP 10.0.0.1:5060;received=192.0.2.99;rport", ["received=203.0.113.5", "rport=5060"]),
        ("SIP/2.0/UDP 10.0.0.1:5060;rport;received=192.0.2.99", ["received=203.0.113.5", "rport=5060"]),
        ("SIP/2.0/UDP 10.0.0.1:5060;received=192.0.2.99", ["received=203.0.113.5"]),
        ("SIP/2.0/UDP 203.0.113.5:5060;received=192.0.2.99", []),
    ],
)
async def test_the_real_source_is_noted(make_proxy: Any, via: str, stamps: list[str]) -> None:
    _, found = await forwarded(make_proxy, via=via)
    callers = found.get_all(b"via")[1].decode()
    for stamp in stamps:
        assert f";{stamp}" in callers
    assert "192.0.2.99" not in callers


async def test_a_made_up_source_leads_no_answer_astray(make_proxy: Any) -> None:
    proxy = await make_proxy([])
    for via in ("SIP/2.0/UDP 192.0.2.99;rport", "SIP/2.0/UDP 192.0.2.99;received=192.0.2.98;maddr=192.0.2.97"):
        proxy.client().sends(request("OPTIONS", BOB, via=via))
    assert {flow.remote[0] for flow in proxy.network.flows if flow.sent} == {"203.0.113.5"}


async def test_without_rport_the_answer_goes_to_the_port_of_the_via(make_proxy: Any) -> None:
    proxy = await make_proxy([])
    client = proxy.client("203.0.113.5", 40000)
    client.sends(request("OPTIONS", BOB, via="SIP/2.0/UDP 203.0.113.5:5070"))
    assert client.sent == []
    assert proxy.client("203.0.113.5", 5070).last_response.status == 404


# --- Record-Route --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "REFER"])
async def test_we_stay_in_what_may_become_a_dialog(make_proxy: Any, method: str) -> None:
    _, found = await forwarded(make_proxy, method)
    assert found.get_all(b"record-route") == [f"<sip:{US}:5060;lr>".encode()]


@pytest.mark.parametrize("method", ["MESSAGE", "OPTIONS", "BYE", "REGISTER", "FOO"])
async def test_we_do_not_stay_in_anything_else(make_proxy: Any, method: str) -> None:
    _, found = await forwarded(make_proxy, method)
    assert b"record-route" not in found


async def test_two_routes_are_recorded_where_the_transport_changes(make_proxy: Any) -> None:
    """RFC 5658: the side of the callee on top."""
    _, found = await forwarded(make_proxy, uri=f"{BOB};transport=tcp")
    assert found.get_all(b"record-route") == [
        f"<sip:{US}:5060;transport=tcp;lr>".encode(),
        f"<sip:{US}:5060;lr>".encode(),
    ]


async def test_an_older_record_route_stays_below_ours(make_proxy: Any) -> None:
    _, found = await forwarded(make_proxy, headers=[("Record-Route", "<sip:before.test;lr>")])
    assert found.get_all(b"record-route") == [f"<sip:{US}:5060;lr>".encode(), b"<sip:before.test;lr>"]


# --- Route ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ours",
    [
        f"<sip:{US};lr>",
        f"<sip:{US}:5060;lr>, <sip:{US}:5060;transport=tcp;lr>",
        "<sip:house.test;lr>",
        f"<sips:{US}:5061;lr>",
        f'"us, of course" <sip:{US};lr>',
    ],
)
async def test_our_own_routes_are_taken_off(make_proxy: Any, ours: str) -> None:
    _, found = await forwarded(make_proxy, "BYE", headers=[("Route", ours)])
    assert b"route" not in found
    assert found.uri_raw == BOB.encode()


async def test_the_next_route_decides_and_stays(make_proxy: Any) -> None:
    route = "<sip:192.0.2.7;lr>"
    _, found = await forwarded(
        make_proxy,
        uri="sip:bob@elsewhere.test",
        headers=[("Route", f"<sip:{US};lr>, {route}"), ("Route", "<sip:far.test;lr>")],
    )
    assert found.get_all(b"route") == [route.encode(), b"<sip:far.test;lr>"]
    assert found.uri_raw == b"sip:bob@elsewhere.test"


async def test_the_swap_of_a_strict_router_is_undone(make_proxy: Any) -> None:
    """RFC 3261 section 16.4: our own route is in the request line, the target last among the routes."""
    _, found = await forwarded(
        make_proxy, "BYE", f"sip:{US}:5060;lr", [("Route", f"<sip:{US};lr>"), ("Route", f"<{BOB}>")], to=f"<{BOB}>"
    )
    assert found.uri_raw == BOB.encode()
    assert b"route" not in found


@pytest.mark.parametrize("route", ["<sip:a", "nonsense", '"x <sip:a@b>', "<tel:+1>", ""])
async def test_a_route_that_cannot_be_read_is_answered(make_proxy: Any, route: str) -> None:
    proxy = await make_proxy([Forward])
    proxy.client().sends(request("INVITE", BOB, [("Route", route)]))
    assert 400 <= proxy.client().last_response.status < 500
    assert proxy.client("192.0.2.7").sent == []


@pytest.mark.parametrize("token", ["AAAA", "x" * 31, "%00", "alice"])
async def test_a_forged_flow_token_leads_nowhere(make_proxy: Any, token: str) -> None:
    proxy = await make_proxy([Forward])
    proxy.client().sends(request("INVITE", BOB, [("Route", f"<sip:{token}@{US};lr>")]))
    assert proxy.client().last_response.status == 430
    assert proxy.client("192.0.2.7").sent == []


async def test_a_token_of_ours_leads_to_its_flow_and_nowhere_else(make_proxy: Any) -> None:
    proxy = await make_proxy([Forward])
    phone = proxy.client("192.0.2.50", 4321, b"TCP")
    token = proxy.network.flow_token(phone).decode()
    proxy.client().sends(request("MESSAGE", BOB, [("Route", f"<sip:{token}@{US};lr>")]))
    assert phone.last_request.uri_raw == BOB.encode()
    phone.close()
    proxy.client().sends(request("MESSAGE", BOB, [("Route", f"<sip:{token}@{US};lr>")]))
    assert proxy.client().last_response.status == 430


async def test_the_ack_of_a_2xx_is_passed_on_without_an_answer(make_proxy: Any) -> None:
    proxy, found = await forwarded(make_proxy, "ACK", headers=[("Route", f"<sip:{US};lr>")], to=f"<{BOB}>;tag=callee")
    assert (found.method, found.top_via.host) == (b"ACK", US)
    assert proxy.client().sent == []
    assert proxy.agent.layer.servers == {}


async def test_a_response_to_nothing_goes_nowhere(make_proxy: Any) -> None:
    proxy, _ = await forwarded(make_proxy)
    proxy.client("192.0.2.7").sends(
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKother\r\nVia: SIP/2.0/UDP 192.0.2.99\r\n"
        b"From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n"
    )
    assert proxy.counters["stray_responses"] == 1
    assert [flow.remote for flow in proxy.network.flows if flow.responses] == [("203.0.113.5", 5060)]
