"""Under too much load new work is refused, and what belongs to work begun goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flexipy.modules.capabilities import Capabilities
from flexipy.modules.forward import Forward
from flexipy.transport.load import ALL_NEW, NEWCOMERS, NOTHING
from tests.harness.fake_network import FakeProxy, request

_CREDENTIALS = {
    "REGISTER": (("Authorization", 'Digest username="alice"'),),
    "INVITE": (("Proxy-Authorization", 'Digest username="alice"'),),
}
_THERE = "sip:bob@192.0.2.9"


@pytest.fixture
async def proxy() -> AsyncIterator[FakeProxy]:
    proxy = await FakeProxy([Capabilities, Forward]).start()
    yield proxy
    await proxy.stop()


@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "MESSAGE", "SUBSCRIBE", "OPTIONS"])
async def test_new_requests_are_refused_without_a_transaction(proxy: FakeProxy, method: str) -> None:
    alice = proxy.client()
    proxy.agent.load.level = NEWCOMERS
    alice.sends(request(method, _THERE))
    assert alice.last_response.status == 503
    assert 5 <= int(alice.last_response.require(b"retry-after")) <= 10
    assert not proxy.agent.layer.servers
    assert not proxy.client("192.0.2.9").sent
    assert proxy.counters["refused_by_overload"] == 1


@pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
async def test_who_answers_a_challenge_is_refused_last(proxy: FakeProxy, method: str) -> None:
    alice = proxy.client()
    proxy.agent.load.level = NEWCOMERS
    alice.sends(request(method, _THERE, _CREDENTIALS[method]))
    assert len(proxy.client("192.0.2.9").requests) == 1
    proxy.agent.load.level = ALL_NEW
    alice.sends(request(method, _THERE, _CREDENTIALS[method]))
    assert alice.last_response.status == 503


@pytest.mark.parametrize("method", ["BYE", "INVITE", "INFO", "UPDATE", "PRACK", "ACK", "MESSAGE"])
async def test_requests_within_calls_go_on(proxy: FakeProxy, method: str) -> None:
    proxy.agent.load.level = ALL_NEW
    proxy.client().sends(request(method, _THERE, to="<sip:bob@192.0.2.9>;tag=b1"))
    assert proxy.client("192.0.2.9").last_request.method == method.encode()


async def test_a_call_that_was_let_in_goes_on_to_its_end(proxy: FakeProxy) -> None:
    alice, bob = proxy.client(), proxy.client("192.0.2.9")
    invite = request("INVITE", _THERE)
    alice.sends(invite)
    proxy.agent.load.level = ALL_NEW
    alice.sends(invite)  # again, for want of an answer
    assert {response.status for response in alice.responses} == {100}
    bob.answers(180)
    assert alice.last_response.status == 180
    cancel = invite.copy()
    cancel.method = b"CANCEL"
    cancel.set(b"cseq", b"CSeq: 1 CANCEL")
    alice.sends(cancel)
    assert alice.last_response.status == 200
    assert bob.last_request.method == b"CANCEL"


async def test_the_acknowledgement_of_a_refusal_goes_nowhere(proxy: FakeProxy) -> None:
    alice = proxy.client()
    proxy.agent.load.level = NEWCOMERS
    invite = request("INVITE", _THERE)
    alice.sends(invite)
    ack = invite.copy()
    ack.method = b"ACK"
    ack.set(b"cseq", b"CSeq: 1 ACK")
    ack.set(b"to", b"To: " + alice.last_response.require(b"to"))
    alice.sends(ack)
    assert not proxy.client("192.0.2.9").sent


async def test_all_are_served_when_it_is_over(proxy: FakeProxy) -> None:
    alice = proxy.client()
    proxy.agent.load.level = NEWCOMERS
    first = request("INVITE", _THERE)
    alice.sends(first)
    assert alice.last_response.status == 503
    proxy.agent.load.level = NOTHING
    alice.sends(request("INVITE", _THERE))
    assert len(proxy.client("192.0.2.9").requests) == 1
