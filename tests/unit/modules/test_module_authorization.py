"""Who may reach whom: by address, by device, within calls and around them."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from flexipy.modules.authorization import Authorization
from flexipy.modules.authorization.dialogs import JudgedCalls
from flexipy.modules.forward import Forward
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from flexipy.proxy.api import Module, RequestEvent, string_list
from flexipy.proxy.module import ModuleError
from flexipy.sip.message import Request
from tests.harness.fake_network import FakeFlow, FakeProxy, request

HOUSE = "house.test"
DOOR = f"sip:door@{HOUSE}"
RULES = f"""\
allow INVITE from alice@{HOUSE} to door@{HOUSE}
deny * from * to door@{HOUSE}
"""
IPS = {"door": "192.0.2.30", "alice": "192.0.2.1", "carol": "192.0.2.3"}
_numbers = itertools.count(1)


class Proof(Module):
    """Stands for Authentication: who asks is who the test says."""

    name = "Authentication"
    parameters = (string_list("auth-domains", HOUSE, "Domains."),)
    proved = ""
    trusts = ""

    def on_request(self, event: RequestEvent) -> None:
        event.trusted = event.flow.remote[0] == self.trusts
        event.identity = "" if event.trusted else self.proved or event.request.from_aor


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules"
    path.write_text(RULES)
    return path


async def proxy_with(make_proxy: Any, rules: Path, *settings: str) -> FakeProxy:
    made: FakeProxy = await make_proxy(
        [Proof, Authorization, RegistrarModule, Router, Forward],
        "module::Authentication/enabled=true",
        f"module::Authorization/auth-domains={HOUSE}",
        f"module::Authorization/rules-file={rules}",
        f"module::Registrar/reg-domains={HOUSE}",
        *settings,
        aliases=(HOUSE,),
    )
    return made


@pytest_asyncio.fixture
async def proxy(make_proxy: Any, rules: Path) -> FakeProxy:
    """A house in which alice alone may call the door."""
    return await proxy_with(make_proxy, rules)


def flow(proxy: FakeProxy, user: str) -> FakeFlow:
    return proxy.client(IPS[user])


def ask(
    proxy: FakeProxy, user: str, method: str, uri: str, headers: Sequence[tuple[str, str]] = (), **options: Any
) -> FakeFlow:
    """A user sends a request; his flow, for the answer."""
    source = flow(proxy, user)
    options.setdefault("sender", f"<sip:{user}@{HOUSE}>;tag={user}")
    source.sends(request(method, uri, headers, via=f"SIP/2.0/UDP {IPS[user]}:5060;rport", **options))
    return source


def register(proxy: FakeProxy, user: str, contact: str = "", parameters: str = "") -> None:
    aor = f"<sip:{user}@{HOUSE}>"
    headers = [("Contact", f"<{contact or f'sip:{user}@{IPS[user]}'}>{parameters}"), ("Expires", "600")]
    source = ask(proxy, user, "REGISTER", f"sip:{HOUSE}", headers, to=aor, sender=f"{aor};tag=1", cseq=next(_numbers))
    assert source.last_response.status == 200


def reached(proxy: FakeProxy, user: str, method: str = "INVITE") -> bool:
    return any(sent.method == method.encode() for sent in flow(proxy, user).requests)


def refused(source: FakeFlow) -> bool:
    return bool(source.responses) and source.last_response.status == 403


def call_id_of(sent: Request) -> str:
    return sent.call_id.decode()


# --- by address ------------------------------------------------------------------------------------------


async def test_who_is_named_reaches_the_door(proxy: FakeProxy) -> None:
    register(proxy, "door")
    ask(proxy, "alice", "INVITE", DOOR)
    assert reached(proxy, "door")


async def test_who_is_not_named_is_refused_and_the_log_says_by_what(
    proxy: FakeProxy, rules: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register(proxy, "door")
    with caplog.at_level(logging.INFO):
        source = ask(proxy, "carol", "INVITE", DOOR)
    assert refused(source)
    assert not reached(proxy, "door")
    assert proxy.counters["refused_by_rule"] == 1
    told = caplog.records[-1].getMessage()
    assert f"INVITE from 'carol@{HOUSE}' (192.0.2.3) to 'door@{HOUSE}' refused: {rules}:2" in told


async def test_methods_count(proxy: FakeProxy) -> None:
    register(proxy, "door")
    assert refused(ask(proxy, "alice", "MESSAGE", DOOR))


async def test_the_door_itself_may_call_anybody(proxy: FakeProxy) -> None:
    register(proxy, "carol")
    ask(proxy, "door", "INVITE", f"sip:carol@{HOUSE}")
    assert reached(proxy, "carol")


@pytest.mark.parametrize("uri", [f"sip:%64oor@{HOUSE}", f"sips:door@{HOUSE.upper()}", f"{DOOR}:5060", f"{DOOR};x=y"])
async def test_other_spellings_of_the_address_do_not_help(proxy: FakeProxy, uri: str) -> None:
    register(proxy, "door")
    assert refused(ask(proxy, "carol", "INVITE", uri))
    assert not reached(proxy, "door")


async def test_a_from_that_was_not_proved_does_not_help(proxy: FakeProxy) -> None:
    register(proxy, "door")
    proxy.module(Proof).proved = f"carol@{HOUSE}"
    assert refused(ask(proxy, "carol", "INVITE", DOOR, sender=f"<sip:alice@{HOUSE}>;tag=1"))


async def test_a_trusted_host_speaks_for_whom_it_says(proxy: FakeProxy) -> None:
    register(proxy, "door")
    proxy.module(Proof).trusts = IPS["carol"]
    ask(proxy, "carol", "INVITE", DOOR, sender=f"<sip:alice@{HOUSE}>;tag=1")
    assert reached(proxy, "door")


async def test_gruus_of_the_door_count_as_the_door(proxy: FakeProxy) -> None:
    instance = "urn:uuid:c75ccec3-624d-7dfe-ed6b-d8067a28775e"
    aor = f"<{DOOR}>"
    headers = [
        ("Contact", f'<sip:door@{IPS["door"]}>;+sip.instance="<{instance}>"'),
        ("Supported", "gruu"),
        ("Expires", "600"),
    ]
    source = ask(proxy, "door", "REGISTER", f"sip:{HOUSE}", headers, to=aor, sender=f"{aor};tag=1")
    contact = source.last_response.contacts()[0]
    for name in ("pub-gruu", "temp-gruu"):
        gruu = (contact.params[name] or "").strip('"')
        assert refused(ask(proxy, "carol", "INVITE", gruu)), name
        before = len(flow(proxy, "door").requests)
        ask(proxy, "alice", "INVITE", gruu)
        assert len(flow(proxy, "door").requests) == before + 1, name


async def test_a_list_of_targets_does_not_help(proxy: FakeProxy) -> None:
    register(proxy, "door")
    listed = (("X-Target-Uris", f"<{DOOR}>, <sip:alice@{HOUSE}>"),)
    assert refused(ask(proxy, "carol", "INVITE", f"sip:alice@{HOUSE}", listed))


async def test_static_records_are_judged_by_the_address_that_was_called(proxy: FakeProxy, tmp_path: Path) -> None:
    from flexipy.registrar.registrar import Registrar
    from flexipy.registrar.static_records import parse

    register(proxy, "door")
    records, _ = parse(f"<sip:everyone@{HOUSE}> <{DOOR}>", "routes")
    proxy.agent.services[Registrar].set_static_records(records, 0.0)
    ask(proxy, "carol", "INVITE", f"sip:everyone@{HOUSE}")
    await proxy.settle()
    assert reached(proxy, "door")


# --- by device -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["sip:door@192.0.2.30", "sip:somebody@192.0.2.30:5060", "sip:x@192.0.2.30:5070"])
async def test_the_devices_own_uri_does_not_help(proxy: FakeProxy, uri: str) -> None:
    register(proxy, "door")
    assert refused(ask(proxy, "carol", "INVITE", uri))
    assert not reached(proxy, "door")
    proxy.advance(200)
    assert not proxy.agent.layer.servers


async def test_the_devices_own_uri_is_open_to_who_may_call_it(proxy: FakeProxy) -> None:
    register(proxy, "door")
    ask(proxy, "alice", "INVITE", f"sip:door@{IPS['door']}")
    assert reached(proxy, "door")


async def test_a_route_to_the_device_does_not_help(proxy: FakeProxy) -> None:
    register(proxy, "door")
    route = (("Route", f"<sip:{IPS['door']};lr>"),)
    assert refused(ask(proxy, "carol", "INVITE", f"sip:bob@{HOUSE}", route))
    assert not reached(proxy, "door")


async def test_a_flow_token_of_the_device_does_not_help(proxy: FakeProxy) -> None:
    register(proxy, "door")
    token = proxy.network.flow_token(flow(proxy, "door")).decode()
    route = (("Route", f"<sip:{token}@198.51.100.1;lr>"),)
    assert refused(ask(proxy, "carol", "INVITE", f"sip:bob@{HOUSE}", route))
    assert not reached(proxy, "door")


async def test_a_name_that_leads_to_the_device_does_not_help(make_proxy: Any, rules: Path) -> None:
    made: FakeProxy = await make_proxy(
        [Proof, Authorization, RegistrarModule, Router, Forward],
        "module::Authentication/enabled=true",
        f"module::Authorization/auth-domains={HOUSE}",
        f"module::Authorization/rules-file={rules}",
        f"module::Registrar/reg-domains={HOUSE}",
        aliases=(HOUSE,),
        hosts={"elsewhere.example": [IPS["door"]]},
    )
    register(made, "door")
    source = ask(made, "carol", "INVITE", "sip:bob@elsewhere.example")
    await made.settle()
    assert refused(source)
    assert not reached(made, "door")


# --- within calls ----------------------------------------------------------------------------------------


def answered(proxy: FakeProxy, caller: str, callee: str) -> Request:
    """A call between two that was answered; the INVITE as the callee got it."""
    ask(proxy, caller, "INVITE", f"sip:{callee}@{HOUSE}", [("Contact", f"<sip:{caller}@{IPS[caller]}>")])
    source = flow(proxy, callee)
    source.answers(200, [("Contact", f"<sip:{callee}@{IPS[callee]}>")])
    return source.last_request


def within(proxy: FakeProxy, user: str, other: str, invite: Request, method: str, to: str = "") -> FakeFlow:
    """A user sends a request within a call, to the device of the other."""
    return ask(
        proxy,
        user,
        method,
        to or f"sip:{other}@{IPS[other]}",
        to=f"<sip:{other}@{HOUSE}>;tag={other}",
        call_id=call_id_of(invite),
        cseq=next(_numbers),
    )


async def test_whom_the_door_called_may_change_the_call(proxy: FakeProxy) -> None:
    register(proxy, "door")
    register(proxy, "carol")
    invite = answered(proxy, "door", "carol")
    for method in ("INFO", "UPDATE", "INVITE", "BYE"):
        within(proxy, "carol", "door", invite, method)
        assert reached(proxy, "door", method), method


async def test_whom_the_door_called_may_not_call_it_afterwards(proxy: FakeProxy) -> None:
    register(proxy, "door")
    register(proxy, "carol")
    invite = answered(proxy, "door", "carol")
    assert refused(ask(proxy, "carol", "INVITE", DOOR, call_id=call_id_of(invite)))
    assert refused(within(proxy, "carol", "door", invite, "MESSAGE", DOOR))
    assert refused(within(proxy, "carol", "door", invite, "MESSAGE"))


@pytest.mark.parametrize("uri", [DOOR, "sip:door@192.0.2.30"])
@pytest.mark.parametrize("method", ["INVITE", "INFO", "MESSAGE"])
async def test_a_to_tag_that_was_made_up_does_not_help(proxy: FakeProxy, uri: str, method: str) -> None:
    register(proxy, "door")
    assert refused(ask(proxy, "carol", method, uri, to=f"<{DOOR}>;tag=made-up"))
    assert not reached(proxy, "door", method)


async def test_a_call_to_somebody_else_does_not_open_the_door(proxy: FakeProxy) -> None:
    register(proxy, "door")
    register(proxy, "alice")
    ask(proxy, "carol", "INVITE", f"sip:alice@{HOUSE}", to=f"<{DOOR}>", call_id="mine")
    assert reached(proxy, "alice")
    for uri in (DOOR, "sip:door@192.0.2.30"):
        assert refused(ask(proxy, "carol", "INFO", uri, to=f"<{DOOR}>;tag=1", call_id="mine", cseq=next(_numbers)))


async def test_under_default_deny_a_call_that_is_allowed_is_whole(make_proxy: Any, rules: Path) -> None:
    rules.write_text(f"allow INVITE from alice@{HOUSE} to door@{HOUSE}\ndefault deny\n")
    proxy = await proxy_with(make_proxy, rules)
    register(proxy, "door")
    invite = answered(proxy, "alice", "door")
    within(proxy, "alice", "door", invite, "INFO")
    assert reached(proxy, "door", "INFO")
    within(proxy, "door", "alice", invite, "INVITE")
    assert reached(proxy, "alice")
    assert refused(ask(proxy, "door", "INVITE", f"sip:alice@{HOUSE}"))


def test_the_oldest_calls_are_forgotten_when_there_are_too_many() -> None:
    calls = JudgedCalls(most=100)
    for number in range(1000):
        calls.note(b"%d" % number, "a", "b")
    assert len(calls) <= 100
    assert calls.knows(b"999", "a", "b")
    assert not calls.knows(b"0", "a", "b")


# --- domains ---------------------------------------------------------------------------------------------


async def test_a_domain_that_is_not_served_is_refused(proxy: FakeProxy) -> None:
    source = ask(proxy, "carol", "INVITE", f"sip:alice@{HOUSE}", sender="<sip:carol@elsewhere>;tag=1")
    assert refused(source)
    assert proxy.counters["foreign_domain_refused"] == 1


async def test_without_rules_domains_alone_count(make_proxy: Any) -> None:
    proxy: FakeProxy = await make_proxy(
        [Proof, Authorization, RegistrarModule, Router, Forward],
        f"module::Authorization/auth-domains={HOUSE}",
        f"module::Registrar/reg-domains={HOUSE}",
    )
    register(proxy, "door")
    ask(proxy, "carol", "INVITE", DOOR)
    assert reached(proxy, "door")
    assert refused(ask(proxy, "carol", "INVITE", DOOR, sender="<sip:carol@elsewhere>;tag=1"))


async def test_who_was_called_at_another_domain_may_change_the_call(make_proxy: Any) -> None:
    proxy: FakeProxy = await make_proxy([Proof, Authorization, Forward], f"module::Authorization/auth-domains={HOUSE}")
    ask(proxy, "alice", "INVITE", f"sip:carol@{IPS['carol']}", call_id="c1")
    there = ask(
        proxy,
        "carol",
        "INVITE",
        f"sip:alice@{IPS['alice']}",
        sender=f"<sip:carol@{IPS['carol']}>;tag=2",
        to=f"<sip:alice@{HOUSE}>;tag=alice",
        call_id="c1",
    )
    assert reached(proxy, "alice")
    assert not refused(there)


async def test_domains_that_authentication_serves_and_this_does_not_are_told(
    make_proxy: Any, rules: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await proxy_with(make_proxy, rules, f"module::Authentication/auth-domains={HOUSE} cottage.test")
    assert "auth-domains does not hold 'cottage.test'" in caplog.text


# --- the file --------------------------------------------------------------------------------------------


async def test_a_reload_takes_in_new_rules(proxy: FakeProxy, rules: Path) -> None:
    register(proxy, "door")
    rules.write_text(f"deny * from alice@{HOUSE} to *\n")
    assert proxy.module(Authorization).reload() == []
    assert refused(ask(proxy, "alice", "INVITE", DOOR))
    ask(proxy, "carol", "INVITE", DOOR)
    assert reached(proxy, "door")


async def test_a_reload_with_mistakes_keeps_the_old_rules(proxy: FakeProxy, rules: Path) -> None:
    register(proxy, "door")
    rules.write_text(f"deny * form alice@{HOUSE} to *\nallow * from * to *\n")
    assert proxy.module(Authorization).reload() == [f"{rules}:1: there is no 'from'; did you mean 'from' by 'form'?"]
    assert refused(ask(proxy, "carol", "INVITE", DOOR))
    ask(proxy, "alice", "INVITE", DOOR)
    assert reached(proxy, "door")


async def test_a_file_that_is_gone_keeps_the_old_rules(proxy: FakeProxy, rules: Path) -> None:
    rules.unlink()
    assert "cannot read the rules" in proxy.module(Authorization).reload()[0]
    assert refused(ask(proxy, "carol", "INVITE", DOOR))


async def test_a_changed_file_is_taken_in_without_being_told(proxy: FakeProxy, rules: Path) -> None:
    rules.write_text("# nothing is forbidden\n")
    os.utime(rules, (1, 1))
    proxy.module(Authorization)._look_at_file()
    register(proxy, "door")
    ask(proxy, "carol", "INVITE", DOOR)
    assert reached(proxy, "door")


@pytest.mark.parametrize("text", [None, "nonsense\n"])
async def test_without_good_rules_the_server_does_not_start(make_proxy: Any, rules: Path, text: str | None) -> None:
    if text is None:
        rules.unlink()
    else:
        rules.write_text(text)
    with pytest.raises(ModuleError, match="rules"):
        await proxy_with(make_proxy, rules)
