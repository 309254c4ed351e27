"""A bell rings at the door: every screen of the house sees and hears who is there before anybody answers.

The door calls `everyone`: the screens of the house, and bob, who lives in another domain with a server of its own.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.events import until
from tests.harness.linphone import Linphone
from tests.harness.rtp_phone import RtpPhone
from tests.harness.server import DOMAIN, Server

_FAR = "far.test"
_EVERYONE = f"sip:everyone@{DOMAIN}"
_TRANSPORTS = [("udp", "127.0.0.1"), ("tcp", "127.0.0.1"), ("tls", "127.0.0.1"), ("tls", "localhost")]
_ELSEWHERE = b'SIP;cause=200;text="Call completed elsewhere"'
_RELAYED_DIGIT = (("Content-Type", "application/dtmf-relay"),)
_H264 = "video_codecs=h264"  # one codec: of several, each screen would choose another
_EARLY = "answermode=early"
_AT_ONCE = 1.0  # seconds


@dataclass
class Street:
    """Two houses that know each other's domain by its certificate."""

    house: Server
    far: Server

    def ports(self) -> tuple[int, int]:
        """How many UDP ports both servers have open."""
        return self.house.udp_ports, self.far.udp_ports

    async def is_quiet(self, ports: tuple[int, int]) -> None:
        """Wait until no call is relayed any more and every port is given back."""
        for server in (self.house, self.far):
            await until(partial(_relays_nothing, server), "no call is relayed")
        await until(lambda: self.ports() == ports, f"{ports} ports open")


def _relays_nothing(server: Server) -> bool:
    return bool(json.loads(server.cli("RELAY_LIST")) == {"calls": []})


@pytest.fixture
def street(both_houses: Street) -> Iterator[Street]:
    """Both houses with nobody registered, and nothing to complain of in their logs afterwards."""
    yield both_houses
    for server in (both_houses.house, both_houses.far):
        server.check_log()
        for aor in json.loads(server.cli("REGISTRAR_DUMP"))["aors"]:
            server.cli(f"REGISTRAR_CLEAR sip:{aor}")


@pytest.fixture(scope="module")
def both_houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """The house of the door and the one where bob lives."""
    folder = tmp_path_factory.mktemp("street")
    house = Server(folder / "house", transports=_TRANSPORTS)
    far = Server(folder / "far", transports=_TRANSPORTS, domain=_FAR, authority=house.authority)
    for server in (house, far):
        server.write_configuration(
            {
                "global": {"tls-certificates-ca-file": str(house.authority.file)},
                "module::Authentication": {"trust-domain-certificates": "true"},
                "module::Forward": {"routes-config-path": "hops.conf"},
            }
        )
    house.write_configuration({"module::Registrar": {"static-records-file": "routes.conf"}})
    routes = f"<{_EVERYONE}> <sip:screen@{DOMAIN}>, <sip:bob@{_FAR}>\n"
    (house.directory / "routes.conf").write_text(routes)
    for server in (house, far):
        (server.directory / "hops.conf").write_text("# not known yet\n")
        server.start()
    for server, other in ((house, far), (far, house)):
        hop = f"<sip:{other.domain}:{other.port('tls')};transport=tls;maddr=127.0.0.1> {other.domain}\n"
        (server.directory / "hops.conf").write_text(hop)
        server.cli("RELOAD")
    yield Street(house, far)
    house.stop()
    far.stop()


@pytest.mark.parametrize("answering", ["bob", "kitchen"])
async def test_everyone_sees_the_door_before_one_answers(street: Street, place: Path, answering: str) -> None:
    house, far = street.house, street.far
    door = Baresip(house, place, "door", tone=500, video=True, account=_H264)
    hall = Baresip(house, place, "screen", "tcp", tone=700, video=True, account=_EARLY)
    kitchen = Linphone(house, place, "screen", "tls", tone=600, video=True)
    # From baresip 1.1 on the door offers both packetization modes of H.264, and shows the one that the last answer
    # names first.
    bob = RtpPhone(far, "bob", "tls", domain=_FAR, tone=900, modes=(0, 1) if answering == "bob" else (1, 0))
    async with door, hall, kitchen, bob:
        await bob.register()
        before = street.ports()

        await door.dial(_EVERYONE)
        ringing = await bob.incoming("INVITE")
        await asyncio.gather(kitchen.incoming(), hall.event("CALL_RTPESTAB"))
        bob.show_early(ringing)
        await asyncio.gather(bob.video.sees(), hall.sees(), kitchen.sees())
        await asyncio.gather(bob.audio.hears(500), hall.receives_audio(), kitchen.receives_audio())
        assert not door.has_been("CALL_ESTABLISHED")
        assert not bob.video.foreign

        if answering == "bob":
            talk = bob.take(ringing)
            answered = time.monotonic()
            await asyncio.gather(kitchen.ended(), hall.closed())
            assert time.monotonic() - answered < _AT_ONCE
            await door.established()
            await asyncio.gather(door.hears(900), bob.audio.hears(500), door.sees(), bob.video.sees())

            bob.audio.press("5")
            assert await door.digit() == "5"
            info = await talk.request("INFO", _RELAYED_DIGIT, b"Signal=7\r\nDuration=160\r\n")
            assert info.status == 200
            assert await door.digit() == "7"
            assert (await bob.message(door.uri, "open")).status == 200
            assert await door.gets_text() == (bob.uri, "open")
            assert (await talk.bye()).status == 200
        else:
            answered = time.monotonic()
            await kitchen.answer()
            cancel, _ = await asyncio.gather(bob.incoming("CANCEL"), hall.closed())
            assert time.monotonic() - answered < _AT_ONCE
            assert cancel.request.get(b"reason") == _ELSEWHERE
            ringing.answer(487)
            await asyncio.gather(door.established(), kitchen.established())
            await kitchen.talk()
            await door.hears(600)
            await door.command("hangup")
            await kitchen.ended()
        await street.is_quiet(before)


async def test_everyone_sees_the_door_over_srtp(street: Street, place: Path) -> None:
    house, far = street.house, street.far
    door = Baresip(house, place, "door", "tls", tone=500, video=True, account=f"{_H264};mediaenc=srtp-mand")
    # It deciphers nothing before it has answered, and tells of nothing.
    hall = Baresip(house, place, "screen", "tls", tone=700, video=True, account=f"{_EARLY};mediaenc=srtp-mand")
    kitchen = Linphone(house, place, "screen", "tls", tone=600, video=True, encryption="srtp")
    bob = Linphone(far, place, "bob", "tls", tone=900, video=True, encryption="srtp", domain=_FAR)
    async with door, hall, bob, kitchen:
        before = street.ports()
        await door.dial(_EVERYONE)
        await asyncio.gather(kitchen.incoming(), bob.incoming())
        await asyncio.gather(kitchen.sees(), bob.sees(), kitchen.receives_audio(), bob.receives_audio())
        assert not door.has_been("CALL_ESTABLISHED")
        await bob.answer()
        await asyncio.gather(door.established(), bob.established(), kitchen.ended(), hall.closed())
        await door.command("hangup")
        await asyncio.gather(bob.ended(), door.closed())
        await street.is_quiet(before)

        # The door's baresip 1.0 deciphers with the key of the first answer it sees for as long as the call lasts: it
        # makes its context for receiving once (3.12 began to make it anew when the key changes). So it is without a
        # relay, too, and no proxy can help but by deciphering itself. Where one is called the door hears him.
        await door.dial(bob.uri)
        await bob.incoming()
        await bob.answer()
        await asyncio.gather(door.established(), bob.established())
        await bob.command("incall-player-start", f"{bob.directory}/tone.wav")
        await door.hears(900)
        await door.command("hangup")
        await bob.ended()
        await street.is_quiet(before)


async def test_a_screen_sees_the_door_over_dtls(street: Street, place: Path) -> None:
    # The keys of DTLS are agreed on by two: of several screens one only would see the door before it answers.
    house = street.house
    door = Baresip(house, place, "door", "tls", tone=500, video=True, account=f"{_H264};mediaenc=dtls_srtp")
    kitchen = Linphone(house, place, "screen", "tls", tone=600, video=True, encryption="dtls")
    async with door, kitchen:
        before = street.ports()
        await door.dial(_EVERYONE)
        await kitchen.incoming()
        await asyncio.gather(kitchen.sees(), kitchen.receives_audio())
        assert not door.has_been("CALL_ESTABLISHED")
        await kitchen.answer()
        await asyncio.gather(door.established(), kitchen.established())
        await kitchen.talk()
        await door.hears(600)
        await door.command("hangup")
        await kitchen.ended()
        await street.is_quiet(before)
