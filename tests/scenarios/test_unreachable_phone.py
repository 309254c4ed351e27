"""A phone is registered, but the way to it is gone: the caller hears that nobody can be reached now."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness.server import Server
from tests.harness.sip_phone import SipPhone


@pytest.mark.parametrize("transport", ["tcp", "tls", "ws", "wss"])
async def test_a_phone_whose_connection_is_gone_is_unavailable(server: Server, transport: str) -> None:
    async with SipPhone(server, "carol") as carol:
        async with SipPhone(server, "dave", transport) as dave:
            await dave.register()
        call = await carol.invite(dave.uri)
        assert (await call.final()).status == 480


async def test_a_phone_with_outbound_whose_connection_is_gone_is_unavailable(server: Server) -> None:
    parameters = ';reg-id=1;+sip.instance="<urn:uuid:0b6f1f0e-8a51-4f0c-9a55-2c1d5a6f0099>"'
    async with SipPhone(server, "carol") as carol:
        async with SipPhone(server, "dave", "tcp") as dave:
            response = await dave.register(parameters=parameters, headers=(("Supported", "outbound, path"),))
            assert b"outbound" in response.require(b"require")
        call = await carol.invite(dave.uri)
        assert (await call.final()).status == 480


async def test_the_other_phone_rings_all_the_same(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as desk:
        await desk.register()
        async with SipPhone(server, "dave", "wss") as gone:
            await gone.register()
        call = await carol.invite(desk.uri)
        (await desk.incoming("INVITE")).answer(486)
        assert (await call.final()).status == 486


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
async def test_an_overloaded_phone_does_not_make_the_server_look_overloaded(server: Server, method: str) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as dave:
        await dave.register()
        asking = asyncio.create_task(carol.request(method, dave.uri))
        (await dave.incoming(method)).answer(503, (("Retry-After", "600"),))
        assert (await asking).status == 500
