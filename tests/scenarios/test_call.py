"""Two people talk, or write: across clients and transports, heard both ways, hung up from either side."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.linphonec import Linphonec
from tests.harness.server import DOMAIN, Server
from tests.harness.sip_phone import SipPhone
from tests.harness.sipp import Sipp


@pytest.mark.parametrize(
    ("callers", "callees"),
    [("udp", "udp"), ("tcp", "tcp"), ("tls", "tls"), ("udp", "tls"), ("tls", "udp"), ("tcp", "tls")],
)
async def test_baresip_talks_to_baresip(server: Server, place: Path, callers: str, callees: str) -> None:
    alice = Baresip(server, place, "alice", callers, tone=500)
    bob = Baresip(server, place, "bob", callees, tone=700)
    async with alice, bob:
        await alice.dial(bob.uri)
        await bob.incoming()
        await bob.command("accept")
        await asyncio.gather(alice.established(), bob.established())
        await asyncio.gather(alice.hears(700), bob.hears(500))
        await alice.command("hangup")
        await asyncio.gather(alice.closed(), bob.closed())


async def test_the_callee_hangs_up(server: Server, place: Path) -> None:
    async with Baresip(server, place, "alice", "tls") as alice, Baresip(server, place, "bob") as bob:
        await alice.dial(bob.uri)
        await bob.incoming()
        await bob.command("accept")
        await alice.established()
        await bob.command("hangup")
        await asyncio.gather(alice.closed(), bob.closed())


async def test_srtp_between_tls_phones(server: Server, place: Path) -> None:
    alice = Baresip(server, place, "alice", "tls", tone=500, account="mediaenc=srtp-mand")
    bob = Baresip(server, place, "bob", "tls", tone=700, account="mediaenc=srtp-mand;answermode=auto")
    async with alice, bob:
        await alice.dial(bob.uri)
        await asyncio.gather(alice.hears(700), bob.hears(500))


async def test_early_media_reaches_a_ringing_phone(server: Server, place: Path) -> None:
    alice = Baresip(server, place, "alice", tone=500)
    bob = Baresip(server, place, "bob", "tls", tone=700, account="answermode=early")
    async with alice, bob:
        await alice.dial(bob.uri)
        await alice.event("CALL_PROGRESS")
        await bob.event("CALL_RTPESTAB")
        assert not bob.has_been("CALL_ESTABLISHED")
        await bob.command("accept")
        await asyncio.gather(alice.hears(700), bob.hears(500))


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_baresip_calls_linphone_and_they_hear_each_other(server: Server, place: Path, transport: str) -> None:
    alice = Baresip(server, place, "alice", transport, tone=500)
    bob = Linphonec(server, place, "bob", transport, tone=700)
    async with alice, bob:
        await alice.dial(bob.uri)
        await bob.incoming()
        bob.say("answer")
        await asyncio.gather(alice.established(), bob.established())
        await asyncio.gather(alice.hears(700), bob.hears(500))
        # Linphone is called by its GRUU from now on.
        await alice.command("hangup")
        await asyncio.gather(alice.closed(), bob.ended())


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_linphone_calls_baresip_and_they_hear_each_other(server: Server, place: Path, transport: str) -> None:
    alice = Linphonec(server, place, "alice", transport, tone=700)
    bob = Baresip(server, place, "bob", transport, tone=500)
    async with alice, bob:
        alice.call(bob.uri)
        await bob.incoming()
        await bob.command("accept")
        await asyncio.gather(alice.established(), bob.established())
        await asyncio.gather(alice.hears(500), bob.hears(700))
        alice.say("terminate")
        await asyncio.gather(alice.ended(), bob.closed())


async def test_linphone_calls_baresip_which_hangs_up(server: Server, place: Path) -> None:
    async with Baresip(server, place, "alice", "tls") as alice, Linphone(server, place, "bob", "tcp") as bob:
        await bob.call(alice.uri)
        await alice.incoming()
        await alice.command("accept")
        await asyncio.gather(alice.established(), bob.established())
        await alice.command("hangup")
        await asyncio.gather(alice.closed(), bob.ended())


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_baresip_and_linphone_send_each_other_texts(server: Server, place: Path, transport: str) -> None:
    bob = Linphone(server, place, "bob", transport)
    alice = Baresip(server, place, "alice", transport, friend=bob.uri)
    async with alice, bob:
        await alice.text("dinner is ready")
        assert "dinner is ready" in await bob.event("message-received")
        await bob.message(alice.uri, "on my way")
        assert await alice.gets_text() == (bob.uri, "on my way")


async def test_baresip_and_baresip_send_each_other_texts(server: Server, place: Path) -> None:
    bob = Baresip(server, place, "bob", "tls", friend=f"sip:alice@{DOMAIN}")
    alice = Baresip(server, place, "alice", friend=bob.uri)
    async with alice, bob:
        await alice.text("dinner is ready")
        assert await bob.gets_text() == (alice.uri, "dinner is ready")
        await bob.text("on my way")
        assert await alice.gets_text() == (bob.uri, "on my way")


async def test_linphone_calls_linphone(server: Server, place: Path) -> None:
    alice = Linphone(server, place, "alice", "tls")
    bob = Linphone(server, place, "bob", "udp", auto_answer=True)
    async with alice, bob:
        await alice.call(bob.uri)
        await asyncio.gather(alice.established(), bob.established())
        await asyncio.gather(alice.talk(), bob.talk())
        await asyncio.gather(alice.receives_audio(), bob.receives_audio())
        await alice.command("terminate")
        await asyncio.gather(alice.ended(), bob.ended())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_sipp_makes_a_hundred_calls(server: Server, place: Path, transport: str) -> None:
    callee = Sipp(place, "uas", transport=transport, calls=100)
    try:
        register = Sipp(place, "register", ["bob"], server=server, transport=transport, contact_port=callee.port)
        await register.all_good()
        caller = Sipp(place, "call", ["alice"], server=server, transport=transport, service="bob", calls=100, rate=100)
        await caller.all_good()
    finally:
        await callee.stop()


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls", "ws", "wss"])
async def test_each_request_in_a_call_finds_its_way(server: Server, transport: str) -> None:
    async with SipPhone(server, "carol", "udp") as carol, SipPhone(server, "dave", transport) as dave:
        await dave.register()
        call = await carol.invite(dave.uri)
        ringing = await dave.incoming("INVITE")
        ringing.answer(180)
        await call.response(180)
        daves = ringing.answer(200)
        carols = await carol.connected(call)
        await dave.incoming("ACK")
        assert daves is not None

        # carol asks dave, then dave asks carol, who never registered.
        for asking, asked, dialog in ((carol, dave, carols), (dave, carol, daves)):
            for method in ("INFO", "UPDATE", "INVITE", "MESSAGE"):
                answer = asyncio.create_task(dialog.request(method))
                (await asked.incoming(method)).answer(200)
                assert (await answer).status == 200, f"{asking.user} {method}"
                if method == "INVITE":
                    await asked.incoming("ACK")
        bye = asyncio.create_task(daves.bye())
        (await carol.incoming("BYE")).answer(200)
        assert (await bye).status == 200


async def test_nobody_there(server: Server) -> None:
    async with SipPhone(server, "carol") as carol:
        assert (await (await carol.invite(f"sip:dave@{DOMAIN}")).final()).status == 480
        assert (await (await carol.invite(f"sip:nobody@{DOMAIN}")).final()).status == 404


async def test_the_ack_of_a_refusal_reaches_nobody_even_with_a_branch_of_its_own(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as dave:
        await dave.register()
        first = carol.send(carol.build("INVITE", dave.uri))
        refused = await first.response(407)
        # A new branch is wrong, and not rare.
        given = (("Call-ID", refused.call_id.decode()), ("To", refused.require(b"to").decode()), ("CSeq", "1 ACK"))
        carol.send(carol.build("ACK", dave.uri, given))
        message = asyncio.create_task(carol.message(dave.uri, "sent after it"))
        (await dave.incoming("MESSAGE")).answer(200)
        assert (await message).status == 200
        assert not dave.has_got("ACK")
