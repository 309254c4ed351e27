"""Relayed calls: hold, late offers, other leaders, IPv6, and calls that end early."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.events import until
from tests.harness.rtp_phone import RtpPhone
from tests.harness.server import Server
from tests.harness.sip_phone import Dialog
from tests.harness.sipp import Sipp, write_sound

_SDP_TYPE = (("Content-Type", "application/sdp"),)


@pytest.fixture
def relay(place: Path) -> Iterator[Server]:
    """A server that gives up a call after some seconds without a packet."""
    settings = {"module::MediaRelay": {"inactivity-period": "2"}}
    server = Server(place / "house", settings, [("udp", "127.0.0.1"), ("udp", "::1")])
    yield server.start()
    server.stop()


async def quiet(server: Server, ports: int) -> None:
    """Wait until nothing is relayed and every port is given back."""
    await until(lambda: bool(json.loads(server.cli("RELAY_LIST")) == {"calls": []}), "no call is relayed")
    await until(lambda: server.udp_ports == ports, f"{ports} ports open")


async def talking(alice: RtpPhone, bob: RtpPhone) -> tuple[Dialog, Dialog]:
    """A call that stands; both sides of it."""
    call = await alice.call(bob.uri)
    bobs = bob.take(await bob.incoming("INVITE"))
    alices = await alice.talk(call)
    await bob.incoming("ACK")
    await asyncio.gather(alice.audio.hears(700), bob.audio.hears(500))
    return alices, bobs


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_sound_and_picture_pass_both_ways_and_again_after_a_hold(relay: Server, host: str) -> None:
    alice = RtpPhone(relay, "alice", host=host, tone=500)
    bob = RtpPhone(relay, "bob", host=host, tone=700)
    async with alice, bob:
        await bob.register()
        ports = relay.udp_ports
        alices, bobs = await talking(alice, bob)
        await asyncio.gather(alice.video.sees(), bob.video.sees())
        for holding, held, dialog in ((alice, bob, alices), (bob, alice, bobs)):
            for direction in ("sendonly", "sendrecv"):
                offer = holding.description(direction=direction)
                again = asyncio.create_task(dialog.request("INVITE", _SDP_TYPE, offer))
                asked = await held.incoming("INVITE")
                assert f"a={direction}".encode() in asked.request.body
                held.take(asked)
                assert (await again).status == 200
                await held.incoming("ACK")
        alice.audio.hears_nothing_more()
        bob.audio.hears_nothing_more()
        await asyncio.gather(alice.audio.hears(700), bob.audio.hears(500), alice.video.sees(), bob.video.sees())
        assert (await hang_up(alices, bob)) == 200
        await quiet(relay, ports)


async def hang_up(dialog: Dialog, other: RtpPhone) -> int:
    """End a call; the status of the answer."""
    bye = asyncio.create_task(dialog.bye())
    (await other.incoming("BYE")).answer(200)
    return (await bye).status


async def test_a_late_offer_is_relayed(relay: Server) -> None:
    async with RtpPhone(relay, "alice", tone=500) as alice, RtpPhone(relay, "bob", tone=700) as bob:
        await bob.register()
        ports = relay.udp_ports
        call = await alice.ask("INVITE", bob.uri)
        ringing = await bob.incoming("INVITE")
        assert not ringing.request.body
        bobs = bob.take(ringing)
        response = await call.final()
        # The description that answers it comes with the ACK.
        alices = await alice.connected(call, alice.description())
        alice.connect_media(response)
        acknowledged = await bob.incoming("ACK")
        bob.connect_media(acknowledged.request)
        await asyncio.gather(alice.audio.hears(700), bob.audio.hears(500))
        assert bobs.call_id == alices.call_id
        assert (await hang_up(alices, bob)) == 200
        await quiet(relay, ports)


async def test_the_caller_hears_the_device_that_described_itself_last(relay: Server) -> None:
    alice, desk, attic = (RtpPhone(relay, *who) for who in (("alice",), ("bob",), ("bob",)))
    desk.audio.tone, attic.audio.tone = 700, 1100
    async with alice, desk, attic:
        await asyncio.gather(desk.register(), attic.register())
        ports = relay.udp_ports
        call = await alice.call(desk.uri)
        on_desk, in_attic = await asyncio.gather(desk.incoming("INVITE"), attic.incoming("INVITE"))
        desk.show_early(on_desk)
        alice.connect_media(await call.response(183))
        await alice.audio.hears(700)
        attic.show_early(in_attic)
        await alice.audio.hears(1100)
        await asyncio.gather(desk.audio.hears(900), attic.audio.hears(900), desk.video.sees(), attic.video.sees())
        call.cancel()
        for device, ringing in ((desk, on_desk), (attic, in_attic)):
            await device.incoming("CANCEL")
            ringing.answer(487)
        assert (await call.response(487)).status == 487
        await quiet(relay, ports)


async def test_a_telephone_that_heard_one_early_hears_the_other_who_answers(relay: Server, place: Path) -> None:
    alice = Baresip(relay, place, "alice", tone=500)
    attic = Baresip(relay, place, "bob", tone=1100)
    write_sound(place / "sound.al", 700)
    desk = Sipp(place, "early")
    async with alice, attic:
        await Sipp(place, "register", ["bob"], server=relay, contact_port=desk.port).all_good()
        ports = relay.udp_ports
        await alice.dial(attic.uri)
        await asyncio.gather(attic.incoming(), alice.receives_audio())  # it records nothing yet
        await attic.answer()
        await asyncio.gather(alice.established(), attic.established(), desk.all_good())
        await asyncio.gather(alice.hears(1100), attic.hears(500))
        # One source for her, whoever speaks.
        assert (await alice.command("audio_debug")).count("member 0x") == 1
        await alice.hang_up()
        await attic.closed()
        await quiet(relay, ports)


async def test_a_telephone_makes_the_offer_that_a_caller_asks_for(relay: Server, place: Path) -> None:
    write_sound(place / "sound.al", 900)
    async with Baresip(relay, place, "bob", tone=700, account="answermode=auto") as bob:
        ports = relay.udp_ports
        caller = Sipp(place, "late-offer", ["alice"], server=relay, service="bob")
        await bob.hears(900)
        (call,) = json.loads(relay.cli("RELAY_LIST"))["calls"]
        (stream,) = call["streams"]
        (side,) = stream["branches"].values()
        assert stream["caller"]["packets"]
        assert side["packets"]
        await bob.hang_up()
        await caller.all_good()
        await quiet(relay, ports)
