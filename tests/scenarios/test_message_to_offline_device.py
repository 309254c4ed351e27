"""A message is never lost: who is off gets it when the device comes back, each device once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.harness.linphone import Linphone
from tests.harness.server import DOMAIN, Server
from tests.harness.sip_phone import SipPhone

_INSTANCE = ';+sip.instance="<urn:uuid:7f0e6a52-0c1b-4d2e-8b1a-4b5ed1c0f0{:02}>"'


async def test_linphone_gets_the_message_that_was_sent_while_it_was_off(server: Server, place: Path) -> None:
    async with SipPhone(server, "carol") as carol:
        assert (await carol.message(f"sip:bob@{DOMAIN}", "the parcel is at the neighbour's")).status == 202
    async with Linphone(server, place, "bob", "tls") as bob:
        assert "the parcel is at the neighbour's" in await bob.event("message-received")


async def test_linphone_sends_and_linphone_receives(server: Server, place: Path) -> None:
    async with Linphone(server, place, "alice", "tcp") as alice, Linphone(server, place, "bob") as bob:
        await alice.message(bob.uri, "dinner is ready")
        assert "dinner is ready" in await bob.event("message-received")


async def test_messages_keep_their_order_and_their_bytes(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave", "tls") as dave:
        bodies = [bytes(range(256)), b"", "Grüße".encode()]
        for body in bodies:
            headers = (("Content-Type", "application/octet-stream"),)
            assert (await carol.request("MESSAGE", dave.uri, headers, body)).status == 202
        await dave.register()
        for body in bodies:
            incoming = await dave.incoming("MESSAGE")
            incoming.answer(200)
            assert incoming.request.body == body


async def test_each_device_gets_a_message_once(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as desk, SipPhone(server, "dave") as mobile:
        await desk.register(parameters=_INSTANCE.format(1))
        sending = asyncio.create_task(carol.message(desk.uri, "one"))
        (await desk.incoming("MESSAGE")).answer(200)
        assert (await sending).status == 200
        # A refresh brings nothing that the device has already.
        await desk.register(parameters=_INSTANCE.format(1))
        sending = asyncio.create_task(carol.message(desk.uri, "two"))
        second = await desk.incoming("MESSAGE")
        second.answer(200)
        await sending
        assert second.request.body == b"two"
        assert not mobile.has_got("MESSAGE")


async def test_a_dead_device_gets_its_message_when_it_registers_again(server: Server) -> None:
    async with SipPhone(server, "carol") as carol:
        async with SipPhone(server, "dave", "tcp") as mobile:
            await mobile.register(parameters=_INSTANCE.format(2))
        # The connection is gone, the registration still stands.
        response = await carol.message(f"sip:dave@{DOMAIN}", "are you there?")
        assert response.status == 202
        async with SipPhone(server, "dave", "tls") as mobile:
            await mobile.register(parameters=_INSTANCE.format(2))
            incoming = await mobile.incoming("MESSAGE")
            incoming.answer(200)
            assert incoming.request.body == b"are you there?"


async def test_what_is_worthless_when_late_is_not_kept(server: Server) -> None:
    async with SipPhone(server, "carol") as carol:
        headers = (("Content-Type", "application/im-iscomposing+xml"),)
        assert (await carol.request("MESSAGE", f"sip:dave@{DOMAIN}", headers, b"<isComposing/>")).status == 480


async def test_nobody_waits_for_somebody_who_does_not_exist(server: Server) -> None:
    async with SipPhone(server, "carol") as carol:
        assert (await carol.message(f"sip:nobody@{DOMAIN}", "hello?")).status == 404
