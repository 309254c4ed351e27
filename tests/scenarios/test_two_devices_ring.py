"""All devices of a person ring; who answers first gets the call, the others are told that it is taken."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import Server
from tests.harness.sip_phone import SipPhone


async def test_one_answers_and_the_others_stop_ringing(server: Server, place: Path) -> None:
    alice = Baresip(server, place, "alice", tone=500)
    desk = Baresip(server, place, "bob", "tls", tone=700)
    mobile = Linphone(server, place, "bob", "tcp")
    async with alice, desk, mobile, SipPhone(server, "bob", "ws") as tablet:
        await tablet.register()
        await alice.dial(desk.uri)
        on_tablet = await tablet.incoming("INVITE")
        on_tablet.answer(180)
        await asyncio.gather(desk.incoming(), mobile.incoming())

        await desk.command("accept")

        await asyncio.gather(alice.established(), mobile.ended())
        cancel = await tablet.incoming("CANCEL")
        assert cancel.request.get(b"reason") == b'SIP;cause=200;text="Call completed elsewhere"'
        on_tablet.answer(487)
        await tablet.incoming("ACK")
        await asyncio.gather(alice.hears(700), desk.hears(500))
        await desk.command("hangup")
        await alice.closed()


async def test_linphone_answers_and_baresip_stops_ringing(server: Server, place: Path) -> None:
    alice = Baresip(server, place, "alice")
    desk = Baresip(server, place, "bob")
    mobile = Linphone(server, place, "bob", "tls")
    async with alice, desk, mobile:
        await alice.dial(desk.uri)
        await asyncio.gather(desk.incoming(), mobile.incoming())
        await mobile.answer()
        await asyncio.gather(alice.established(), mobile.established(), desk.closed())


async def test_two_answers_at_once_both_reach_the_caller(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as one, SipPhone(server, "dave") as two:
        await asyncio.gather(one.register(), two.register())
        call = await carol.invite(one.uri)
        first, second = await asyncio.gather(one.incoming("INVITE"), two.incoming("INVITE"))
        first.answer(200)
        second.answer(200)
        # RFC 3261 section 16.7 item 5: the caller has to hang up on one of them.
        answers = [await call.response(200), await call.response(200)]
        assert len({answer.to.params.get("tag") for answer in answers}) == 2


async def test_a_preferred_device_rings_first(place: Path) -> None:
    patience = {"call-fork-current-branches-timeout": "1"}
    server = Server(place / "house", {"module::Router": patience}, [("udp", "127.0.0.1")]).start()
    try:
        async with (
            SipPhone(server, "carol") as carol,
            SipPhone(server, "dave") as desk,
            SipPhone(server, "dave") as attic,
        ):
            await desk.register(parameters=";q=1.0")
            await attic.register(parameters=";q=0.2")
            call = await carol.invite(desk.uri)
            on_desk = await desk.incoming("INVITE")
            on_desk.answer(180)
            assert not attic.has_got("INVITE")
            # Nobody at the desk for a second: the attic rings too.
            in_attic = await attic.incoming("INVITE")
            in_attic.answer(200)
            assert (await call.final()).status == 200
            await desk.incoming("CANCEL")
            on_desk.answer(487)
    finally:
        server.stop()


async def test_a_device_that_registers_while_it_rings_joins_in(place: Path) -> None:
    server = Server(place / "house", {"module::Router": {"fork-late": "true"}}, [("udp", "127.0.0.1")]).start()
    try:
        async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as dave:
            call = await carol.invite(dave.uri)
            await call.response(100)
            await dave.register()
            (await dave.incoming("INVITE")).answer(200)
            assert (await call.final()).status == 200
    finally:
        server.stop()
