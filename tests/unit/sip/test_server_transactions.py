"""Server transactions: timers G, H, I, J (RFC 3261 table 4) and L (RFC 6026), and how requests are matched."""

from __future__ import annotations

import pytest

from flexipy.sip.message import Request
from flexipy.sip.transaction.layer import server_key
from flexipy.sip.transaction.states import CONFIRMED
from tests.unit.sip.transaction_stage import Stage, make_request

UDP, TCP = False, True


def ack(stage: Stage) -> Request:
    found = stage.request.copy()
    found.method = b"ACK"
    return found


def near(times: list[float]) -> list[float]:
    return [pytest.approx(time, abs=0.03) for time in times]


def test_a_refusal_is_repeated_up_to_t2_until_timer_h_and_its_user_is_told() -> None:
    stage = Stage("INVITE", UDP)
    stage.server().respond(stage.response(486), stage.now)
    stage.passes(33)
    assert stage.outlet.times == near([0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5])
    assert stage.user.told == ["closed"]
    assert stage.open == 0


def test_a_refusal_on_a_reliable_transport_is_not_repeated() -> None:
    stage = Stage("INVITE", TCP)
    stage.server().respond(stage.response(486), stage.now)
    stage.passes(31)
    assert (stage.kinds, stage.open) == (["486"], 1)
    stage.passes(2)
    assert (stage.user.told, stage.open) == (["closed"], 0)


def test_an_ack_ends_the_repeating_and_later_ones_are_absorbed_until_timer_i() -> None:
    stage = Stage("INVITE", UDP)
    server = stage.server()
    server.respond(stage.response(486), stage.now)
    assert server.receive(ack(stage), stage.now)
    assert server.receive(ack(stage), stage.now)
    assert server.state == CONFIRMED
    stage.passes(4.9)
    assert (stage.kinds, stage.open) == (["486"], 1)
    stage.passes(0.3)
    assert (stage.user.told, stage.open) == ([], 0)


def test_an_ack_on_a_reliable_transport_ends_it() -> None:
    stage = Stage("INVITE", TCP)
    server = stage.server()
    server.respond(stage.response(486), stage.now)
    assert server.receive(ack(stage), stage.now)
    assert stage.open == 0


def test_a_repeated_invite_gets_the_last_answer() -> None:
    stage = Stage("INVITE", UDP)
    server = stage.server()
    assert server.receive(stage.request, stage.now)
    assert stage.kinds == []
    server.respond(stage.response(100), stage.now)
    server.respond(stage.response(180), stage.now)
    assert server.receive(stage.request, stage.now)
    server.respond(stage.response(486), stage.now)
    assert server.receive(stage.request, stage.now)
    assert stage.kinds == ["100", "180", "180", "486", "486"]


def test_after_a_2xx_invites_are_absorbed_and_acks_passed_on_until_timer_l() -> None:
    stage = Stage("INVITE", UDP)
    server = stage.server()
    server.respond(stage.response(200), stage.now)
    assert server.receive(stage.request, stage.now)
    assert not server.receive(ack(stage), stage.now)
    stage.passes(31)
    assert server.respond(stage.response(200, "two"), stage.now)  # a repetition, or another fork's
    assert not server.respond(stage.response(486), stage.now)
    assert not server.respond(stage.response(180), stage.now)
    assert stage.kinds == ["200", "200"]  # the callee repeats it, not we
    stage.passes(2)
    assert (stage.user.told, stage.open) == ([], 0)


def test_the_answer_to_another_request_is_given_again_until_timer_j() -> None:
    stage = Stage("OPTIONS", UDP)
    server = stage.server()
    assert server.receive(stage.request, stage.now)
    server.respond(stage.response(200), stage.now)
    assert not server.respond(stage.response(404), stage.now)
    assert (stage.kinds, stage.open) == (["200"], 0)
    stage.passes(31)
    assert stage.layer.given_answer(server.key) == stage.outlet.sent[0]
    stage.passes(35)
    assert stage.layer.given_answer(server.key) is None


def test_another_request_on_a_reliable_transport_ends_with_its_answer() -> None:
    stage = Stage("OPTIONS", TCP)
    stage.server().respond(stage.response(200), stage.now)
    assert (stage.kinds, stage.open) == (["200"], 0)


def test_an_answer_without_a_transaction_is_given_again_for_as_long() -> None:
    stage = Stage("OPTIONS", UDP)
    stage.layer.answer_at_once(b"key", b"data", stage.outlet, stage.now)
    stage.passes(31)
    assert stage.layer.given_answer(b"key") == b"data"
    assert stage.layer.given_answer(b"other") is None
    stage.passes(35)
    assert stage.layer.given_answer(b"key") is None
    assert stage.timers.idle


def key(method: str, branch: str = "z9hG4bKx", sent_by: bytes = b"host", **changes: str) -> bytes:
    request = make_request(method, branch)
    for name, value in changes.items():
        title = name.replace("_", "-")
        request.set(title.lower().encode(), f"{title}: {value}".encode())
    return server_key(request, request.top_via_raw, sent_by, method.encode())


def test_requests_are_the_same_by_branch_sent_by_and_method() -> None:
    assert key("OPTIONS") == key("OPTIONS")
    assert (
        key("INVITE")
        == key("ACK")
        == server_key(make_request("CANCEL", "z9hG4bKx"), b"x;branch=z9hG4bKx", b"host", b"INVITE")
    )
    assert len({key("INVITE"), key("BYE"), key("INVITE", "z9hG4bKy"), key("INVITE", sent_by=b"other")}) == 4


def test_requests_of_old_clients_are_the_same_by_call_sequence_and_sender() -> None:
    for branch in ("", "1", "z9hG4bK"):
        assert key("OPTIONS", branch) == key("OPTIONS", branch)
        assert key("INVITE", branch) == key("ACK", branch)
        assert key("OPTIONS", branch) != key("OPTIONS", branch, Call_ID="other")
        assert key("OPTIONS", branch) != key("OPTIONS", branch, CSeq="8 OPTIONS")
        assert key("OPTIONS", branch) != key("OPTIONS", branch, From="<sip:alice@a.test>;tag=2")
        assert key("OPTIONS", branch) != key("BYE", branch)
