"""Who may ring at the door: rules in a file, telephones that try."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.server import DOMAIN, SECOND_DOMAIN, Server
from tests.harness.sip_phone import SipPhone

_RULES = f"""\
group family alice@{DOMAIN} bob@{DOMAIN}
allow INVITE, MESSAGE from @family to dave@{DOMAIN}   # dave is the door
deny  *               from *       to dave@{DOMAIN}
"""


@pytest.fixture
def guarded(place: Path) -> Iterator[Server]:
    """A house whose door takes calls of the family only."""
    settings = {"enabled": "true", "auth-domains": f"{DOMAIN} {SECOND_DOMAIN}", "rules-file": "rules"}
    server = Server(place / "house", {"module::Authorization": settings})
    rules_of(server).write_text(_RULES)
    yield server.start()
    server.stop()


def rules_of(server: Server) -> Path:
    """The file."""
    return server.directory / "rules"


async def test_the_family_reaches_the_door_and_nobody_else_does(guarded: Server, place: Path) -> None:
    door, alice, carol = (Baresip(guarded, place, user) for user in ("dave", "alice", "carol"))
    async with door, alice, carol:
        await carol.dial(door.uri)
        assert "403" in await carol.closed()
        found = await guarded.logs(r"INVITE from 'carol@\S+' \(127\.0\.0\.1\) to 'dave@\S+' refused: (\S+)$")
        assert found[1] == f"{rules_of(guarded)}:3"
        await alice.dial(door.uri)
        await door.incoming()
        await door.command("accept")
        await alice.established()


async def test_whom_the_door_calls_may_talk_to_it(guarded: Server, place: Path) -> None:
    async with Baresip(guarded, place, "dave") as door, Baresip(guarded, place, "carol") as carol:
        await door.dial(carol.uri)
        await carol.incoming()
        await carol.command("accept")
        await door.established()
        await carol.command("hold")  # a request within the call, toward the door
        await door.event("CALL_REMOTE_SDP")
        await carol.command("hangup")
        await door.closed()


async def test_the_doors_own_contact_is_as_guarded_as_its_address(guarded: Server) -> None:
    async with SipPhone(guarded, "dave", "tcp") as door, SipPhone(guarded, "carol") as carol:
        await door.register()
        for uri in (door.uri, door.contact):
            assert (await (await carol.invite(uri)).final()).status == 403
            assert (await carol.message(uri, "open")).status == 403
        assert not door.has_got("INVITE")
        assert not door.has_got("MESSAGE")


async def test_rules_change_while_the_server_runs(guarded: Server) -> None:
    async with SipPhone(guarded, "dave") as door, SipPhone(guarded, "carol") as carol:
        await door.register()
        rules_of(guarded).write_text(_RULES + "alow * from * to *\n")
        (problem,) = await guarded.reload()
        assert f"reload: {rules_of(guarded)}:4: " in problem
        assert problem.endswith("not 'alow'; did you mean 'allow'?")
        assert (await (await carol.invite(door.uri)).final()).status == 403
        rules_of(guarded).write_text(f"allow * from carol@{DOMAIN} to *\n{_RULES}")
        await guarded.reload()
        call = await carol.invite(door.uri)
        (await door.incoming("INVITE")).answer(486)
        assert (await call.final()).status == 486
