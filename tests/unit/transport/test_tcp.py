"""TCP flows: framing on a live connection, reuse, limits and time-outs."""

import asyncio
import socket

import pytest

from flexipy.transport.errors import FlowError, TransportError
from flexipy.transport.flow import Flow
from flexipy.transport.resolver import Target
from flexipy.transport.stream import StreamFlow

from .conftest import OK, OPTIONS, StartServer, eof, exactly, until

TCP = "sip:127.0.0.1:0;transport=tcp"


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
async def test_receives_and_answers(start: StartServer, ip: str) -> None:
    host = f"[{ip}]" if ":" in ip else ip
    server = await start(f"sip:{host}:0;transport=tcp")
    reader, writer = await asyncio.open_connection(ip, server.port())

    writer.write(OPTIONS + OPTIONS)
    (data, flow), (again, same) = await server.received(), await server.received()

    assert data == again == OPTIONS
    assert flow is same
    assert flow.remote == writer.get_extra_info("sockname")[:2]
    assert flow.reliable
    assert flow.via_prefix == f"Via: SIP/2.0/TCP {host}:{server.port()};rport;branch=".encode()
    assert flow.record_route_uri == f"sip:{host}:{server.port()};transport=tcp;lr".encode()
    assert flow.send(OK)
    await exactly(reader, OK)
    writer.close()


async def test_byte_by_byte_and_ping(start: StartServer) -> None:
    server = await start(TCP)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    for i in range(len(OPTIONS)):
        writer.write(OPTIONS[i : i + 1])
        await writer.drain()
    assert (await server.received())[0] == OPTIONS

    writer.write(b"\r\n\r\n")
    await exactly(reader, b"\r\n")
    assert server.transports.counters.keepalives_in == 1
    writer.close()


async def test_the_peers_own_connection_is_reused(start: StartServer) -> None:
    server = await start(TCP)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port())
    writer.write(OPTIONS)
    _, flow = await server.received()

    target = Target(b"TCP", *flow.remote)
    assert server.transports.flow_for(target) is flow
    reused = await server.transports.connect(target)
    assert reused is flow
    gone: asyncio.Future[Flow] = asyncio.get_running_loop().create_future()
    flow.add_close_listener(gone.set_result)
    writer.close()

    assert await asyncio.wait_for(gone, 5) is flow
    assert flow.closed
    assert not flow.send(OK)
    assert server.transports.flow_for(target) is None
    assert server.transports.flow_by_id(flow.id) is None
    late: list[Flow] = []
    flow.add_close_listener(late.append)
    assert late == [flow]


async def test_connecting_twice_at_once_opens_one_connection(start: StartServer) -> None:
    one, two = await start(TCP), await start("sip:127.0.0.1:0")
    target = Target(b"TCP", "127.0.0.1", one.port())

    cancelled = two.transports.connect(target)
    waiting = [two.transports.connect(target) for _ in range(3)]
    cancelled.cancel()
    flows = await asyncio.gather(*waiting)

    assert len({flow.id for flow in flows}) == 1
    assert two.transports.counters.connections_out == 1
    assert two.transports.flow_for(target) is flows[0]
    # what we advertise is where we listen, not the port of this connection
    assert flows[0].via_prefix == b"Via: SIP/2.0/TCP 127.0.0.1:%d;rport;branch=" % two.port(1)
    flows[0].send(OPTIONS)
    data, incoming = await one.received()
    assert data == OPTIONS
    assert incoming.remote == flows[0].local


async def test_refused_connection_is_a_flow_error(start: StartServer) -> None:
    server = await start(TCP)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(FlowError, match="no connection to tcp"):
            await server.transports.connect(Target(b"TCP", "127.0.0.1", port))
    assert server.transports.counters.connect_failures == 1


async def test_connect_has_a_deadline(start: StartServer) -> None:
    server = await start(TCP, connect_timeout=0.05)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.socket() as first, socket.socket() as second:
            for sock in (first, second):
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            with pytest.raises(FlowError):
                await server.transports.connect(Target(b"TCP", *full.getsockname()))


async def test_websockets_are_never_opened(start: StartServer) -> None:
    server = await start(TCP)
    with pytest.raises(FlowError):
        await server.transports.connect(Target(b"WS", "127.0.0.1", server.port()))


async def test_broken_framing_is_answered_and_closed(start: StartServer) -> None:
    server = await start(TCP)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())

    writer.write(OPTIONS.replace(b"Content-Length: 0", b"Content-Length: x"))

    assert (await eof(reader)).startswith(b"SIP/2.0 400 Bad Request\r\n")
    assert server.transports.counters.framing_errors == 1
    writer.close()


async def test_tls_on_a_tcp_port_is_closed_without_an_answer(start: StartServer) -> None:
    server = await start(TCP)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())

    writer.write(b"\x16\x03\x01\x00\xa5\x01")

    assert await eof(reader) == b""
    writer.close()


async def test_limit_of_all_connections(start: StartServer) -> None:
    server = await start(TCP, max_connections=2, handshake_timeout=30)
    connections = [await asyncio.open_connection("127.0.0.1", server.port()) for _ in range(3)]

    assert await eof(connections[2][0]) == b""
    assert server.transports.counters.connections_refused == 1
    for _, writer in connections[:2]:
        writer.write(OPTIONS)
    (_, flow), _ = await server.received(), await server.received()
    gone = asyncio.Event()
    flow.add_close_listener(lambda _: gone.set())
    flow.close()
    await gone.wait()
    await until(lambda: server.transports._table.admitted == 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())
    writer.write(OPTIONS)
    assert (await server.received())[0] == OPTIONS
    for _, each in [*connections, (reader, writer)]:
        each.close()


async def test_limit_per_address(start: StartServer) -> None:
    server = await start(TCP, max_connections_per_ip=1)
    _, first = await asyncio.open_connection("127.0.0.1", server.port())
    reader, second = await asyncio.open_connection("127.0.0.1", server.port())
    _, other = await asyncio.open_connection("127.0.0.1", server.port(), local_addr=("127.0.0.2", 0))

    assert await eof(reader) == b""
    other.write(OPTIONS)
    assert (await server.received())[1].remote[0] == "127.0.0.2"
    for writer in (first, second, other):
        writer.close()


async def test_silent_connections_are_closed(start: StartServer) -> None:
    server = await start(TCP, handshake_timeout=0.1)
    silent, a = await asyncio.open_connection("127.0.0.1", server.port())
    pinging, b = await asyncio.open_connection("127.0.0.1", server.port())
    b.write(b"\r\n\r\n")

    assert await eof(silent) == b""
    assert await eof(pinging) == b"\r\n"
    assert server.transports.counters.handshake_timeouts == 2
    a.close()
    b.close()


async def test_half_a_message_has_a_deadline(start: StartServer) -> None:
    server = await start(TCP, message_timeout=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())

    writer.write(OPTIONS + OPTIONS[:-1])

    assert await eof(reader) == b""
    assert server.transports.counters.slow_messages == 1
    writer.close()


async def test_idle_connections_are_closed(start: StartServer) -> None:
    server = await start(TCP, idle_timeout=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())

    writer.write(OPTIONS)

    assert await eof(reader) == b""
    assert server.transports.counters.idle_closed == 1
    writer.close()


async def test_keepalives_are_sent_and_answered(start: StartServer) -> None:
    one = await start(TCP, keepalive_interval=0.05)
    two = await start(TCP)
    flow = await two.transports.connect(Target(b"TCP", "127.0.0.1", one.port()))
    flow.send(OPTIONS)
    _, incoming = await one.received()

    await until(lambda: one.transports.counters.pongs_in >= 2)

    assert two.transports.counters.keepalives_in >= 2
    assert not incoming.closed


async def test_a_peer_that_does_not_read_is_given_up(start: StartServer) -> None:
    server = await start(TCP, send_queue_limit=100_000, send_timeout=0.2)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port(), limit=1)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(OPTIONS)
    _, flow = await server.received()
    gone = asyncio.Event()
    flow.add_close_listener(lambda _: gone.set())

    for _ in range(2000):
        if not flow.send(b"x" * 10_000):
            break
        await asyncio.sleep(0)

    assert server.transports.counters.queue_full == 1
    assert not flow.closed
    assert not flow._transport.is_reading()  # type: ignore[attr-defined]
    await asyncio.wait_for(gone.wait(), 5)
    assert server.transports.counters.stuck_closed == 1
    writer.transport.abort()


async def test_a_connection_on_hold_is_not_read(start: StartServer) -> None:
    server = await start(TCP, message_timeout=0.1)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port())
    writer.write(OPTIONS + OPTIONS[:-1])
    _, flow = await server.received()
    assert isinstance(flow, StreamFlow)

    flow.hold()
    writer.write(OPTIONS[-1:])
    flow.resume_writing()  # that the peer reads again is no reason to read from it
    await asyncio.sleep(0.3)  # time in which half a message would be given up
    assert server.inbox.empty()
    assert not flow.closed

    flow.release()
    assert (await server.received())[0] == OPTIONS
    writer.close()


async def test_close_sends_what_is_queued(start: StartServer) -> None:
    server = await start(TCP)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())
    writer.write(OPTIONS)
    _, flow = await server.received()
    for _ in range(80):
        assert flow.send(b"y" * 10_000)

    closing = asyncio.ensure_future(server.transports.close())

    assert len(await eof(reader)) == 800_000
    await closing
    assert not server.transports.listeners
    writer.close()


async def test_an_occupied_port_is_an_error_with_its_name(start: StartServer) -> None:
    server = await start(TCP)
    with pytest.raises(TransportError, match=r"cannot listen on sip:127\.0\.0\.1"):
        await start(f"sip:127.0.0.1:{server.port()};transport=tcp")
    with pytest.raises(TransportError, match="maddr="):
        await start("sip:192.0.2.77:0;transport=tcp")


async def test_udp_and_tcp_share_an_ephemeral_port(start: StartServer) -> None:
    server = await start("sip:127.0.0.1:0")

    assert [at.transport for at in server.transports.listeners] == [b"UDP", b"TCP"]
    assert server.port(0) == server.port(1)
