"""One of several devices does not want the call: a decline is for all of them, a refusal only for itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import Server
from tests.harness.sip_phone import SipPhone


async def test_a_decline_on_one_device_ends_the_call_on_all(server: Server, place: Path) -> None:
    alice = Baresip(server, place, "alice")
    desk = Baresip(server, place, "bob", "tls")
    mobile = Linphone(server, place, "bob")
    async with alice, desk, mobile:
        await alice.dial(desk.uri)
        await asyncio.gather(desk.incoming(), mobile.incoming())
        await mobile.command("terminate")
        why, _ = await asyncio.gather(alice.closed(), desk.closed())
        assert "603" in why


async def test_a_busy_device_lets_the_others_ring(server: Server, place: Path) -> None:
    alice = Baresip(server, place, "alice")
    desk = Baresip(server, place, "bob", "tcp")
    mobile = Linphone(server, place, "bob", "tls")
    async with alice, desk, mobile:
        await alice.dial(desk.uri)
        await asyncio.gather(desk.incoming(), mobile.incoming())
        await desk.command("hangup")
        await desk.closed()
        await mobile.answer()
        await alice.established()


async def test_all_refuse_and_the_caller_hears_the_most_telling(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as one, SipPhone(server, "dave") as two:
        await asyncio.gather(one.register(), two.register())
        call = await carol.invite(one.uri)
        first, second = await asyncio.gather(one.incoming("INVITE"), two.incoming("INVITE"))
        first.answer(503)
        second.answer(486)
        assert (await call.final()).status == 486
        await asyncio.gather(one.incoming("ACK"), two.incoming("ACK"))


async def test_a_decline_counts_for_one_device_only_where_so_configured(place: Path) -> None:
    settings = {"module::Router": {"fork-no-global-decline": "true"}}
    server = Server(place / "house", settings, [("udp", "127.0.0.1")]).start()
    try:
        async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as one, SipPhone(server, "dave") as two:
            await asyncio.gather(one.register(), two.register())
            call = await carol.invite(one.uri)
            first, second = await asyncio.gather(one.incoming("INVITE"), two.incoming("INVITE"))
            second.answer(180)
            first.answer(603)
            await one.incoming("ACK")
            second.answer(200)
            assert (await call.final()).status == 200
    finally:
        server.stop()
