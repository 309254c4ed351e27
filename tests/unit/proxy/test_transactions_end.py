"""Whatever a stranger sends and whatever a module does with it: no transaction stays open for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import pytest

from flexipy.modules.forward import Forward
from flexipy.modules.sanity_checker import SanityChecker
from flexipy.proxy.api import Module, RequestEvent, SipError
from tests.harness.fake_network import FakeProxy, request


class Waits(Module):
    """Holds each request until the test says otherwise."""

    name = "Waits"
    enabled_by_default = True
    what_then: Any = None

    async def _wait(self, event: RequestEvent) -> None:
        await asyncio.sleep(0)
        if self.what_then is not None:
            self.what_then(event)

    def on_request(self, event: RequestEvent) -> Awaitable[None]:
        return self._wait(event)


def open_transactions(proxy: FakeProxy) -> int:
    return len(proxy.agent.layer.servers) + len(proxy.agent.layer.clients)


async def test_an_ack_that_a_module_holds_opens_none(make_proxy: Any) -> None:
    proxy = await make_proxy([Waits, Forward])
    proxy.client().sends(request("ACK", "sip:bob@192.0.2.7"))
    await proxy.settle()
    assert proxy.client("192.0.2.7").last_request.method == b"ACK"
    assert open_transactions(proxy) == 0


async def test_a_request_that_is_dropped_after_a_while_leaves_none(make_proxy: Any) -> None:
    proxy = await make_proxy([Waits, Forward])
    proxy.module(Waits).what_then = RequestEvent.drop
    proxy.client().sends(request("MESSAGE", "sip:bob@192.0.2.7"))
    await proxy.settle()
    assert proxy.client().sent == []
    assert open_transactions(proxy) == 0


async def test_a_fault_found_after_a_while_is_answered_without_a_traceback(
    make_proxy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(event: RequestEvent) -> None:
        raise SipError("no such room", 404)

    proxy = await make_proxy([Waits, Forward])
    proxy.module(Waits).what_then = refuse
    with caplog.at_level(logging.WARNING):
        proxy.client().sends(request("MESSAGE", "sip:bob@192.0.2.7"))
        await proxy.settle()
    assert proxy.client().last_response.status == 404
    assert caplog.records == []
    assert "module_failures" not in proxy.counters


async def test_a_failure_after_a_while_is_answered_500_and_counted_once(
    make_proxy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: RequestEvent) -> None:
        raise RuntimeError("a bug")

    proxy = await make_proxy([Waits, Forward])
    proxy.module(Waits).what_then = fail
    proxy.client().sends(request("MESSAGE", "sip:bob@192.0.2.7"))
    await proxy.settle()
    assert proxy.client().last_response.status == 500
    assert proxy.counters["module_failures"] == 1
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_an_invite_that_is_only_tried_is_given_up_by_timer_c(make_proxy: Any) -> None:
    proxy = await make_proxy([Forward])
    proxy.client().sends(request("INVITE", "sip:bob@192.0.2.7"))
    callee = proxy.client("192.0.2.7")
    callee.answers(100)
    proxy.advance(180)
    assert callee.last_request.method == b"INVITE"  # RFC 3261 section 16.6 item 11: more than 3 minutes
    proxy.advance(10)
    assert callee.last_request.method == b"CANCEL"
    proxy.advance(33)
    assert proxy.client().last_response.status == 487
    proxy.advance(40)
    assert open_transactions(proxy) == 0


async def test_an_invite_that_is_cancelled_while_a_module_holds_it_rings_nowhere(make_proxy: Any) -> None:
    proxy = await make_proxy([Waits, Forward])
    caller = proxy.client()
    invite = request("INVITE", "sip:bob@192.0.2.7")
    caller.sends(invite)
    caller.sends(bytes(invite).replace(b"INVITE", b"CANCEL"))
    await proxy.settle()
    assert {(response.cseq.method, response.status) for response in caller.responses} == {
        ("CANCEL", 200),
        ("INVITE", 487),
    }
    assert proxy.client("192.0.2.7").sent == []
    proxy.advance(70)
    assert open_transactions(proxy) == 0


TARGETS = (
    "sip:x@a..b",
    "sip:x@" + "a" * 300,
    "sip:x@" + ".".join(["abc"] * 100),
    "sip:x@[fe80::1%25eth0]",
    "sip:x@[fe80::1%eth0]",
    "sip:x@[::ffff:192.0.2.9]",
    "sip:x@192.0.2.9;transport=foo",
    "sip:x@name.test;transport=foo",
    "sip:x@name.test;transport=sctp",
    "sip:x@name.test:5070;transport=foo",
    "sips:x@name.test;transport=foo",
    "sip:x@192.0.2.9;transport",
    "sip:x@192.0.2.9;transport=",
    "sip:x@192.0.2.9;transport=%ff%00",
    "sip:x@192.0.2.9;transport=ws",
    "sips:x@192.0.2.9;transport=wss",
    "sips:x@192.0.2.9;transport=udp",
    "sip:x@name.test;maddr=..",
    "sip:x@name.test;maddr=[",
    "sip:x@name.test;maddr=]",
    "sip:x@192.0.2.9;maddr",
    "sip:x@192.0.2.9;maddr=%00",
    "sip:x@192.0.2.9;maddr=%c3%a9%20%0d%0a",
    "sip:x@192.0.2.9;maddr=\x7f",
    "sip:x@192.0.2.9;maddr=[::1",
    "sip:x@192.0.2.9:0",
    "sip:x@192.0.2.300",
    "sip:x@1.2",
    "sip:x@0x7f000001",
    "sip:x@.",
    "sip:x@-",
    "sip:x@_",
)


@pytest.mark.parametrize("uri", TARGETS)
async def test_a_target_that_is_no_place_is_answered(
    make_proxy: Any, caplog: pytest.LogCaptureFixture, uri: str
) -> None:
    proxy = await make_proxy([SanityChecker, Forward])
    with caplog.at_level(logging.WARNING):
        proxy.client().sends(request("MESSAGE", uri))
        proxy.client().sends(request("ACK", uri))
        await proxy.settle()
        proxy.advance(70)
        await proxy.settle()
    assert 400 <= proxy.client().last_response.status < 600
    assert open_transactions(proxy) == 0
    assert [record.message for record in caplog.records if record.exc_info] == []


async def test_a_failure_on_the_way_out_is_answered_500(make_proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("a bug")

    proxy = await make_proxy([Forward])
    monkeypatch.setattr("flexipy.transport.resolver.Resolver._search", fails)
    proxy.client().sends(request("MESSAGE", "sip:bob@name.test"))
    await proxy.settle()
    assert proxy.client().last_response.status == 500
