"""A door offers H.264 in two forms; each screen that rings takes the one it knows, and all see the one picture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.harness.rtp_phone import RtpPhone
from tests.harness.server import Server
from tests.harness.sip_phone import Dialog, Incoming

_MODE_0, _MODE_1, _EITHER = (0,), (1,), (1, 0)


@pytest.fixture
def house(place: Path) -> Iterator[Server]:
    """A server where calls wait for devices that come later."""
    server = Server(place / "house", {"module::Router": {"fork-late": "true"}})
    yield server.start()
    server.check_log()
    server.stop()


@pytest.fixture
async def door(house: Server) -> AsyncIterator[RtpPhone]:
    """As baresip 1.1 offers it: packetization mode 0 before mode 1."""
    async with RtpPhone(house, "door", tone=500, modes=(0, 1)) as phone:
        yield phone


@pytest.mark.parametrize("answering", [0, 2])
@pytest.mark.parametrize(
    "modes", [(_MODE_0, _MODE_1, _EITHER), (_MODE_1, _EITHER, _MODE_0), (_EITHER, _MODE_0, _MODE_1)]
)
async def test_every_screen_sees_the_door_and_so_does_the_one_who_answers(
    house: Server, door: RtpPhone, modes: Sequence[Sequence[int]], answering: int
) -> None:
    async with AsyncExitStack() as stack:
        screens = [await stack.enter_async_context(RtpPhone(house, "screen", tone=700, modes=mode)) for mode in modes]
        for screen in screens:
            await screen.register()
        call = await door.call(screens[0].uri)
        ringing = [await screen.incoming("INVITE") for screen in screens]
        for screen, invite in zip(screens, ringing, strict=True):
            screen.show_early(invite, talk=False)
            door.connect_media(await call.response(183))
            await screen.video.sees()
        await asyncio.gather(*(screen.video.sees() for screen in screens))

        winner = screens[answering]
        winner.take(ringing[answering])
        talk = await door.talk(call)
        await asyncio.gather(winner.video.sees(), winner.audio.hears(500), door.video.sees(), door.audio.hears(700))
        await end(talk, winner)
        assert [(phone.video.foreign, phone.video.unfit) for phone in (door, *screens)] == [(set(), 0)] * 4
        await decline(screens, ringing, winner)


async def test_a_screen_that_joins_later_sees_the_door_and_the_first_goes_on_to(house: Server, door: RtpPhone) -> None:
    hall, attic = RtpPhone(house, "screen", modes=_MODE_1), RtpPhone(house, "screen", tone=700, modes=_MODE_0)
    async with hall, attic:
        await hall.register()
        call = await door.call(hall.uri)
        first = await hall.incoming("INVITE")
        hall.show_early(first, talk=False)
        door.connect_media(await call.response(183))
        await hall.video.sees()
        await attic.register()
        second = await attic.incoming("INVITE")
        attic.show_early(second, talk=False)
        door.connect_media(await call.response(183))
        await asyncio.gather(hall.video.sees(), attic.video.sees())
        hall.take(first)
        talk = await door.talk(call)
        await asyncio.gather(hall.video.sees(), door.video.sees())
        await end(talk, hall)
        assert not any(phone.video.unfit or phone.video.foreign for phone in (door, hall))
        await attic.incoming("CANCEL")
        second.answer(487)


async def end(talk: Dialog, other: RtpPhone) -> None:
    """Hang up."""
    bye = asyncio.create_task(talk.bye())
    (await other.incoming("BYE")).answer(200)
    assert (await bye).status == 200


async def decline(screens: Sequence[RtpPhone], ringing: Sequence[Incoming], winner: RtpPhone) -> None:
    """All but the winner answer that they were cancelled."""
    for screen, invite in zip(screens, ringing, strict=True):
        if screen is not winner:
            await screen.incoming("CANCEL")
            invite.answer(487)
