"""Connections that end while something is under way on them."""

from __future__ import annotations

import asyncio
from typing import Any

from flexipy.modules.forward import Forward
from flexipy.sip.message import Request
from tests.harness.fake_network import request


def own_request() -> Request:
    headers = [("From", "<sip:us@a.test>;tag=1"), ("To", "<sip:bob@b.test>"), ("Call-ID", "1"), ("CSeq", "1 OPTIONS")]
    return Request.build("OPTIONS", "sip:192.0.2.7;transport=tcp", headers)


async def test_a_request_of_our_own_fails_with_its_connection(make_proxy: Any) -> None:
    proxy = await make_proxy([Forward])
    context = proxy.module(Forward).context
    asked = asyncio.ensure_future(context.send(own_request()))
    await proxy.settle()
    proxy.client("192.0.2.7", transport=b"TCP").close()
    await proxy.settle()
    assert asked.done()
    assert asked.result().status == 503


async def test_a_relayed_request_fails_with_a_connection_that_was_ours_first(make_proxy: Any) -> None:
    proxy = await make_proxy([Forward])
    context = proxy.module(Forward).context
    asked = asyncio.ensure_future(context.send(own_request()))
    await proxy.settle()
    server = proxy.client("192.0.2.7", transport=b"TCP")
    server.answers(200)
    await proxy.settle()
    assert asked.result().status == 200
    caller = proxy.client()
    caller.sends(request("MESSAGE", "sip:bob@192.0.2.7;transport=tcp"))
    await proxy.settle()
    server.close()
    assert caller.last_response.status >= 500
    assert not proxy.agent.layer.uses(server)


async def test_a_connection_that_closes_at_once_leaves_nothing(make_proxy: Any) -> None:
    proxy = await make_proxy([Forward])
    server = proxy.client("192.0.2.7", transport=b"TCP")
    server.mark_closed()  # but it is still found: between the choice of the flow and the sending
    caller = proxy.client()
    caller.sends(request("MESSAGE", "sip:bob@192.0.2.7;transport=tcp"))
    await proxy.settle()
    assert caller.last_response.status >= 500
    assert not proxy.agent.layer.uses(server)


async def test_a_caller_that_hangs_up_is_forgotten(make_proxy: Any) -> None:
    proxy = await make_proxy([Forward])
    caller = proxy.client(transport=b"TCP")
    caller.sends(request("INVITE", "sip:bob@192.0.2.7"))
    caller.close()
    callee = proxy.client("192.0.2.7")
    callee.answers(180)
    callee.answers(486)
    proxy.advance(70)
    assert proxy.agent.layer.servers == {}
    assert proxy.agent.layer.clients == {}
