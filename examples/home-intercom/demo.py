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
from dataclasses import dataclass
from pathlib import Path

from flexipy.sip.message import Message, Response, parse
from tests.harness.rtp_phone import RtpPhone
from tests.harness.server import DOMAIN, Server

FAR = "far.test"
EVERYONE = f"sip:everyone@{DOMAIN}"
WIDTH = 16  # of a column
COLUMNS = ("door", "house", "kitchen", "hall", "far", "bob")


@dataclass
class Arrow:
    """A message on its way."""

    source: str
    target: str
    text: str


class Ladder:
    """Collects what the telephones send and receive, in order."""

    def __init__(self) -> None:
        self.arrows: list[Arrow | str] = []

    def note(self, phone: str, server: str, data: bytes, sent: bool) -> None:
        """A telephone sent or received a message."""
        message = parse(data)
        text = label(message)
        if message.cseq.method == "REGISTER" or text == "100":
            return
        own = Arrow(phone, server, text) if sent else Arrow(server, phone, text)
        self.arrows.append(own)
        # Between the servers nobody listens; the Vias of a message tell that it passed, or will pass, from one to the
        # other: they are those of the caller and of two servers.
        other = "far" if server == "house" else "house"
        if len(message.get_all(b"via")) > 2:
            place = len(self.arrows) if sent else len(self.arrows) - 1
            self.arrows.insert(place, Arrow(server, other, text) if sent else Arrow(other, server, text))

    def say(self, text: str) -> None:
        """Something that is no message."""
        self.arrows.append(text)

    def draw(self) -> str:
        """The ladder as text."""
        middle = [WIDTH // 2 + index * WIDTH for index in range(len(COLUMNS))]
        lines = ["".join(name.center(WIDTH) for name in COLUMNS).rstrip()]
        rest = bars(middle)
        for arrow in self.arrows:
            if isinstance(arrow, str):
                lines.append(over(rest, f" {arrow} ", middle[0] + 2))
                continue
            start, end = (middle[COLUMNS.index(name)] for name in (arrow.source, arrow.target))
            left, right = min(start, end), max(start, end)
            head = (">", "") if end > start else ("", "<")
            shaft = "-" * (right - left - 2)
            lines.append(over(over(rest, head[1] + shaft + head[0], left + 1), arrow.text, left + 3))
        return "\n".join(line.rstrip() for line in lines)


def label(message: Message) -> str:
    """A message in a word or two."""
    if isinstance(message, Response):
        sdp = " sdp" if message.body else ""
        return f"{message.status}{sdp}"
    method = bytes(message).partition(b" ")[0].decode()
    return f"{method} sdp" if message.body and method == "INVITE" else method


def bars(places: list[int]) -> str:
    """A line of the ladder with nothing on it."""
    return "".join("|" if index in places else " " for index in range(places[-1] + 1))


def over(line: str, text: str, at: int) -> str:
    """A line with a text written over it."""
    return line[:at].ljust(at) + text + line[at + len(text) :]


class Device(RtpPhone):
    """A telephone whose messages are drawn."""

    def __init__(self, ladder: Ladder, name: str, server: Server, user: str, transport: str, tone: int) -> None:
        super().__init__(server, user, transport, domain=server.domain, tone=tone)
        self.name = name
        self._ladder = ladder
        self._place = "house" if server.domain == DOMAIN else "far"

    async def connect(self) -> None:
        """Open the wire and listen in on what is sent."""
        await super().connect()
        send = self.wire.send

        def listened(data: bytes) -> None:
            self._ladder.note(self.name, self._place, data, sent=True)
            send(data)

        self.wire.send = listened  # type: ignore[method-assign]

    def _receive(self, data: bytes) -> None:
        self._ladder.note(self.name, self._place, data, sent=False)
        super()._receive(data)


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
    ladder = Ladder()
    door = Device(ladder, "door", house, "door", "udp", 500)
    kitchen = Device(ladder, "kitchen", house, "screen", "udp", 600)
    hall = Device(ladder, "hall", house, "screen", "tls", 700)
    bob = Device(ladder, "bob", far, "bob", "tls", 900)
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
