"""Thousands of relayed calls that end in every way there is, and programs that crash: nothing of them stays behind.

Each round a callee listens and a caller makes some calls, both SIPp. How each call ends is drawn by lot; in every
other round one of the two is killed at a random moment, with calls that ring and calls that talk. `RELAYED_CALLS` says
how many calls there are, `RELAYED_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.events import until
from tests.harness.rtp_phone import RtpPhone
from tests.harness.server import DOMAIN, Server
from tests.harness.sipp import Sipp, write_sound

_CALLS = int(os.environ.get("RELAYED_CALLS", "200"))
_SEED = int(os.environ.get("RELAYED_SEED", "0")) or random.randrange(1, 1 << 31)
_EACH_ROUND = 40
_RATE = 60  # calls a second
_ENDS = ("answered", "hungup", "cancelled", "declined", "left", "vanished")
_FORGOTTEN = 60.0  # seconds, at most, until nothing is kept of a transaction
_MANY = 5000
_PARTS = 5 if _CALLS >= _MANY else 2  # after the first of them everything that is kept for later calls is there
# KiB. What is kept for a while (nonces, dialogs that nobody hung up, answers) has its limits; of few calls the
# allocator's habits weigh more.
_GROWTH = 5_000 if _CALLS >= _MANY else 12_000


@pytest.fixture
def relay(place: Path) -> Iterator[Server]:
    """A server that gives up a call after some seconds without a packet, and hangs up for those who can't."""
    settings = {
        # What waits for somebody who crashed shall not wait for minutes.
        "global": {"log-level": "message", "transaction-timeout": "4000"},
        "module::Router": {"call-fork-timeout": "5"},
        # Its ports are none of those that the clients choose.
        "module::MediaRelay": {
            "inactivity-period": "2",
            "bye-orphan-dialogs": "true",
            "sdp-port-range": "4000-15999",
        },
        "module::DoSProtection": {"enabled": "false"},
        # The nonce of each call is kept for as long as it could be used again.
        "module::Authentication": {"nonce-expires": "20"},
    }
    server = Server(place / "house", settings, [("udp", "127.0.0.1")])
    yield server.start()
    server.stop()


def counter(server: Server, name: str) -> int:
    """A figure of the server."""
    return int(json.loads(server.cli("COUNTERS")).get(name, 0))


class Soak:
    """Rounds of calls, drawn by lot."""

    def __init__(self, server: Server, place: Path) -> None:
        self.server = server
        self.place = place
        self.chance = random.Random(_SEED)
        self.crashes = 0
        self.rounds = 0
        self._callee: Sipp | None = None
        self._port = 0
        write_sound(place / "sound.al")

    async def calls(self, number: int) -> None:
        """Make at least so many calls, all of them relayed."""
        wanted = counter(self.server, "relayed_calls") + number
        while counter(self.server, "relayed_calls") < wanted:
            await self._round()

    async def _round(self) -> None:
        self.rounds += 1
        callee = await self._listening()
        ends = [self.chance.choice(_ENDS) for _ in range(_EACH_ROUND)]
        caller = self._caller(ends)
        if self.rounds % 2:
            await caller.all_good()
            return
        # Any moment from the first INVITE to the last: some calls ring then, some talk, some are not yet made.
        await asyncio.sleep(self.chance.uniform(0.1, _EACH_ROUND / _RATE + 0.5))
        self.crashes += 1
        if self.chance.random() < 0.5:
            self._callee = None
            await callee.crash()
        await caller.crash()

    def _caller(self, ends: list[str]) -> Sipp:
        return Sipp(
            self.place,
            "soak-caller",
            ["alice"] * len(ends),
            server=self.server,
            calls=len(ends),
            rate=_RATE,
            service="bob",
            notes=ends,
        )

    async def _listening(self) -> Sipp:
        """The callee, begun anew where it crashed, and registered."""
        if self._callee is None:
            # On the same port, or calls would ring at those that crashed, too, for as long as they are registered.
            self._callee = Sipp(self.place, "soak-callee", calls=1_000_000, port=self._port, patience=100_000)
            self._port = self._callee.port
            arguments = {"server": self.server, "contact_port": self._callee.port}
            async with asyncio.timeout(30):
                await Sipp(self.place, "register", ["bob"], **arguments).all_good()
        return self._callee

    async def end(self) -> None:
        """Leave nothing running."""
        if self._callee is not None:
            await self._callee.crash()
            self._callee = None


async def settled(server: Server, ports: int) -> None:
    """Wait until nothing is relayed, every port is given back, and no transaction lives."""
    await until(lambda: bool(json.loads(server.cli("RELAY_LIST")) == {"calls": []}), "no call is relayed")
    await until(lambda: server.udp_ports == ports, f"{ports} ports open")
    alive = ("server_transactions", "client_transactions")
    await until(lambda: not any(counter(server, name) for name in alive), "no transaction lives", _FORGOTTEN)


@pytest.mark.timeout(300 + _CALLS // 4)
async def test_calls_that_end_in_every_way_leave_nothing_behind(
    relay: Server, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soak = Soak(relay, place)
    ports, begun = relay.udp_ports, time.monotonic()
    memory, descriptors = [relay.memory], []
    try:
        for _ in range(_PARTS):
            await soak.calls(_CALLS // _PARTS)
            await settled(relay, ports)
            memory.append(relay.memory)
            descriptors.append(relay.descriptors)
    finally:
        await soak.end()
        with capsys.disabled():
            print(f"\nseed {_SEED}: {counter(relay, 'relayed_calls')} calls in {soak.rounds} rounds", end=", ")
            print(f"{soak.crashes} crashes, {counter(relay, 'relay_inactive_calls')} calls given up", end=", ")
            print(f"{counter(relay, 'relay_packets')} media packets, {time.monotonic() - begun:.0f} s")
            print(f"memory at the start and after each part {memory} KiB, descriptors {descriptors}")
    relay.check_log()
    assert soak.crashes
    assert counter(relay, "relay_inactive_calls")
    assert set(descriptors) == {descriptors[0]}
    assert memory[-1] - memory[1] < _GROWTH, f"seed {_SEED}"
    await still_relays(relay)


async def still_relays(server: Server) -> None:
    """A call with sound both ways."""
    async with RtpPhone(server, "carol", tone=500) as carol, RtpPhone(server, "dave", tone=700) as dave:
        await dave.register()
        call = await carol.call(f"sip:dave@{DOMAIN}")
        dave.take(await dave.incoming("INVITE"))
        talk = await carol.talk(call)
        await asyncio.gather(carol.audio.hears(700), dave.audio.hears(500))
        bye = asyncio.create_task(talk.bye())
        (await dave.incoming("BYE")).answer(200)
        assert (await bye).status == 200
