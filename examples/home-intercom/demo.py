"""The whole scene on one machine, and a drawing of the messages that were really sent.

Two servers with a domain each, a door, two screens of its house, and bob in the other one. All of it on the loopback
interface, with state in a directory that goes away. The devices are the tests' own telephones: they send sound and a
moving picture and decode what they get.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.harness.ladder import Device, Ladder
from tests.harness.server import DOMAIN, Server

FAR = "far.test"
EVERYONE = f"sip:everyone@{DOMAIN}"
COLUMNS = ("door", "house", "kitchen", "hall", "far", "bob")


@contextlib.contextmanager
def street(folder: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers that reach each other by TLS and trust each other's certificate."""
    points = [("udp", "127.0.0.1"), ("tls", "127.0.0.1")]
    house = Server(folder / "house", transports=points)
    far = Server(folder / "far", transports=points, domain=FAR, authority=house.authority)
    for server in (house, far):
        server.write_configuration(
            {
                "global": {"tls-certificates-ca-file": str(house.authority.file)},
                "module::Authentication": {"trust-domain-certificates": "true"},
                "module::Registrar": {"static-records-file": "routes.conf"},
                "module::Forward": {"routes-config-path": "hops.conf"},
            }
        )
        (server.directory / "hops.conf").touch()
    routes = f"<{EVERYONE}> <sip:screen@{DOMAIN}>, <sip:bob@{FAR}>\n"
    (house.directory / "routes.conf").write_text(routes)
    (far.directory / "routes.conf").touch()
    try:
        for server in (house, far):
            server.start()
        for server, other in ((house, far), (far, house)):
            hop = f"<sip:{other.domain}:{other.port('tls')};transport=tls;maddr=127.0.0.1> {other.domain}\n"
            (server.directory / "hops.conf").write_text(hop)
            server.cli("RELOAD")
        yield house, far
    finally:
        for server in (house, far):
            if server.program is not None:
                server.stop()


async def play(house: Server, far: Server) -> str:
    """The scene; the drawing of it."""
    ladder = Ladder(COLUMNS, peers={"house": "far", "far": "house"})
    door = Device(ladder, "door", house, "door", "udp", 500)
    kitchen = Device(ladder, "kitchen", house, "screen", "udp", 600)
    hall = Device(ladder, "hall", house, "screen", "tls", 700)
    bob = Device(ladder, "bob", far, "bob", "tls", 900, "far")
    async with door, kitchen, hall, bob:
        await asyncio.gather(door.register(), kitchen.register(), hall.register(), bob.register())
        ladder.say("the bell rings")
        call = await door.call(EVERYONE)
        devices = (kitchen, hall, bob)
        rings = await asyncio.gather(*(device.incoming("INVITE") for device in devices))
        for device, ringing in zip(devices, rings, strict=True):
            device.show_early(ringing, talk=False)
            door.connect_media(await call.response(183))
        await asyncio.gather(*(device.video.sees() for device in devices))
        await asyncio.gather(*(device.audio.hears(500) for device in devices))
        ladder.say("all three see and hear the door, nobody has answered")
        talk = bob.take(rings[2])
        doors = await door.talk(call)
        for device, ringing in zip(devices[:2], rings, strict=False):
            cancel = await device.incoming("CANCEL")
            assert b"Call completed elsewhere" in cancel.request.require(b"reason")
            ringing.answer(487)
            await device.incoming("ACK")
        await asyncio.gather(door.audio.hears(900), bob.audio.hears(500), door.video.sees(), bob.video.sees())
        ladder.say("door and bob talk; the others are told: completed elsewhere")
        bob.audio.press("5")
        ladder.say(f"bob presses {await door.audio.digit()}; the door gets it within the sound (RFC 4733)")
        info = asyncio.create_task(talk.request("INFO", (("Content-Type", "application/dtmf-relay"),), b"Signal=5\r\n"))
        (await door.incoming("INFO")).answer(200)
        await info
        message = asyncio.create_task(bob.message(door.uri, "open"))
        (await door.incoming("MESSAGE")).answer(200)
        await message
        bye = asyncio.create_task(doors.bye())
        (await bob.incoming("BYE")).answer(200)
        await bye
    for server in (house, far):
        assert json.loads(server.cli("RELAY_LIST")) == {"calls": []}
    ladder.say("no port is open any more")
    return ladder.draw()


def main() -> None:
    """Play it and print the drawing."""
    with tempfile.TemporaryDirectory() as folder, street(Path(folder)) as (house, far):
        drawing = asyncio.run(play(house, far))
    print(drawing)


if __name__ == "__main__":
    main()
