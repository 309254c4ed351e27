"""The registrar's face: what of a REGISTER is read, and what strangers may not do with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flexipy.modules.registrar import RegistrarModule
from flexipy.sip.message import Response
from flexipy.sip.uri import SipUri
from tests.harness.fake_network import FakeProxy, request

DOMAIN = "house.test"
BOB = f"<sip:bob@{DOMAIN}>"
INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'


async def house(make_proxy: Any, *settings: str) -> FakeProxy:
    made: FakeProxy = await make_proxy([RegistrarModule], f"module::Registrar/reg-domains={DOMAIN}", *settings)
    return made


def register(proxy: FakeProxy, headers: Sequence[tuple[str, str]], cseq: int = 1, call_id: str = "r1") -> Response:
    client = proxy.client()
    sent = request("REGISTER", f"sip:{DOMAIN}", headers, sender=f"{BOB};tag=1", to=BOB, call_id=call_id, cseq=cseq)
    client.sends(sent)
    return client.last_response


async def test_supported_may_stand_on_several_lines(make_proxy: Any) -> None:
    proxy = await house(make_proxy)
    contact = ("Contact", f"<sip:bob@203.0.113.5>;reg-id=2;{INSTANCE}")
    lines = [contact, ("Path", "<sip:edge.test;lr>"), ("Supported", "gruu"), ("k", "outbound"), ("Supported", "path")]
    for cseq in (1, 2):  # the second says the same again
        response = register(proxy, lines, cseq)
        assert response.status == 200
        assert b"pub-gruu=" in response.require(b"contact")
        assert response.get(b"require") == b"outbound"
        assert response.get(b"path") == b"<sip:edge.test;lr>"


async def test_the_journal_of_many_bindings_is_soon_rewritten(make_proxy: Any, tmp_path: Path) -> None:
    proxy = await house(make_proxy)
    (module,) = proxy.modules
    journal = next(tmp_path.rglob("registrations.journal"))
    uri = SipUri.parse(b"sip:a@203.0.113.5")
    for now in range(8):
        for number in range(2000):
            module.registrar.upsert(f"u{number}@{DOMAIN}", uri, 3600, time.time() + now, "device")
    before = journal.stat().st_size
    turns = 0
    async with asyncio.timeout(30):
        while journal.stat().st_size == before:
            if turns % 50 == 0:
                module._every_second()
            turns += 1
            await asyncio.sleep(0.01)
    assert turns < 10 * 50  # with a step in each second there would be more than 20 of them
    assert journal.stat().st_size < before / 4


async def test_a_lower_cseq_of_the_same_call_changes_nothing(make_proxy: Any) -> None:
    proxy = await house(make_proxy)
    register(proxy, [("Contact", "<sip:bob@203.0.113.5>")], 5)
    register(proxy, [("Contact", "<sip:bob@203.0.113.5>;expires=0")], 4)
    assert len(register(proxy, [], 6, "other").contacts()) == 1


@pytest.mark.parametrize(
    ("contact", "status"),
    [
        (f"<sip:bob@{DOMAIN}>", 403),  # a loop
        ("<sip:bob@203.0.113.5>;q=x", 400),
        ("<tel:+1>", 400),
        ("nobody", 400),
        ("<sip:bob@203.0.113.5>, <sip:bob", 400),
        (", ".join(f"<sip:bob@203.0.113.{number}>" for number in range(13)), 403),
    ],
)
async def test_contacts_that_are_not_taken(make_proxy: Any, contact: str, status: int) -> None:
    proxy = await house(make_proxy)
    assert register(proxy, [("Contact", contact)]).status == status
    assert register(proxy, [], 2).contacts() == []


async def test_devices_of_one_address_are_limited(make_proxy: Any) -> None:
    proxy = await house(make_proxy, "module::Registrar/max-contacts-by-aor=3")
    for number in range(6):
        register(proxy, [("Contact", f"<sip:bob@203.0.113.{number}>")], 1, f"device{number}")
    left = [contact.uri.host for contact in register(proxy, [], 2).contacts()]
    assert sorted(left) == ["203.0.113.3", "203.0.113.4", "203.0.113.5"]


@pytest.mark.parametrize("to", ["<sip:bob@else.test>", "<tel:+1>", "<http://x>", "<sip:bob@>"])
async def test_addresses_that_are_not_ours_are_not_registered(make_proxy: Any, to: str) -> None:
    proxy = await house(make_proxy)
    client = proxy.client()
    client.sends(request("REGISTER", f"sip:{DOMAIN}", [("Contact", "<sip:x@203.0.113.5>")], to=to))
    assert client.last_response.status in (400, 404)


async def test_a_response_is_not_sent_to_where_the_contact_says(make_proxy: Any) -> None:
    proxy = await house(make_proxy)
    register(proxy, [("Contact", "<sip:bob@192.0.2.99>")])
    assert [flow.remote for flow in proxy.network.flows if flow.sent] == [("203.0.113.5", 5060)]
