"""Who sends a message in drops, so that something always comes and nothing is ever complete (slow-loris)."""

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from .conftest import OPTIONS, StartServer, eof

_PAUSE = 0.02
_DEADLINE = 0.2


async def drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(OSError):
        for index in range(len(data)):
            writer.write(data[index : index + 1])
            await writer.drain()
            await asyncio.sleep(_PAUSE)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="a header"),
        pytest.param(OPTIONS.replace(b"Length: 0", b"Length: 400"), id="a body"),
        pytest.param(b"\r\n\r\n", id="a header after a ping"),
    ],
)
async def test_a_message_in_drops_over_tcp_has_a_deadline(start: StartServer, first: bytes) -> None:
    server = await start("sip:127.0.0.1:0;transport=tcp", message_timeout=_DEADLINE)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())
    writer.write(OPTIONS + first)
    dripping = asyncio.create_task(drip(writer, b"OPTIONS sip:a@b SIP/2.0\r\nX: " + b"y" * 300))

    await eof(reader)

    assert server.transports.counters.slow_messages == 1
    dripping.cancel()
    writer.close()


@pytest.mark.parametrize("pings", [False, True], ids=["fragments", "fragments and pings"])
async def test_a_message_in_fragments_without_end_has_a_deadline(start: StartServer, pings: bool) -> None:
    server = await start("sip:127.0.0.1:0;transport=ws", message_timeout=_DEADLINE)
    client = await connect(
        f"ws://127.0.0.1:{server.port()}/", subprotocols=[Subprotocol("sip")], compression=None, ping_interval=None
    )
    await client.send(OPTIONS)

    async def fragments() -> None:
        async def parts():  # type: ignore[no-untyped-def]
            for _ in range(150):
                yield b"x"
                await asyncio.sleep(_PAUSE)
                if pings:
                    await client.ping()

        with contextlib.suppress(ConnectionClosed):
            await client.send(parts())

    await asyncio.wait_for(fragments(), 5)

    assert server.transports.counters.slow_messages == 1
    await client.close()
