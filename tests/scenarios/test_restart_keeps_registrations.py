"""The server goes away and comes back, in order or not: phones need not notice."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.events import until
from tests.harness.linphone import Linphone
from tests.harness.server import DOMAIN, Server
from tests.harness.sip_phone import SipPhone

_INSTANCE = ';+sip.instance="<urn:uuid:7f0e6a52-0c1b-4d2e-8b1a-4b5ed1c0f0aa>"'


@pytest.fixture
def settings() -> dict[str, dict[str, str]]:
    return {}


@pytest.fixture
def lone(place: Path, settings: dict[str, dict[str, str]]) -> Iterator[Server]:
    """A server of the test's own, which may come to harm."""
    transports = [("udp", "127.0.0.1"), ("tcp", "127.0.0.1"), ("tls", "127.0.0.1")]
    server = Server(place / "house", settings, transports)
    yield server.start()
    if server.program is not None:
        server.stop()


def go_and_come_back(server: Server, how: str) -> None:
    """Restart by SIGTERM or by kill -9."""
    if how == "SIGTERM":
        server.restart()
    else:
        server.kill9()
        server.start()


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
async def test_phones_are_reachable_after_a_restart(lone: Server, place: Path, how: str) -> None:
    alice = Baresip(lone, place, "alice", tone=500)
    bob = Linphone(lone, place, "bob", auto_answer=True)
    async with alice, bob:
        go_and_come_back(lone, how)
        await alice.dial(bob.uri)
        await asyncio.gather(alice.established(), bob.established())
        await alice.command("hangup")
        await asyncio.gather(alice.closed(), bob.ended())


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
async def test_everything_about_a_registration_survives(lone: Server, how: str) -> None:
    async with SipPhone(lone, "carol") as carol:
        headers = (("Supported", "gruu, path"), ("User-Agent", "a phone"))
        response = await carol.register(expires=1200, parameters=f"{_INSTANCE};q=0.5", headers=headers)
        before = json.loads(lone.cli(f"REGISTRAR_GET {carol.uri}"))
        gruu = str(response.contacts()[0].params["temp-gruu"]).strip('"')

        go_and_come_back(lone, how)

        after = json.loads(lone.cli(f"REGISTRAR_GET {carol.uri}"))
        for record in (before, after):
            assert 1190 <= record["contacts"][0].pop("expires-in") <= 1200
        assert after == before
        # The temporary GRUU was given to others: it must still lead here.
        async with SipPhone(lone, "dave") as dave:
            call = await dave.invite(gruu)
            (await carol.incoming("INVITE")).answer(200)
            assert (await call.final()).status == 200


async def test_what_was_taken_back_stays_away(lone: Server) -> None:
    async with SipPhone(lone, "carol") as carol:
        await carol.register()
        await carol.register(expires=0)
        go_and_come_back(lone, "SIGKILL")
        assert json.loads(lone.cli("REGISTRAR_DUMP")) == {"aors": []}


@pytest.mark.parametrize("settings", [{"module::MediaRelay": {"enabled": "false"}}])
async def test_a_call_that_is_not_relayed_goes_on_over_a_restart(lone: Server, place: Path) -> None:
    alice = Baresip(lone, place, "alice", tone=500)
    bob = Baresip(lone, place, "bob", tone=700, account="answermode=auto")
    async with alice, bob:
        await alice.dial(bob.uri)
        await asyncio.gather(alice.established(), bob.established())
        go_and_come_back(lone, "SIGTERM")
        await asyncio.gather(alice.hears(700), bob.hears(500))
        await bob.command("hangup")
        await asyncio.gather(alice.closed(), bob.closed())


async def test_a_refresh_after_a_restart_is_not_a_wrong_password(lone: Server) -> None:
    async with SipPhone(lone, "carol") as carol:
        assert (await carol.register()).status == 200
        credentials = carol.last_credentials
        go_and_come_back(lone, "SIGTERM")
        # The phone still believes in the old nonce: it must be asked again, not turned away.
        headers = (("To", f"<{carol.uri}>"), ("Contact", f"<{carol.contact}>"), ("Authorization", credentials))
        refresh = carol.send(carol.build("REGISTER", f"sip:{DOMAIN}", headers))
        challenged = await refresh.final()
        assert challenged.status == 401
        assert b"stale=true" in challenged.require(b"www-authenticate").lower()


async def test_whatever_was_answered_survives_a_kill_in_the_middle(lone: Server) -> None:
    lone.write_configuration({"module::Registrar": {"max-contacts-by-aor": "1000"}})
    lone.restart()
    answered: list[str] = []

    async def keep_registering(carol: SipPhone) -> None:
        for number in itertools.count():
            carol.contact = f"sip:device{number}@{carol.wire.local[0]}:{carol.wire.local[1]}"
            assert (await carol.register()).status == 200
            answered.append(carol.contact)

    async with SipPhone(lone, "carol") as carol:
        registering = asyncio.create_task(keep_registering(carol))
        await until(lambda: len(answered) >= 100, "a hundred registrations")
        # No event is handled between the last answer seen and the kill.
        lone.kill9()
        registering.cancel()
        lone.start()
        kept = {contact["contact"] for contact in json.loads(lone.cli(f"REGISTRAR_GET {carol.uri}"))["contacts"]}
        assert set(answered) <= kept
