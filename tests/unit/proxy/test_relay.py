"""Requests that are not forked: every response but 100 goes back as it comes."""

from __future__ import annotations

from typing import Any

import pytest

from flexipy.modules.forward import Forward
from flexipy.sip.message import Request
from tests.harness.fake_network import FakeFlow, FakeProxy, request

BOB = "sip:bob@192.0.2.7"


class Call:
    """An INVITE on its way through a proxy without a registrar."""

    def __init__(self, proxy: FakeProxy) -> None:
        self.proxy = proxy
        self.caller: FakeFlow = proxy.client()
        self.callee: FakeFlow = proxy.client("192.0.2.7")
        self.invite = request("INVITE", BOB)
        self.caller.sends(self.invite)

    def derived(self, method: str) -> Request:
        """A CANCEL or ACK with the INVITE's Via."""
        found = self.invite.copy()
        found.method = method.encode()
        found.set(b"cseq", f"CSeq: 1 {method}".encode())
        return found

    @property
    def heard(self) -> list[tuple[str, int]]:
        return [(each.cseq.method, each.status) for each in self.caller.responses]

    @property
    def open(self) -> int:
        return len(self.proxy.agent.layer.servers) + len(self.proxy.agent.layer.clients)


async def call(make_proxy: Any) -> Call:
    return Call(await make_proxy([Forward]))


async def test_each_answer_goes_back_and_100_does_not(make_proxy: Any) -> None:
    made = await call(make_proxy)
    for status in (100, 180, 183, 199, 200):
        made.callee.answers(status)
    assert [status for _, status in made.heard] == [100, 180, 183, 199, 200]


async def test_a_repeated_200_goes_back_each_time_and_a_repeated_refusal_once(make_proxy: Any) -> None:
    made = await call(make_proxy)
    made.callee.answers(200)
    made.callee.answers(200)
    assert [status for _, status in made.heard] == [100, 200, 200]
    made = await call(make_proxy)
    made.callee.answers(404)
    made.caller.sends(made.derived("ACK"))
    made.callee.answers(404, index=0)
    assert [status for _, status in made.heard] == [100, 404]
    assert [sent.method for sent in made.callee.requests] == [b"INVITE", b"ACK", b"ACK"]


async def test_a_cancel_is_answered_and_sent_on_under_our_own_branch(make_proxy: Any) -> None:
    made = await call(make_proxy)
    made.callee.answers(180)
    made.caller.sends(made.derived("CANCEL"))
    cancel = made.callee.last_request
    assert (cancel.method, cancel.uri_raw) == (b"CANCEL", BOB.encode())
    assert cancel.get_all(b"via") == [made.callee.requests[0].top_via_raw]
    assert ("CANCEL", 200) in made.heard
    made.callee.answers(200)  # the CANCEL
    made.callee.answers(487, index=0)
    assert made.heard[-1] == ("INVITE", 487)
    made.caller.sends(made.derived("ACK"))
    made.proxy.advance(40)
    assert made.open == 0


async def test_a_cancel_that_comes_again_is_answered_again(make_proxy: Any) -> None:
    made = await call(make_proxy)
    made.callee.answers(180)
    for _ in range(3):
        made.caller.sends(made.derived("CANCEL"))
    assert [each for each in made.heard if each[0] == "CANCEL"] == [("CANCEL", 200)] * 3
    assert [sent.method for sent in made.callee.requests] == [b"INVITE", b"CANCEL"]


async def test_a_cancel_after_the_answer_changes_nothing(make_proxy: Any) -> None:
    made = await call(make_proxy)
    made.callee.answers(200)
    made.caller.sends(made.derived("CANCEL"))
    assert made.heard[-1] == ("CANCEL", 200)
    assert [sent.method for sent in made.callee.requests] == [b"INVITE"]


async def test_a_cancel_of_nothing_is_answered_481_and_goes_nowhere(make_proxy: Any) -> None:
    proxy = await make_proxy([Forward])
    for sent in (request("CANCEL", BOB), request("CANCEL", BOB, via="SIP/2.0/UDP 203.0.113.5")):
        proxy.client().sends(sent)
        assert proxy.client().last_response.status == 481
    assert proxy.client("192.0.2.7").sent == []


async def test_a_cancel_does_not_touch_another_request_than_an_invite(make_proxy: Any) -> None:
    proxy = await make_proxy([Forward])
    message = request("MESSAGE", BOB)
    proxy.client().sends(message)
    cancel = message.copy()
    cancel.method = b"CANCEL"
    cancel.set(b"cseq", b"CSeq: 1 CANCEL")
    proxy.client().sends(cancel)
    assert proxy.client().last_response.status == 481
    proxy.client("192.0.2.7").answers(200)
    assert proxy.client().last_response.cseq.method == "MESSAGE"


async def test_ringing_puts_timer_c_off(make_proxy: Any) -> None:
    made = await call(make_proxy)
    for _ in range(3):
        made.callee.answers(180)
        made.proxy.advance(150)
    assert [sent.method for sent in made.callee.requests] == [b"INVITE"]
    made.proxy.advance(40)
    assert made.callee.last_request.method == b"CANCEL"


async def test_a_callee_that_never_speaks_is_given_up(make_proxy: Any) -> None:
    made = await call(make_proxy)
    made.proxy.advance(33)
    assert made.heard[-1] == ("INVITE", 408)
    made.proxy.advance(70)
    assert made.open == 0


async def test_a_503_is_not_passed_on_as_ours(make_proxy: Any) -> None:
    made = await call(make_proxy)
    made.callee.answers(503)
    assert made.heard[-1] == ("INVITE", 500)


@pytest.mark.parametrize("method", ["MESSAGE", "OPTIONS", "BYE", "FOO"])
async def test_other_requests_are_relayed_once_and_answered_for_each_repetition(make_proxy: Any, method: str) -> None:
    proxy = await make_proxy([Forward])
    sent = request(method, BOB)
    for _ in range(3):
        proxy.client().sends(sent)
    assert len(proxy.client("192.0.2.7").requests) == 1
    proxy.client("192.0.2.7").answers(200)
    proxy.client().sends(sent)
    assert [response.status for response in proxy.client().responses] == [200, 200]
    proxy.advance(70)
    assert proxy.agent.layer.servers == proxy.agent.layer.clients == {}


async def test_the_body_and_unknown_headers_arrive_byte_for_byte(make_proxy: Any) -> None:
    proxy = await make_proxy([Forward])
    odd = [b"X-Odd:  \xff\xfe ;,<", b"x-FOLDED: a\r\n\tb", b"Subject:", b"k: a, b"]
    sent = request("MESSAGE", BOB)
    for line in odd:
        sent.append(b"x", line)
    sent.set_body(b"\x00\xff\r\n\r\nSIP/2.0 200 OK\r\n\r\n")
    proxy.client().sends(sent)
    found = proxy.client("192.0.2.7").last_request
    assert found.body == sent.body
    assert [line for line in found.lines if line in odd] == odd
