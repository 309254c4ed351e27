"""Client transactions: timers A, B, D, E, F, K (RFC 3261 table 4) and M (RFC 6026)."""

from __future__ import annotations

import pytest

from flexipy.sip.message import Request
from flexipy.sip.parsing import parse
from flexipy.sip.transaction.client import ack_for, cancel_for
from flexipy.sip.transaction.states import ACCEPTED, PROCEEDING
from tests.unit.sip.transaction_stage import Stage, make_request

UDP, TCP = False, True


def near(times: list[float]) -> list[float]:
    return [pytest.approx(time, abs=0.03) for time in times]


def test_invite_is_repeated_at_doubling_intervals_until_timer_b() -> None:
    stage = Stage("INVITE", UDP)
    stage.client()
    stage.passes(40)
    assert stage.outlet.times == near([0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5])
    assert stage.user.told == ["timeout"]
    assert stage.open == 0


def test_other_requests_are_repeated_up_to_t2_until_timer_f() -> None:
    stage = Stage("OPTIONS", UDP)
    stage.client()
    stage.passes(40)
    assert stage.outlet.times == near([0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5])
    assert stage.user.told == ["timeout"]
    assert stage.open == 0


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_nothing_is_repeated_on_a_reliable_transport(method: str) -> None:
    stage = Stage(method, TCP)
    stage.client()
    stage.passes(40)
    assert stage.kinds == [method]
    assert stage.user.told == ["timeout"]


def test_a_provisional_response_ends_the_repeating_of_an_invite_and_its_time_out() -> None:
    stage = Stage("INVITE", UDP)
    client = stage.client()
    client.receive(stage.response(180), stage.now)
    client.receive(stage.response(183), stage.now)
    stage.passes(100)
    assert stage.kinds == ["INVITE"]
    assert stage.user.told == ["180", "183"]
    assert client.state == PROCEEDING


def test_a_provisional_response_to_another_request_slows_the_repeating_to_t2() -> None:
    stage = Stage("OPTIONS", UDP)
    client = stage.client()
    stage.passes(0.3)
    client.receive(stage.response(100), stage.now)
    stage.passes(33)
    assert stage.outlet.times == near([0, 0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5])
    assert stage.user.told == ["100", "timeout"]


def test_a_refused_invite_is_acknowledged_once_more_for_each_repetition_until_timer_d() -> None:
    stage = Stage("INVITE", UDP)
    client = stage.client()
    for _ in range(3):
        client.receive(stage.response(486), stage.now)
    assert stage.kinds == ["INVITE", "ACK", "ACK", "ACK"]
    assert stage.user.told == ["486"]
    stage.passes(31)
    assert stage.open == 1
    stage.passes(2)
    assert stage.open == 0


def test_a_refused_invite_on_a_reliable_transport_ends_at_once() -> None:
    stage = Stage("INVITE", TCP)
    stage.client().receive(stage.response(486), stage.now)
    assert (stage.kinds, stage.user.told, stage.open) == (["INVITE", "ACK"], ["486"], 0)


def test_every_2xx_is_passed_on_until_timer_m_and_none_is_acknowledged() -> None:
    stage = Stage("INVITE", UDP)
    client = stage.client()
    client.receive(stage.response(200, "one"), stage.now)
    stage.passes(31)
    client.receive(stage.response(200, "two"), stage.now)
    client.receive(stage.response(486), stage.now)  # after a 2xx only others of its kind count
    client.receive(stage.response(180), stage.now)
    assert (stage.user.told, stage.kinds) == (["200", "200"], ["INVITE"])
    assert client.state == ACCEPTED
    stage.passes(2)
    assert stage.open == 0


def test_repeated_final_responses_to_other_requests_belong_to_nobody() -> None:
    stage = Stage("OPTIONS", UDP)
    client = stage.client()
    via = stage.request.top_via_raw.replace(b"z9hG4bKx", b"z9hG4bKours")
    answer = stage.response(404)
    assert stage.layer.match_response(answer, via) is client
    client.receive(answer, stage.now)
    assert (stage.user.told, stage.open) == (["404"], 0)
    assert stage.layer.match_response(answer, via) is None  # it is dropped, as timer K would have it
    stage.passes(40)
    assert stage.kinds == ["OPTIONS"]


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_a_flow_that_refuses_the_first_sending_tells_its_caller_only(method: str) -> None:
    stage = Stage(method, UDP)
    stage.outlet.broken = True
    transaction = stage.layer.create_client(b"z9hG4bKours", method.encode(), b"", stage.outlet, stage.user)
    assert not transaction.start(stage.now)
    assert (stage.user.told, stage.open) == ([], 0)


def test_a_flow_that_breaks_while_a_request_is_repeated_is_an_error() -> None:
    stage = Stage("OPTIONS", UDP)
    stage.client()
    stage.outlet.broken = True
    stage.passes(1)
    assert (stage.user.told, stage.open) == (["error"], 0)


def test_a_connection_that_closes_fails_what_waits_on_it() -> None:
    stage = Stage("OPTIONS", TCP)
    stage.client()
    stage.layer.flow_failed(stage.outlet, stage.now)
    assert (stage.user.told, stage.open) == (["error"], 0)


def test_a_cancelled_call_that_never_ends_is_given_up() -> None:
    stage = Stage("INVITE", UDP)
    client = stage.client()
    client.receive(stage.response(180), stage.now)
    client.give_up_after(32.0, stage.now)
    stage.passes(33)
    assert (stage.user.told, stage.open) == (["180", "timeout"], 0)


def test_responses_are_matched_by_branch_and_method() -> None:
    stage = Stage("INVITE", UDP)
    client = stage.client()
    response = stage.response(200)
    via = b"SIP/2.0/UDP host;branch=z9hG4bKours"
    assert stage.layer.match_response(response, via) is client
    assert stage.layer.match_response(response, via + b"2") is None
    assert stage.layer.match_response(response, b"SIP/2.0/UDP host") is None
    response.set(b"cseq", b"CSeq: 7 CANCEL")
    assert stage.layer.match_response(response, via) is None
    cancel = stage.layer.create_client(b"z9hG4bKours", b"CANCEL", b"", stage.outlet, None)
    assert stage.layer.match_response(response, via) is cancel
    response.remove(b"cseq")
    assert stage.layer.match_response(response, via) is None


def test_the_ack_of_a_refusal_is_that_of_the_rfc() -> None:
    """RFC 3261 section 17.1.1.3."""
    invite = make_request("INVITE")
    invite.append(b"via", b"Via: SIP/2.0/UDP below;branch=z9hG4bKbelow")
    stage = Stage("INVITE", UDP)
    found = parse(ack_for(bytes(invite), stage.response(486, "callee")))
    assert isinstance(found, Request)
    assert (found.method, found.uri_raw, found.body) == (b"ACK", invite.uri_raw, b"")
    assert found.get_all(b"via") == [invite.top_via_raw]
    assert (found.to.tag, found.from_.tag, found.call_id) == ("callee", "1", b"c1")
    assert found.get(b"cseq") == b"7 ACK"
    assert found.get_all(b"route") == [b"<sip:proxy.test;lr>"]
    assert b"proxy-authorization" not in found


def test_a_cancel_is_that_of_the_rfc() -> None:
    """RFC 3261 section 9.1."""
    invite = make_request("INVITE")
    found = parse(cancel_for(bytes(invite), b"SIP;cause=200"))
    assert isinstance(found, Request)
    assert (found.method, found.uri_raw, found.body) == (b"CANCEL", invite.uri_raw, b"")
    assert found.get_all(b"via") == [invite.top_via_raw]
    assert (found.to.tag, found.from_.tag, found.call_id) == (None, "1", b"c1")
    assert (found.get(b"cseq"), found.get(b"reason")) == (b"7 CANCEL", b"SIP;cause=200")
    assert found.get_all(b"route") == [b"<sip:proxy.test;lr>"]
