"""The caller gives up before anybody answers: the phones stop ringing, and everybody is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import Server
from tests.harness.sip_phone import SipPhone


@pytest.mark.parametrize(("callers", "callees"), [("udp", "udp"), ("udp", "tls"), ("tls", "tcp")])
async def test_baresip_gives_up_calling_baresip(server: Server, place: Path, callers: str, callees: str) -> None:
    alice, bob = Baresip(server, place, "alice", callers), Baresip(server, place, "bob", callees)
    async with alice, bob:
        await alice.dial(bob.uri)
        await bob.incoming()
        await alice.event("CALL_RINGING")
        await alice.command("hangup")
        await asyncio.gather(alice.closed(), bob.closed())


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_linphone_gives_up_calling_linphone(server: Server, place: Path, transport: str) -> None:
    alice, bob = Linphone(server, place, "alice", transport), Linphone(server, place, "bob", transport)
    async with alice, bob:
        await alice.call(bob.uri)
        await asyncio.gather(bob.incoming(), alice.event("LinphoneCallOutgoingRinging"))
        await alice.command("terminate")
        await asyncio.gather(alice.ended(), bob.ended())


async def test_the_reason_of_a_cancel_is_passed_on(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave", "ws") as dave:
        await dave.register()
        call = await carol.invite(dave.uri)
        invite = await dave.incoming("INVITE")
        invite.answer(180)
        await call.response(180)
        cancel = call.cancel((("Reason", 'SIP;cause=487;text="Never mind"'),))
        assert (await cancel.final()).status == 200
        cancelled = await dave.incoming("CANCEL")
        assert cancelled.request.get(b"reason") == b'SIP;cause=487;text="Never mind"'
        invite.answer(487)
        assert (await call.final()).status == 487
        await dave.incoming("ACK")


async def test_a_cancel_before_the_phone_has_said_anything_waits_for_its_word(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as dave:
        await dave.register()
        call = await carol.invite(dave.uri)
        invite = await dave.incoming("INVITE")
        assert (await call.cancel().final()).status == 200
        # RFC 3261 section 9.1: no CANCEL may overtake the INVITE.
        assert not dave.has_got("CANCEL")
        invite.answer(180)
        await dave.incoming("CANCEL")
        invite.answer(487)
        assert (await call.final()).status == 487


async def test_an_answer_that_crosses_the_cancel_wins(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as dave:
        await dave.register()
        call = await carol.invite(dave.uri)
        invite = await dave.incoming("INVITE")
        invite.answer(180)
        await call.response(180)
        call.cancel()
        await dave.incoming("CANCEL")
        invite.answer(200)
        dialog = await carol.connected(call)
        await dave.incoming("ACK")
        bye = asyncio.create_task(dialog.bye())
        (await dave.incoming("BYE")).answer(200)
        assert (await bye).status == 200


async def test_a_cancel_for_nothing_is_answered_so(server: Server) -> None:
    async with SipPhone(server, "carol") as carol:
        call = carol.send(carol.build("INVITE", "sip:dave@house.test"))
        await call.response(407)
        assert (await call.cancel().final()).status in (200, 481)
