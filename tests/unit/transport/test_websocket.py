"""WebSocket flows, against the sans-IO client of the `websockets` package."""

import asyncio
import ssl
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from .certificates import Authority
from .conftest import OK, OPTIONS, Server, StartServer, eof, until

WS = "sip:127.0.0.1:0;transport=ws"
SIP = [Subprotocol("sip")]


async def dial(server: Server, path: str = "/") -> ClientConnection:
    return await connect(f"ws://127.0.0.1:{server.port()}{path}", subprotocols=SIP, compression=None)


async def test_one_message_per_frame(start: StartServer) -> None:
    server = await start(WS)
    client = await dial(server, "/any/path?x=1")
    assert client.subprotocol == "sip"

    await client.send(OPTIONS.decode())
    data, flow = await server.received()
    await client.send(OPTIONS)
    assert (await server.received())[0] == data == OPTIONS

    assert flow.transport == b"WS"
    assert flow.via_prefix.startswith(b"Via: SIP/2.0/WS 127.0.0.1:")
    assert flow.record_route_uri.endswith(b";transport=ws;lr")
    assert flow.send(OK)
    assert await client.recv() == OK.decode()
    assert flow.send(OK + b"\xff")  # not UTF-8: a text frame would kill a browser's connection
    assert await client.recv() == OK + b"\xff"
    await client.close()


async def test_fragments_pings_and_keepalives(start: StartServer) -> None:
    server = await start(WS, keepalive_interval=0.05)
    client = await dial(server)

    await client.send(iter([OPTIONS[:10].decode(), OPTIONS[10:50].decode(), OPTIONS[50:].decode()]))
    assert (await server.received())[0] == OPTIONS
    await asyncio.wait_for(await client.ping(), 5)
    await client.send("\r\n\r\n")
    assert await client.recv() == "\r\n"
    await until(lambda: server.transports.counters.pongs_in)
    await client.close()


async def test_close_from_either_side(start: StartServer) -> None:
    server = await start(WS)
    for closes in ("client", "server"):
        client = await dial(server)
        await client.send(OPTIONS.decode())
        _, flow = await server.received()
        gone = asyncio.Event()
        flow.add_close_listener(lambda _, gone=gone: gone.set())  # type: ignore[misc]
        if closes == "client":
            await client.close()
        else:
            flow.close()
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1001
        await asyncio.wait_for(gone.wait(), 5)
        assert not flow.send(OK)


async def test_too_long_a_message_closes(start: StartServer) -> None:
    server = await start(WS, max_message_size=1000)
    client = await dial(server)

    await client.send("x" * 1001)

    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert client.close_code == 1009
    assert server.transports.counters.framing_errors == 1


@pytest.mark.parametrize("garbage", [b"OPTIONS sip:a SIP/2.0\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n"])
async def test_what_is_not_http_gets_a_400(start: StartServer, garbage: bytes) -> None:
    server = await start(WS)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())

    writer.write(garbage)

    assert (await eof(reader)).startswith(b"HTTP/1.1 400 ")
    assert server.transports.counters.websocket_handshake_failures == 1
    writer.close()


async def test_plain_http_and_a_missing_subprotocol_are_refused(start: StartServer) -> None:
    server = await start(WS)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await eof(reader)).startswith(b"HTTP/1.1 426 ")
    writer.close()

    with pytest.raises(InvalidStatus):
        await connect(f"ws://127.0.0.1:{server.port()}")


async def test_a_handshake_that_never_ends_has_a_deadline(start: StartServer) -> None:
    server = await start(WS, handshake_timeout=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())
    writer.write(b"GET / HTTP/1.1\r\nHost:")

    assert await eof(reader) == b""
    assert server.transports.counters.handshake_timeouts == 1
    writer.close()


async def test_over_tls(start: StartServer, authority: Authority, server_pem: Path) -> None:
    server = await start("sips:127.0.0.1:0;transport=wss", tls_certificates_file=str(server_pem))
    context = ssl.create_default_context(cafile=str(authority.pem))
    uri = f"wss://localhost:{server.port()}"
    client = await connect(uri, subprotocols=SIP, ssl=context, host="127.0.0.1")

    await client.send(OPTIONS.decode())
    _, flow = await server.received()

    assert flow.secure
    assert flow.record_route_uri == b"sip:127.0.0.1:%d;transport=wss;lr" % server.port()
    flow.send(OK)
    assert await client.recv() == OK.decode()
    await client.close()
