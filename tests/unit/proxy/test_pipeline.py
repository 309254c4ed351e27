"""The chain of modules: order, filters, waiting, answering, failing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flexipy.modules.forward import Forward
from flexipy.proxy.api import Module, RequestEvent, ResponseEvent, SipError
from flexipy.proxy.order import ORDER, in_order
from tests.harness.fake_network import request

Do = Callable[[RequestEvent], Awaitable[None] | None]


class Notes(Module):
    """Notes what it sees, and does what the test says."""

    enabled_by_default = True

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.seen: list[str] = []
        self.do: Do = lambda event: None
        self.do_response: Callable[[ResponseEvent], None] = lambda event: None

    def on_request(self, event: RequestEvent) -> Awaitable[None] | None:
        self.seen.append(event.request.method.decode())
        return self.do(event)

    def on_response(self, event: ResponseEvent) -> None:
        self.seen.append(str(event.response.status))
        self.do_response(event)


class First(Notes):
    name = "First"
    position = "Redirect"


class Second(Notes):
    name = "Second"
    position = "Router"


class InvitesOnly(Notes):
    name = "InvitesOnly"
    methods = frozenset((b"INVITE",))


MODULES = [Forward, InvitesOnly, Second, First]
BOB = "sip:bob@192.0.2.7"


async def test_modules_stand_in_order_whatever_the_order_of_their_names(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES)
    assert [type(module) for module in proxy.modules] == [First, InvitesOnly, Second, Forward]
    own = {name: type(name, (Module,), {"name": name}) for name in ORDER}
    assert [module.name for module in in_order(reversed(list(own.values())))] == list(ORDER)


async def test_a_module_stands_where_one_that_is_not_there_would_have_stood(make_proxy: Any) -> None:
    for position in ("Presence", "PushNotification", "Unheard Of"):
        stranger = type("Stranger", (Notes,), {"name": "Stranger", "position": position})
        assert [module.name for module in in_order([Forward, stranger])] == ["Stranger", "Forward"]


async def test_requests_pass_each_module_and_responses_too(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES)
    proxy.client().sends(request("OPTIONS", BOB))
    proxy.client("192.0.2.7").answers(100)
    proxy.client("192.0.2.7").answers(200)
    assert proxy.module(First).seen == proxy.module(Second).seen == ["OPTIONS", "200"]
    assert proxy.module(InvitesOnly).seen == ["200"]
    assert proxy.client().last_response.status == 200


async def test_a_filter_decides_what_a_module_sees(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES, "module::First/filter=request.method-name == 'INVITE'")
    proxy.client().sends(request("OPTIONS", BOB))
    proxy.client().sends(request("INVITE", BOB))
    assert proxy.module(First).seen == ["INVITE"]
    assert proxy.module(Second).seen == ["OPTIONS", "INVITE"]
    proxy.agent.pipeline.set_filter(proxy.module(First), None)
    proxy.client().sends(request("BYE", BOB))
    assert proxy.module(First).seen == ["INVITE", "BYE"]


@pytest.mark.parametrize("ends", [lambda event: event.reply(403), lambda event: event.drop()], ids=["reply", "drop"])
async def test_who_ends_a_request_is_the_last_to_see_it(make_proxy: Any, ends: Do) -> None:
    proxy = await make_proxy(MODULES)
    proxy.module(First).do = ends
    proxy.client().sends(request("OPTIONS", BOB))
    assert proxy.module(Second).seen == []
    assert [response.status for response in proxy.client().responses] in ([403], [])
    assert proxy.client("192.0.2.7").sent == []


async def test_a_provisional_reply_does_not_end_it(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES)
    proxy.module(First).do = lambda event: event.reply(183, "Wait")
    proxy.client().sends(request("INVITE", BOB))
    assert [repr(response) for response in proxy.client().responses] == ["<183 Wait>"]
    assert proxy.client("192.0.2.7").last_request.method == b"INVITE"


async def test_a_forward_to_another_place_goes_there(make_proxy: Any) -> None:
    from flexipy.sip.uri import SipUri

    proxy = await make_proxy(MODULES)
    proxy.module(First).do = lambda event: event.forward(SipUri.parse(b"sip:192.0.2.99"))
    proxy.client().sends(request("OPTIONS", BOB))
    assert proxy.client("192.0.2.99").last_request.uri_raw == BOB.encode()


async def test_a_request_waits_for_what_a_module_waits_for(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES)
    held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    proxy.module(First).do = lambda event: held
    sent = request("OPTIONS", BOB)
    proxy.client().sends(sent)
    proxy.client().sends(sent)  # absorbed
    await proxy.settle()
    assert (proxy.module(First).seen, proxy.module(Second).seen) == (["OPTIONS"], [])
    held.set_result(None)
    await proxy.settle()
    assert (proxy.module(First).seen, proxy.module(Second).seen) == (["OPTIONS"], ["OPTIONS"])


@pytest.mark.parametrize(
    ("error", "status", "failures"),
    [(SipError("no such room", 404), 404, 0), (SipError("bad thing"), 400, 0), (KeyError("bug"), 500, 1)],
)
@pytest.mark.parametrize("later", [False, True])
async def test_an_exception_is_answered(
    make_proxy: Any, error: Exception, status: int, failures: int, later: bool
) -> None:
    async def fails_later() -> None:
        raise error

    def fails(event: RequestEvent) -> Awaitable[None]:
        if later:
            return fails_later()
        raise error

    proxy = await make_proxy(MODULES)
    proxy.module(First).do = fails
    proxy.client().sends(request("OPTIONS", BOB))
    proxy.client().sends(request("ACK", BOB))
    await proxy.settle()
    assert [response.status for response in proxy.client().responses] == [status]
    assert proxy.counters["module_failures"] == 2 * failures
    assert proxy.module(Second).seen == []
    proxy.module(First).do = lambda event: None
    proxy.client().sends(request("OPTIONS", BOB))
    assert proxy.module(Second).seen == ["OPTIONS"]


async def test_a_cancelled_future_is_answered_503(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES)
    held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    proxy.module(First).do = lambda event: held
    proxy.client().sends(request("OPTIONS", BOB))
    held.cancel()
    await proxy.settle()
    assert proxy.client().last_response.status == 503


async def test_a_failure_on_a_response_does_not_keep_it_from_the_caller(make_proxy: Any) -> None:
    def fails(event: ResponseEvent) -> None:
        raise KeyError("bug")

    proxy = await make_proxy(MODULES)
    proxy.module(First).do_response = fails
    proxy.client().sends(request("OPTIONS", BOB))
    proxy.client("192.0.2.7").answers(200)
    assert proxy.client().last_response.status == 200
    assert proxy.counters["module_failures"] == 1
    assert proxy.module(Second).seen == ["OPTIONS", "200"]


async def test_a_module_edits_what_leaves_and_what_comes_back(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES)
    proxy.module(First).do = lambda event: event.request.append(b"x-a", b"X-A: 1")
    proxy.module(First).do_response = lambda event: event.response.append(b"x-b", b"X-B: 2")
    proxy.client().sends(request("OPTIONS", BOB))
    assert proxy.client("192.0.2.7").last_request.get(b"x-a") == b"1"
    proxy.client("192.0.2.7").answers(200)
    assert proxy.client().last_response.get(b"x-b") == b"2"


async def test_what_no_module_takes_is_answered_404(make_proxy: Any) -> None:
    proxy = await make_proxy([First])
    proxy.client().sends(request("OPTIONS", BOB))
    proxy.client().sends(request("ACK", BOB))
    assert [response.status for response in proxy.client().responses] == [404]


async def test_invented_methods_do_not_fill_the_memory(make_proxy: Any) -> None:
    proxy = await make_proxy([First])
    for number in range(500):
        proxy.client().sends(request(f"X{number}", BOB))
    assert len(proxy.module(First).seen) == 500
    proxy.client().sends(request("X7", BOB))
    assert proxy.module(First).seen[-1] == "X7"
