"""Addresses that an operator writes in a file: one for the whole family, one for somebody elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import DOMAIN, Server
from tests.harness.sip_phone import SipPhone

_EVERYONE = f"sip:everyone@{DOMAIN}"


@pytest.fixture
def family(place: Path) -> Iterator[Server]:
    """A house where `everyone` is alice and bob."""
    house = place / "house"
    server = Server(
        house,
        {
            "module::Registrar": {"static-records-file": "routes.conf"},
            "module::Forward": {"routes-config-path": "hops.conf"},
        },
    )
    routes(server).write_text(f"# the family\n<{_EVERYONE}> <sip:alice@{DOMAIN}>, <sip:bob@{DOMAIN}>\n")
    hops(server).write_text("# none\n")
    yield server.start()
    server.stop()


def routes(server: Server) -> Path:
    """The file."""
    return server.directory / "routes.conf"


def hops(server: Server) -> Path:
    """The file with next hops for other domains."""
    return server.directory / "hops.conf"


async def test_a_call_for_everyone_rings_everywhere(family: Server, place: Path) -> None:
    alice, bob = Baresip(family, place, "alice", "tls"), Linphone(family, place, "bob")
    async with alice, bob, Baresip(family, place, "carol") as carol:
        await carol.dial(_EVERYONE)
        await asyncio.gather(alice.incoming(), bob.incoming())
        await bob.answer()
        await asyncio.gather(carol.established(), bob.established(), alice.closed())


async def test_a_message_for_everyone_reaches_everyone(family: Server) -> None:
    async with (
        SipPhone(family, "alice") as alice,
        SipPhone(family, "bob", "ws") as bob,
        SipPhone(family, "carol") as carol,
    ):
        await asyncio.gather(alice.register(), bob.register())
        sending = asyncio.create_task(carol.message(_EVERYONE, "dinner!"))
        for phone in (alice, bob):
            (await phone.incoming("MESSAGE")).answer(200)
        assert (await sending).status == 200


async def test_a_route_leads_to_a_phone_that_never_registered(family: Server) -> None:
    async with SipPhone(family, "dave") as intercom, SipPhone(family, "carol") as carol:
        routes(family).write_text(f"<sip:door@{DOMAIN}> <{intercom.contact}>\n")
        assert await family.reload() == []
        call = await carol.invite(f"sip:door@{DOMAIN}")
        (await intercom.incoming("INVITE")).answer(200)
        assert (await call.final()).status == 200


async def test_a_changed_file_is_taken_in_while_running(family: Server) -> None:
    async with SipPhone(family, "dave") as dave, SipPhone(family, "carol") as carol:
        await dave.register()
        routes(family).write_text(f"<{_EVERYONE}> <{dave.uri}>\n")
        assert await family.reload() == []
        call = await carol.invite(_EVERYONE)
        (await dave.incoming("INVITE")).answer(200)
        assert (await call.final()).status == 200


async def test_a_bad_file_leaves_the_old_routes_and_says_what_is_wrong(family: Server) -> None:
    async with SipPhone(family, "alice") as alice, SipPhone(family, "carol") as carol:
        await alice.register()
        routes(family).write_text(f"<{_EVERYONE}> <sip:dave@{DOMAIN}>\nthis is no route\n")
        problems = await family.reload()
        assert len(problems) == 1
        assert "routes.conf:2" in problems[0]
        call = await carol.invite(_EVERYONE)
        (await alice.incoming("INVITE")).answer(200)
        assert (await call.final()).status == 200


async def test_a_route_taken_out_leads_nowhere(family: Server) -> None:
    async with SipPhone(family, "alice") as alice, SipPhone(family, "carol") as carol:
        await alice.register()
        routes(family).write_text("# nobody\n")
        assert await family.reload() == []
        call = await carol.invite(_EVERYONE)
        assert (await call.final()).status == 404


async def test_calls_to_another_domain_go_where_the_file_says_at_the_time(family: Server) -> None:
    async with (
        SipPhone(family, "carol") as carol,
        SipPhone(family, "gateway", "udp") as old,
        SipPhone(family, "gateway", "udp") as new,
    ):
        for gateway in (old, new):
            hops(family).write_text(f"<{gateway.contact}> *.example.org\n")
            assert await family.reload() == []
            call = await carol.invite("sip:somebody@far.example.org")
            invite = await gateway.incoming("INVITE")
            assert invite.request.uri_raw == b"sip:somebody@far.example.org"
            invite.answer(486)
            assert (await call.final()).status == 486
        # A mistake leaves the way as it was.
        hops(family).write_text(f"<{old.contact}> *.example.org\n<nonsense\n")
        (problem,) = await family.reload()
        assert "hops.conf:2" in problem
        call = await carol.invite("sip:somebody@far.example.org")
        (await new.incoming("INVITE")).answer(486)
        assert (await call.final()).status == 486
