"""Ways around the password that must stay closed."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from flexipy.modules.authentication import Authentication
from flexipy.modules.forward import Forward
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from flexipy.modules.sanity_checker import SanityChecker
from flexipy.registrar.registrar import Registrar
from flexipy.sip.digest import Challenge, answer, compute_ha1, parse_challenge
from flexipy.sip.message import Request, Response
from tests.harness.fake_network import FakeFlow, FakeProxy, request

HOUSE = "house.test"
ALICE = f"<sip:alice@{HOUSE}>;tag=a1"
_branches = itertools.count()
SECRETS = {"alice": "wonder", "bob": "builder"}


@pytest_asyncio.fixture
async def proxy(make_proxy: Any, tmp_path: Path) -> FakeProxy:
    lines = [f"{user}@{HOUSE} clrtxt:{secret} ;" for user, secret in SECRETS.items()]
    (tmp_path / "passwd").write_text("\n".join(["version:1", *lines, ""]))
    made: FakeProxy = await make_proxy(
        [SanityChecker, Authentication, RegistrarModule, Router, Forward],
        f"module::Authentication/file-path={tmp_path}/passwd",
        f"module::Authentication/auth-domains={HOUSE}",
        f"module::Registrar/reg-domains={HOUSE}",
        aliases=(HOUSE,),
    )
    return made


def ask(method: str, sender: str = ALICE, to: str = "", headers: Sequence[tuple[str, str]] = ()) -> Request:
    if method == "REGISTER":
        headers = (("Contact", "<sip:x@203.0.113.5>"), *headers)
    return request(
        method, f"sip:{HOUSE}" if method == "REGISTER" else f"sip:bob@{HOUSE}", headers, sender=sender, to=to
    )


def with_password(client: FakeFlow, asked: Request, user: str, nonce_count: int = 1) -> Request:
    """The request again with the credentials of a user for the last challenge."""
    response = client.last_response
    register = response.status == 401
    challenge = parse_challenge(response.require(b"www-authenticate" if register else b"proxy-authenticate"))
    ha1 = compute_ha1(challenge.algorithm, user, challenge.realm, SECRETS.get(user, "guess"))
    credentials = answer(challenge, user, ha1, asked.method.decode(), asked.uri_raw.decode(), "c", nonce_count)
    again = asked.copy()
    again.set(b"via", b"Via: SIP/2.0/UDP 203.0.113.5:5060;rport;branch=z9hG4bK%d" % next(_branches))
    name = b"Authorization" if register else b"Proxy-Authorization"
    again.append(name.lower(), name + b": " + credentials)
    return again


def registered(proxy: FakeProxy, user: str) -> int:
    record = proxy.agent.services[Registrar].fetch(f"{user}@{HOUSE}", time.time())
    return 0 if record is None else len(record.bindings)


async def test_the_right_password_registers(proxy: FakeProxy) -> None:
    client = proxy.client()
    register = ask("REGISTER", to=f"<sip:alice@{HOUSE}>")
    client.sends(register)
    client.sends(with_password(client, register, "alice"))
    assert client.last_response.status == 200
    assert registered(proxy, "alice") == 1


@pytest.mark.parametrize("to", [f"<sip:bob@{HOUSE}>", f"<sip:%62ob@{HOUSE}>", f"<sip:{HOUSE}>", "<sip:bob@else.test>"])
async def test_nobody_registers_for_somebody_else(proxy: FakeProxy, to: str) -> None:
    client = proxy.client()
    register = ask("REGISTER", to=to)
    client.sends(register)
    client.sends(with_password(client, register, "alice"))
    assert client.last_response.status == 403
    assert registered(proxy, "bob") == 0


async def test_a_certificate_does_not_register_somebody_else(proxy: FakeProxy) -> None:
    client = proxy.client(transport=b"TLS")
    client.peer_names = (f"sip:alice@{HOUSE}",)
    client.sends(ask("REGISTER", to=f"<sip:bob@{HOUSE}>"))
    assert client.last_response.status == 403
    assert registered(proxy, "bob") == 0
    client.sends(ask("REGISTER", to=f"<sip:alice@{HOUSE}>"))
    assert client.last_response.status == 200


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "MESSAGE", "OPTIONS", "SUBSCRIBE", "Ack", "ack", "FOO"])
async def test_the_password_of_one_does_not_speak_for_another(proxy: FakeProxy, method: str) -> None:
    client = proxy.client()
    asked = ask(method, f"<sip:bob@{HOUSE}>;tag=b1", headers=[("Event", "presence")])
    client.sends(asked)
    client.sends(with_password(client, asked, "alice"))
    assert client.last_response.status == 403


async def test_a_tag_in_to_does_not_stand_for_a_password(proxy: FakeProxy) -> None:
    client = proxy.client()
    for method in ("INVITE", "MESSAGE", "REFER", "UPDATE", "INFO", "NOTIFY", "CANCEL", "REGISTER"):
        client.sends(ask(method, to=f"<sip:bob@{HOUSE}>;tag=b1"))
        assert client.last_response.status in (401, 407, 481), method


async def test_a_forged_nonce_is_not_taken(proxy: FakeProxy) -> None:
    client = proxy.client()
    register = ask("REGISTER", to=f"<sip:alice@{HOUSE}>")
    client.sends(register)
    nonce = parse_challenge(client.last_response.require(b"www-authenticate")).nonce
    for forged in (nonce[:-1] + ("A" if nonce[-1] != "A" else "B"), "", "x", nonce[::-1], "é" * 32):
        ha1 = compute_ha1("MD5", "alice", HOUSE, SECRETS["alice"])
        credentials = answer(Challenge(HOUSE, forged), "alice", ha1, "REGISTER", f"sip:{HOUSE}", "c")
        again = register.copy()
        again.append(b"authorization", b"Authorization: " + credentials)
        client.sends(again)
        assert client.last_response.status == 401
    assert registered(proxy, "alice") == 0


@pytest.mark.parametrize("count", [0, 1])
async def test_credentials_are_taken_once(proxy: FakeProxy, count: int) -> None:
    """Also from clients that count from 0: who listens in must not send the same again."""
    client = proxy.client()
    register = ask("REGISTER", to=f"<sip:alice@{HOUSE}>")
    client.sends(register)
    first = with_password(client, register, "alice", nonce_count=count)
    client.sends(first)
    assert client.last_response.status == 200
    again = first.copy()
    again.set(b"via", b"Via: SIP/2.0/UDP 203.0.113.5:5060;rport;branch=z9hG4bKlater")
    client.sends(again)
    assert client.last_response.status == 401


async def test_a_name_with_a_line_end_does_not_write_lines_into_the_log(
    proxy: FakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    client = proxy.client()
    register = ask("REGISTER", f"<sip:al%0aice@{HOUSE}>;tag=1", f"<sip:al%0aice@{HOUSE}>")
    client.sends(register)
    with caplog.at_level(logging.INFO):
        client.sends(with_password(client, register, "alice"))
    assert client.last_response.status == 403
    assert not [record for record in caplog.records if "\n" in record.getMessage()]


async def test_a_second_from_behind_a_bare_line_feed_is_not_passed_on(proxy: FakeProxy) -> None:
    """A phone that takes LF for a line end would show another caller than the one who gave a password."""
    client = proxy.client()
    data = bytes(ask("MESSAGE")).replace(b"Max-Forwards: 70\r\n", b"Subject: x\nFrom: <sip:boss@house.test>\r\n")
    client.sends(data)
    client.sends(data.replace(b"x\nFrom", b"x\rFrom"))
    assert client.sent == []
    assert proxy.counters["unreadable_messages"] == 2


def _in_call(method: str, cseq: int, swapped: bool = True, tag: str = "e1") -> Request:
    """A request of somebody who was called as `everyone`, an address for which nobody has a password."""
    everyone = f"<sip:everyone@{HOUSE}>;tag={tag}"
    sender, to = (everyone, ALICE) if swapped else (ALICE, everyone)
    return request(method, "sip:alice@203.0.113.5", sender=sender, to=to, call_id="known", cseq=cseq)


async def test_who_was_called_by_another_address_speaks_in_the_call_and_nowhere_else(proxy: FakeProxy) -> None:
    caller, callee = proxy.client(), proxy.client("203.0.113.9")
    invite = request("INVITE", "sip:phone@203.0.113.9", sender=ALICE, to=f"<sip:everyone@{HOUSE}>", call_id="known")
    caller.sends(invite)
    caller.sends(with_password(caller, invite, "alice"))
    callee.sends(_in_call("INFO", 1))
    assert callee.last_response.status == 407
    answer_to_invite = Response.to_request(callee.requests[-1], 200, "", b"e1")
    answer_to_invite.append(b"contact", b"Contact: <sip:phone@203.0.113.9>")
    callee.sends(answer_to_invite)

    seen = len(caller.requests)
    for cseq, method in enumerate(("INVITE", "UPDATE", "INFO"), 2):
        callee.sends(_in_call(method, cseq))
    assert [asked.method for asked in caller.requests[seen:]] == [b"INVITE", b"UPDATE", b"INFO"]
    callee.sends(_in_call("MESSAGE", 6))
    assert callee.last_response.status == 407
    callee.sends(_in_call("INFO", 7, tag="other"))
    assert callee.last_response.status == 407
    caller.sends(_in_call("INFO", 8, swapped=False))  # alice has a password of her own
    assert caller.last_response.status == 407
    callee.sends(_in_call("BYE", 9))
    callee.sends(_in_call("INFO", 10))
    assert callee.last_response.status == 407


async def test_a_call_that_was_refused_is_no_call_to_speak_in(proxy: FakeProxy) -> None:
    caller, callee = proxy.client(), proxy.client("203.0.113.9")
    invite = request("INVITE", "sip:phone@203.0.113.9", sender=ALICE, to=f"<sip:everyone@{HOUSE}>", call_id="known")
    caller.sends(invite)
    caller.sends(with_password(caller, invite, "alice"))
    callee.sends(Response.to_request(callee.requests[-1], 180, "", b"e1"))
    seen = len(caller.requests)
    callee.sends(_in_call("UPDATE", 2))
    assert len(caller.requests) == seen + 1  # while it rings he speaks in it
    callee.sends(Response.to_request(callee.requests[0], 486, "", b"e1"))
    callee.sends(_in_call("INFO", 3))
    assert callee.last_response.status == 407


async def test_a_refused_change_leaves_the_call_as_it_is(proxy: FakeProxy) -> None:
    caller, callee = proxy.client(), proxy.client("203.0.113.9")
    invite = request("INVITE", "sip:phone@203.0.113.9", sender=ALICE, to=f"<sip:everyone@{HOUSE}>", call_id="known")
    caller.sends(invite)
    caller.sends(with_password(caller, invite, "alice"))
    answer_to_invite = Response.to_request(callee.requests[-1], 200, "", b"e1")
    answer_to_invite.append(b"contact", b"Contact: <sip:phone@203.0.113.9>")
    callee.sends(answer_to_invite)
    callee.sends(_in_call("INVITE", 2))
    caller.sends(Response.to_request(caller.requests[-1], 488))
    seen = len(caller.requests)
    callee.sends(_in_call("INFO", 3))
    assert [asked.method for asked in caller.requests[seen:]][-1] == b"INFO"
