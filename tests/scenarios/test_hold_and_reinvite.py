"""A call is put on hold and taken up again, from either side."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import Server
from tests.harness.sip_phone import SipPhone


@pytest.mark.parametrize(("callers", "callees"), [("udp", "tls"), ("tls", "udp")])
async def test_baresip_holds_and_resumes(server: Server, place: Path, callers: str, callees: str) -> None:
    alice = Baresip(server, place, "alice", callers, tone=500)
    bob = Baresip(server, place, "bob", callees, tone=700, account="answermode=auto")
    async with alice, bob:
        await alice.dial(bob.uri)
        await asyncio.gather(alice.hears(700), bob.hears(500))
        for holding, held in ((alice, bob), (bob, alice)):
            held.forget("CALL_REMOTE_SDP")
            await holding.command("hold")
            offer = await held.event("CALL_REMOTE_SDP")
            assert offer["param"] == "offer"
            await holding.command("resume")
            await held.event("CALL_REMOTE_SDP")
            await asyncio.gather(holding.receives_audio(), held.receives_audio())
        await alice.command("hangup")
        await asyncio.gather(alice.closed(), bob.closed())


async def test_linphone_holds_baresip(server: Server, place: Path) -> None:
    alice = Linphone(server, place, "alice", "tls")
    bob = Baresip(server, place, "bob", tone=700, account="answermode=auto")
    async with alice, bob:
        await alice.call(bob.uri)
        await asyncio.gather(alice.established(), bob.established())
        await alice.command("call-pause 1")
        await alice.event(r"LinphoneCallPaused\n")
        await alice.command("call-resume 1")
        await alice.established()
        await alice.talk()
        await bob.receives_audio()
        await alice.command("terminate")
        await asyncio.gather(alice.ended(), bob.closed())


async def test_baresip_holds_linphone_over_its_gruu(server: Server, place: Path) -> None:
    alice = Baresip(server, place, "alice", "tcp", tone=500)
    bob = Linphone(server, place, "bob", "tcp", auto_answer=True)
    async with alice, bob:
        await alice.dial(bob.uri)
        await asyncio.gather(alice.established(), bob.established())
        await alice.command("hold")
        await bob.event("LinphoneCallPausedByRemote")
        await alice.command("resume")
        await bob.established()
        await alice.command("hangup")
        await asyncio.gather(alice.closed(), bob.ended())


async def test_a_refused_reinvite_leaves_the_call_as_it_was(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave", "tls") as dave:
        await dave.register()
        call = await carol.invite(dave.uri)
        daves = (await dave.incoming("INVITE")).answer(200)
        carols = await carol.connected(call)
        await dave.incoming("ACK")
        assert daves is not None
        again = asyncio.create_task(carols.request("INVITE"))
        (await dave.incoming("INVITE")).answer(488)
        assert (await again).status == 488
        # Both at once: each is told to try again later (RFC 3261 section 14.2).
        one, other = asyncio.create_task(carols.request("INVITE")), asyncio.create_task(daves.request("INVITE"))
        (await dave.incoming("INVITE")).answer(491)
        (await carol.incoming("INVITE")).answer(491)
        assert [response.status for response in await asyncio.gather(one, other)] == [491, 491]
        bye = asyncio.create_task(carols.bye())
        (await dave.incoming("BYE")).answer(200)
        assert (await bye).status == 200
