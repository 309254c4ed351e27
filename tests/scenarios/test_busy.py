"""Somebody is busy, or does not want to talk."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import Server
from tests.harness.sip_phone import SipPhone


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_baresip_rejects_a_call(server: Server, place: Path, transport: str) -> None:
    async with Baresip(server, place, "alice") as alice, Baresip(server, place, "bob", transport) as bob:
        await alice.dial(bob.uri)
        await bob.incoming()
        await bob.command("hangup")
        assert "486" in await alice.closed()


async def test_linphone_declines_a_call(server: Server, place: Path) -> None:
    async with Baresip(server, place, "alice", "tcp") as alice, Linphone(server, place, "bob", "tls") as bob:
        await alice.dial(bob.uri)
        await bob.incoming()
        await bob.command("terminate")
        assert "603" in await alice.closed()


async def test_a_phone_in_a_call_is_busy_for_a_third(server: Server, place: Path) -> None:
    alice = Baresip(server, place, "alice")
    bob = Baresip(server, place, "bob", "tls", account="answermode=auto", max_calls=1)
    async with alice, bob, SipPhone(server, "carol") as carol:
        await alice.dial(bob.uri)
        await asyncio.gather(alice.established(), bob.established())
        call = await carol.invite(bob.uri)
        assert (await call.final()).status == 486
        assert not alice.has_been("CALL_CLOSED")


async def test_the_words_of_a_refusal_reach_the_caller(server: Server) -> None:
    async with SipPhone(server, "carol", "tls") as carol, SipPhone(server, "dave") as dave:
        await dave.register()
        call = await carol.invite(dave.uri)
        headers = (("Retry-After", "120"), ("Warning", '399 dave "in the bath"'))
        (await dave.incoming("INVITE")).answer(486, headers)
        refused = await call.final()
        assert refused.status == 486
        assert refused.get(b"retry-after") == b"120"
        assert refused.get(b"warning") == b'399 dave "in the bath"'
