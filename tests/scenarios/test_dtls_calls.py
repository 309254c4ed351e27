"""A call with keys by DTLS (RFC 5763) that rings several devices, over TLS: whoever answers, both hear each other.

None of the callers here agrees on keys twice in a call, and linphone trusts the first fingerprint that it is shown for
good. So the relay holds back the handshakes, and the early descriptions, until one device has answered.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.events import until
from tests.harness.linphonec import Linphonec
from tests.harness.server import DOMAIN, Server

_EVERYONE = f"sip:screen@{DOMAIN}"
_DTLS = "mediaenc=dtls_srtp"


def all_described_themselves(server: Server) -> bool:
    calls = json.loads(server.cli("RELAY_LIST"))["calls"]
    return bool(calls) and len(calls[0]["answered"]) == 3


def devices(server: Server) -> int:
    answer = server.cli(f"REGISTRAR_GET {_EVERYONE}")
    return len(json.loads(answer)["contacts"]) if answer.startswith("{") else 0


@pytest.mark.parametrize("answering", ["hall", "kitchen", "attic"])
@pytest.mark.parametrize("calling", ["baresip", "linphone"])
async def test_whoever_answers_talks_with_the_door(server: Server, place: Path, calling: str, answering: str) -> None:
    door: Baresip | Linphonec = Linphonec(server, place, "door", "tls", 500, "dtls")
    if calling == "baresip":
        door = Baresip(server, place, "door", "tls", tone=500, account=_DTLS)
    hall = Linphonec(server, place, "screen", "tls", 700, "dtls", early=True)
    kitchen = Baresip(server, place, "screen", "tls", tone=600, account=f"{_DTLS};answermode=early")
    attic = Linphonec(server, place, "screen", "tls", 900, "dtls", early=True)
    async with door, hall, kitchen, attic:
        await until(lambda: devices(server) == 3, "all are registered")
        before = server.udp_ports
        await door.dial(_EVERYONE)
        await until(partial(all_described_themselves, server), "all ring and describe their media")
        winner = {"hall": hall, "kitchen": kitchen, "attic": attic}[answering]
        await winner.answer()
        await asyncio.gather(door.established(), winner.established())
        await asyncio.gather(door.hears(winner.tone), winner.hears(door.tone))
        await door.hang_up()
        await until(lambda: server.udp_ports == before, "every port is given back")
