"""Refusals that are made of a request's octets say what those say that are made of a request that was read."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from flexipy.modules.capabilities import Capabilities
from flexipy.modules.forward import Forward
from flexipy.proxy.agent import Agent
from flexipy.proxy.refusals import Refusals
from flexipy.sip.message import Request, Response
from flexipy.sip.parsing import parse
from flexipy.sip.timers import Timers
from flexipy.sip.transaction import TransactionLayer
from flexipy.transport.load import ALL_NEW, NEWCOMERS
from tests.harness.fake_network import FakeFlow, FakeProxy

_REGISTER = """REGISTER sip:example.org SIP/2.0
Via: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bK1;rport
Max-Forwards: 70
From: "Alice" <sip:alice@example.org>;tag=a1
To: <sip:alice@example.org>
Call-ID: call1@example.org
CSeq: 1 REGISTER
Contact: <sip:alice@203.0.113.5>
Expires: 3600
Content-Length: 0

"""
_INVITE = _REGISTER.replace("REGISTER", "INVITE").replace("INVITE sip:", "INVITE sip:bob@")
_VIA = "Via: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bK1;rport\n"


@pytest.fixture
async def proxy() -> AsyncIterator[FakeProxy]:
    proxy = await FakeProxy([Capabilities, Forward]).start()
    proxy.agent.load.level = NEWCOMERS
    yield proxy
    await proxy.stop()


def _octets(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def _at_once(agent: Agent, text: str, flow: FakeFlow, level: int = NEWCOMERS) -> bool:
    return agent._refusals.deals_with(_octets(text), flow, level)


def _after_reading(agent: Agent, text: str, flow: FakeFlow) -> Response:
    request = parse(_octets(text))
    assert isinstance(request, Request)
    before = len(flow.responses)
    agent._receive_request(request, flow, time.monotonic())
    assert len(flow.responses) == before + 1
    return flow.last_response


_VARIANTS = {
    "usual": _REGISTER,
    "call": _INVITE,
    "rport first": _REGISTER.replace(";branch=z9hG4bK1;rport", ";rport;branch=z9hG4bK1"),
    "from where its Via says": _REGISTER.replace(";rport", ""),
    "several Vias": _REGISTER.replace(
        _VIA, _VIA + "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK2\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK3\n"
    ),
    "order of baresip": _REGISTER.replace("Max-Forwards: 70\n", "Contact: <sip:alice@203.0.113.5>\nMax-Forwards: 70\n"),
    "parameters in the To": _REGISTER.replace("To: <sip:alice@example.org>", "To: <sip:alice@example.org;user=phone>"),
    "no brackets": _REGISTER.replace("To: <sip:alice@example.org>", "To: sip:alice@example.org"),
    "a body like a header": _INVITE.replace("Length: 0", "Length: 6") + "v=0\nxx",
}


@pytest.mark.parametrize("text", _VARIANTS.values(), ids=_VARIANTS)
async def test_both_ways_answer_alike(proxy: FakeProxy, text: str) -> None:
    flow = proxy.client("203.0.113.5", 5060)
    assert _at_once(proxy.agent, text, flow)
    at_once = flow.last_response
    read = _after_reading(proxy.agent, text, flow)
    assert at_once.status == read.status == 503
    assert sorted(zip(at_once.names, map(_unordered, at_once.lines), strict=True)) == sorted(
        zip(read.names, map(_unordered, read.lines), strict=True)
    )
    vias = [line for line in read.lines if line.startswith(b"Via")]
    assert [line for line in at_once.lines if line.startswith(b"Via")][1:] == vias[1:]


def _unordered(line: bytes) -> list[bytes]:
    return sorted(line.split(b";")) if line.startswith(b"Via") else [line]


_UNUSUAL = {
    "response": "SIP/2.0 200 OK\n" + _REGISTER.partition("\n")[2],
    "CANCEL": _REGISTER.replace("REGISTER", "CANCEL"),
    "BYE": _REGISTER.replace("REGISTER", "BYE"),
    "in a dialog": _INVITE.replace("To: <sip:alice@example.org>", "To: <sip:alice@example.org>;tag=b1"),
    "in a dialog, written oddly": _INVITE.replace("To: <sip:alice@example.org>", "To: sip:alice@example.org ; TAG = b"),
    "compact": _REGISTER.replace("Call-ID:", "i:"),
    "lower case": _REGISTER.replace("CSeq:", "cseq:"),
    "folded": _REGISTER.replace("CSeq: 1 REGISTER", "CSeq: 1\n REGISTER"),
    "folded at the end": _REGISTER.replace("Contact:", " \nContact:"),
    "folded Via": _REGISTER.replace(";rport", ";rport\n ;x"),
    "folded second Via": _REGISTER.replace(_VIA, _VIA + "Via: SIP/2.0/UDP 192.0.2.2\n ;branch=z9hG4bK3\n"),
    "Vias on one line": _REGISTER.replace(";rport", ";rport, SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK3"),
    "a compact Via below": _REGISTER.replace(_VIA, _VIA + "v: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK3\n"),
    "a Via further down": _REGISTER.replace("Expires", "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK3\nExpires"),
    "received": _REGISTER.replace(";rport", ";received=192.0.2.1;rport"),
    "rport with a value": _REGISTER.replace(";rport", ";rport=5060"),
    "elsewhere, without rport": _REGISTER.replace(
        "203.0.113.5:5060;branch=z9hG4bK1;rport", "192.0.2.7;branch=z9hG4bK1"
    ),
    "an older client": _REGISTER.replace("z9hG4bK1", "1"),
    "another version": _REGISTER.replace("example.org SIP/2.0", "example.org SIP/3.0"),
    "no Call-ID": _REGISTER.replace("Call-ID: call1@example.org\n", ""),
    "cut off": _REGISTER.partition("Contact")[0],
    "noise": "\x00\x01",
    "nothing": "",
}


@pytest.mark.parametrize("text", _UNUSUAL.values(), ids=_UNUSUAL)
@pytest.mark.parametrize("level", [NEWCOMERS, ALL_NEW])
async def test_what_is_not_certain_is_read(proxy: FakeProxy, text: str, level: int) -> None:
    flow = proxy.client("203.0.113.5", 5060)
    assert not _at_once(proxy.agent, text, flow, level)
    assert not flow.sent


async def test_a_line_end_that_stands_alone_makes_no_header(proxy: FakeProxy) -> None:
    flow = proxy.client("203.0.113.5", 5060)
    for stray in (b"\n", b"\r"):
        for name in (b"Alice", b"call1", b"1 REG"):
            data = _octets(_REGISTER).replace(name, name + stray + b"X: y")
            assert not proxy.agent._refusals.deals_with(data, flow, NEWCOMERS)


@pytest.mark.parametrize("header", ["Authorization", "Proxy-Authorization", "authorization"])
async def test_credentials_are_refused_last(proxy: FakeProxy, header: str) -> None:
    flow = proxy.client("203.0.113.5", 5060)
    text = _REGISTER.replace("Expires", f"{header}: Digest x\nExpires")
    assert not _at_once(proxy.agent, text, flow, NEWCOMERS)
    assert _at_once(proxy.agent, text, flow, ALL_NEW)
    assert flow.last_response.status == 503


async def test_a_retransmission_of_what_was_answered_is_no_new_request(proxy: FakeProxy) -> None:
    flow = proxy.client("203.0.113.5", 5060)
    text = _INVITE.replace("INVITE", "MESSAGE").replace("Max-Forwards: 70", "Max-Forwards: 0")
    proxy.agent.load.level = 0
    proxy.agent.take(_octets(text), flow, time.monotonic())
    given = flow.last_response
    assert given.status == 483
    assert not _at_once(proxy.agent, text, flow, ALL_NEW)
    proxy.agent.load.level = ALL_NEW
    proxy.agent.take(_octets(text), flow, time.monotonic())
    assert bytes(flow.last_response) == bytes(given)


async def test_a_retransmission_of_a_call_that_was_let_in_is_no_new_request(proxy: FakeProxy) -> None:
    flow = proxy.client("203.0.113.5", 5060)
    text = _INVITE.replace("sip:bob@example.org", "sip:bob@192.0.2.9")
    proxy.agent.load.level = 0
    proxy.agent.take(_octets(text), flow, time.monotonic())
    assert not _at_once(proxy.agent, text, flow, ALL_NEW)
    assert _at_once(proxy.agent, text.replace("z9hG4bK1", "z9hG4bK2"), flow, ALL_NEW)


async def test_the_acknowledgement_of_a_refusal_needs_no_reading(proxy: FakeProxy) -> None:
    flow = proxy.client("203.0.113.5", 5060)
    assert _at_once(proxy.agent, _INVITE, flow)
    to = flow.last_response.require(b"to").decode()
    ack = _INVITE.replace("INVITE", "ACK").replace("To: <sip:alice@example.org>", f"To: {to}")
    sent = len(flow.sent)
    assert _at_once(proxy.agent, ack, flow)
    assert not _at_once(proxy.agent, ack.replace(";tag=fx", ";tag=fy"), flow)
    assert len(flow.sent) == sent


async def test_the_acknowledgement_of_an_answer_with_a_transaction_reaches_it(proxy: FakeProxy) -> None:
    flow = proxy.client("203.0.113.5", 5060)
    proxy.agent.load.level = 0
    proxy.agent.take(_octets(_INVITE.replace("Max-Forwards: 70", "Max-Forwards: 0")), flow, time.monotonic())
    assert flow.last_response.status == 483
    to = flow.last_response.require(b"to").decode()
    ack = _INVITE.replace("INVITE", "ACK").replace("To: <sip:alice@example.org>", f"To: {to}")
    assert not _at_once(proxy.agent, ack, flow)


def test_the_server_names_itself_where_it_does_elsewhere() -> None:
    flow = FakeProxy([]).client("203.0.113.5", 5060)
    refusals = Refusals(TransactionLayer(Timers()), defaultdict(int), 5, b"flexipy/1")
    assert refusals.deals_with(_octets(_REGISTER), flow, NEWCOMERS)
    assert flow.last_response.get(b"server") == b"flexipy/1"
