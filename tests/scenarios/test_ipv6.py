"""IPv6 phones, among themselves and with IPv4 phones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import Server
from tests.harness.sip_phone import SipPhone
from tests.harness.sipp import Sipp

IPV4, IPV6 = "127.0.0.1", "::1"


@pytest.mark.parametrize(("callers", "callees"), [("udp", "udp"), ("tcp", "tls"), ("tls", "tcp")])
async def test_baresip_talks_to_baresip(server: Server, place: Path, callers: str, callees: str) -> None:
    alice = Baresip(server, place, "alice", callers, IPV6, tone=500)
    bob = Baresip(server, place, "bob", callees, IPV6, tone=700, account="answermode=auto")
    async with alice, bob:
        await alice.dial(bob.uri)
        await asyncio.gather(alice.established(), bob.established())
        await asyncio.gather(alice.hears(700), bob.hears(500))
        await bob.command("hangup")
        await asyncio.gather(alice.closed(), bob.closed())


async def test_linphone_calls_baresip(server: Server, place: Path) -> None:
    alice, bob = Linphone(server, place, "alice", "tcp", IPV6), Baresip(server, place, "bob", "tls", IPV6)
    async with alice, bob:
        await alice.call(bob.uri)
        await bob.incoming()
        await bob.command("accept")
        await asyncio.gather(alice.established(), bob.established())
        await alice.talk()
        await bob.hears(alice.tone)
        await alice.command("terminate")
        await asyncio.gather(alice.ended(), bob.closed())


async def test_sipp_calls(server: Server, place: Path) -> None:
    callee = Sipp(place, "uas", host=IPV6, calls=20)
    try:
        await Sipp(place, "register", ["bob"], server=server, host=IPV6, contact_port=callee.port).all_good()
        await Sipp(place, "call", ["alice"], server=server, host=IPV6, service="bob", calls=20, rate=50).all_good()
    finally:
        await callee.stop()


@pytest.mark.parametrize(
    ("caller", "callee"),
    [
        (("udp", IPV4), ("udp", IPV6)),
        (("udp", IPV6), ("tls", IPV4)),
        (("wss", IPV6), ("tcp", IPV4)),
        (("tcp", IPV4), ("ws", IPV6)),
    ],
)
async def test_signalling_crosses_between_the_two(
    server: Server, caller: tuple[str, str], callee: tuple[str, str]
) -> None:
    async with SipPhone(server, "carol", *caller) as carol, SipPhone(server, "dave", *callee) as dave:
        await dave.register()
        call = await carol.invite(dave.uri)
        invite = await dave.incoming("INVITE")
        # Each side is shown the address of ours that it can reach.
        routes = [route.decode() for route in invite.request.get_all(b"record-route")]
        assert callee[1] in routes[0]
        assert caller[1] in routes[-1]
        daves = invite.answer(200)
        assert daves is not None
        carols = await carol.connected(call)
        await dave.incoming("ACK")
        for dialog, other in ((carols, dave), (daves, carol)):
            info = asyncio.create_task(dialog.request("INFO"))
            (await other.incoming("INFO")).answer(200)
            assert (await info).status == 200
        bye = asyncio.create_task(daves.bye())
        (await carol.incoming("BYE")).answer(200)
        assert (await bye).status == 200
