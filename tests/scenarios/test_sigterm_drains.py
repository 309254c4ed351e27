"""SIGTERM: who waits for an answer may still get it, and after five seconds the server is gone whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.server import LEAVES_WITHIN, Server
from tests.harness.sip_phone import SipPhone


@pytest.fixture
def leaving(place: Path) -> Iterator[Server]:
    """A server that a test tells to leave."""
    server = Server(place / "house").start()
    yield server
    if server.program is not None:
        server.stop()


async def test_an_idle_server_leaves_at_once(leaving: Server) -> None:
    assert leaving.stop() < 1


async def test_connections_of_all_kinds_are_closed(leaving: Server) -> None:
    transports = ("tcp", "tls", "ws", "wss")
    phones = [SipPhone(leaving, "carol", transport) for transport in transports]
    for phone in phones:
        await phone.connect()
        await phone.register()
    assert await asyncio.to_thread(leaving.stop) < 1
    for phone in phones:
        async with asyncio.timeout(2):
            await phone.wire.closed.wait()
        await phone.wire.close()


async def test_a_caller_still_gets_the_answer(leaving: Server) -> None:
    async with SipPhone(leaving, "carol") as carol, SipPhone(leaving, "dave", "tls") as dave:
        await dave.register()
        call = await carol.invite(dave.uri)
        invite = await dave.incoming("INVITE")
        invite.answer(180)
        await call.response(180)
        stopping = asyncio.create_task(asyncio.to_thread(leaving.stop))
        await leaving.logs("leaving")
        invite.answer(200)
        assert (await call.final()).status == 200
        assert await stopping < LEAVES_WITHIN


async def test_a_phone_that_rings_on_does_not_keep_the_server(leaving: Server) -> None:
    async with SipPhone(leaving, "carol") as carol, SipPhone(leaving, "dave") as dave:
        await dave.register()
        call = await carol.invite(dave.uri)
        (await dave.incoming("INVITE")).answer(180)
        await call.response(180)
        assert await asyncio.to_thread(leaving.stop) < LEAVES_WITHIN


async def test_a_connection_that_says_nothing_does_not_keep_the_server(leaving: Server) -> None:
    mute = [await asyncio.open_connection("127.0.0.1", leaving.port(kind)) for kind in ("tcp", "tls", "ws", "wss")]
    assert await asyncio.to_thread(leaving.stop) < LEAVES_WITHIN
    for _, writer in mute:
        writer.close()
