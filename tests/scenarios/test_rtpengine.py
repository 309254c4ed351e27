"""Media by way of an rtpengine: heard both ways, moved to another engine when one is gone, refused without any."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.rtp_phone import RtpPhone
from tests.harness.rtpengine import Rtpengine
from tests.harness.server import DOMAIN, Server
from tests.harness.sip_phone import SipPhone


@pytest.fixture
def engines(place: Path) -> Iterator[list[Rtpengine]]:
    """Two engines at work."""
    started = [Rtpengine(place, 42000).start(), Rtpengine(place, 43000).start()]
    yield started
    for engine in started:
        engine.stop()


@pytest.fixture
def house(place: Path, engines: list[Rtpengine]) -> Iterator[Server]:
    """A server that has them relay."""
    controls = " ".join(engine.control for engine in engines)
    settings = {"module::MediaRelay": {"media-relay-backend": "rtpengine", "rtpengine-servers": controls}}
    server = Server(place / "house", settings, [("udp", "127.0.0.1"), ("tls", "127.0.0.1")])
    yield server.start()
    server.stop()


async def call(house: Server, place: Path, suffix: str = "") -> None:
    alice = Baresip(house, place / f"a{suffix}", "alice", tone=500)
    bob = Baresip(house, place / f"b{suffix}", "bob", "tls", tone=700, account="answermode=auto")
    async with alice, bob:
        await alice.dial(bob.uri)
        await asyncio.gather(alice.hears(700), bob.hears(500))
        await alice.command("hangup")
        await asyncio.gather(alice.closed(), bob.closed())


async def test_both_are_heard_through_an_engine(house: Server, place: Path, engines: list[Rtpengine]) -> None:
    await call(house, place)
    assert any(engine.program and engine.program.has_printed("Creating new call") for engine in engines)
    await asyncio.gather(*(engine.program.prints("Final packet stats") for engine in engines if used(engine)))


async def test_every_device_that_rings_gets_what_the_caller_sends(house: Server, engines: list[Rtpengine]) -> None:
    alice, desk, attic, hall = (RtpPhone(house, user) for user in ("alice", "bob", "bob", "bob"))
    alice.audio.tone, desk.audio.tone = 500, 700
    devices = (desk, attic, hall)
    async with alice, desk, attic, hall:
        await asyncio.gather(*(device.register() for device in devices))
        call = await alice.call(desk.uri)
        ringing = [await device.incoming("INVITE") for device in devices]
        for device, invite in zip(devices, ringing, strict=True):
            device.show_early(invite, talk=False)
            alice.connect_media(await call.response(183))
            await asyncio.gather(device.audio.hears(500), device.video.sees())
        for device in devices:
            device.audio.hears_nothing_more()
        await asyncio.gather(*(device.audio.hears(500) for device in devices))
        await asyncio.gather(*(device.video.sees() for device in devices))

        desk.take(ringing[0])
        talk = await alice.talk(call)
        for device, invite in zip(devices[1:], ringing[1:], strict=True):
            await device.incoming("CANCEL")
            invite.answer(487)
        await asyncio.gather(alice.audio.hears(700), desk.video.sees())
        for device in devices:
            device.audio.hears_nothing_more()
        await desk.audio.hears(500)
        assert not attic.audio.heard
        assert not hall.audio.heard
        bye = asyncio.create_task(talk.bye())
        (await desk.incoming("BYE")).answer(200)
        assert (await bye).status == 200
        await asyncio.gather(*(engine.program.prints("Final packet stats") for engine in engines if used(engine)))


def used(engine: Rtpengine) -> bool:
    return engine.program is not None and engine.program.has_printed("Creating new call")


async def test_calls_go_on_when_an_engine_is_gone(house: Server, place: Path, engines: list[Rtpengine]) -> None:
    engines[0].kill()
    await call(house, place, "1")
    await call(house, place, "2")
    assert used(engines[1])


async def test_without_an_engine_calls_are_refused(house: Server, engines: list[Rtpengine]) -> None:
    async with SipPhone(house, "alice") as alice, SipPhone(house, "bob") as bob:
        await bob.register()
        for engine in engines:
            engine.kill()
        refused = await (await alice.invite(f"sip:bob@{DOMAIN}")).final()
        assert refused.status == 503


@pytest.mark.parametrize("modes", [((1, 0), (0,), (0, 1)), ((0,), (1, 0), (1, 0))])
async def test_every_screen_takes_the_form_in_which_the_door_sends(house: Server, modes: list[tuple[int, ...]]) -> None:
    door = RtpPhone(house, "door", modes=(0, 1))
    screens = [RtpPhone(house, "screen", modes=mode) for mode in modes]
    async with door, screens[0], screens[1], screens[2]:
        await asyncio.gather(*(screen.register() for screen in screens))
        call = await door.call(screens[0].uri)
        for screen in screens:
            screen.show_early(await screen.incoming("INVITE"), talk=False)
            door.connect_media(await call.response(183))
            await screen.video.sees()
        await asyncio.gather(*(screen.video.sees() for screen in screens))
        assert not any(screen.video.foreign or screen.video.unfit for screen in screens)
        call.cancel()
