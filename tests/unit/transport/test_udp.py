"""UDP flows on loopback sockets."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from flexipy.transport import stun
from flexipy.transport.flow import Flow
from flexipy.transport.resolver import Resolver, Target
from flexipy.transport.specs import parse_transport
from flexipy.transport.transports import TransportOptions, Transports

from .conftest import OK, OPTIONS, StartServer

REQUEST = bytes.fromhex("000100002112a442") + b"transaction!"


@pytest.fixture(params=["127.0.0.1", "::1"])
def client(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((request.param, 0))
        sock.setblocking(False)
        yield sock


def uri(client: socket.socket) -> str:
    ip = client.getsockname()[0]
    return f"sip:[{ip}]:0;transport=udp" if ":" in ip else f"sip:{ip}:0;transport=udp"


async def receive(client: socket.socket) -> bytes:
    async with asyncio.timeout(5):
        return await asyncio.get_running_loop().sock_recv(client, 65535)


async def test_receives_and_answers(start: StartServer, client: socket.socket) -> None:
    server = await start(uri(client))
    ip = client.getsockname()[0]

    client.sendto(OPTIONS, (ip, server.port()))
    data, flow = await server.received()

    assert data == OPTIONS
    assert flow.remote == client.getsockname()[:2]
    assert flow.local == (ip, server.port())
    host = f"[{ip}]" if ":" in ip else ip
    assert flow.via_prefix == f"Via: SIP/2.0/UDP {host}:{server.port()};rport;branch=".encode()
    assert flow.record_route_uri == f"sip:{host}:{server.port()};lr".encode()
    assert not flow.reliable
    assert not flow.secure
    assert flow.send(OK)
    assert await receive(client) == OK
    assert server.transports.flow_by_id(flow.id) is flow


async def test_one_flow_per_remote(start: StartServer, client: socket.socket) -> None:
    server = await start(uri(client))
    ip, port = client.getsockname()[:2]

    client.sendto(OPTIONS, (ip, server.port()))
    client.sendto(OPTIONS, (ip, server.port()))
    (_, first), (_, second) = await server.received(), await server.received()

    assert first is second
    assert server.transports.flow_for(Target(b"UDP", ip, port)) is first
    connected = await server.transports.connect(Target(b"UDP", ip, port))
    assert connected is first


async def test_keepalives_and_noise_go_no_further(start: StartServer, client: socket.socket) -> None:
    server = await start(uri(client))
    address = (client.getsockname()[0], server.port())

    for datagram in (
        b"",
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"\r\n",
        b"\x02junk",
        b"\x00\x01short",
        b"\r\n" + OPTIONS,
    ):
        client.sendto(datagram, address)
    data, _ = await server.received()

    assert data == OPTIONS
    assert server.transports.counters.messages_in == 1
    assert server.transports.counters.keepalives_in == 4
    assert server.transports.counters.datagrams_dropped == 2


async def test_stun_binding_request_is_answered(start: StartServer, client: socket.socket) -> None:
    server = await start(uri(client))

    client.sendto(REQUEST, (client.getsockname()[0], server.port()))
    answer = await receive(client)

    assert answer == stun.answer(REQUEST, client.getsockname()[:2])
    assert answer[:2] == b"\x01\x01"
    assert answer[8:20] == b"transaction!"


def test_stun_addresses_are_mixed_with_the_cookie() -> None:
    # RFC 5769 section 2.2: 192.0.2.1:32853 with this transaction
    request = bytes.fromhex("000100002112a442b7e7a701bc34d686fa87dfae")
    response = stun.answer(request, ("192.0.2.1", 32853))
    assert response is not None
    assert response.endswith(bytes.fromhex("002000080001a147e112a643"))

    response = stun.answer(request, ("2001:db8:1234:5678:11:2233:4455:6677", 32853))
    assert response is not None
    assert response.endswith(bytes.fromhex("002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"))


def test_stun_refuses_what_it_does_not_know() -> None:
    unknown = bytes.fromhex("000100042112a442") + b"transaction!" + bytes.fromhex("7fff0000")
    response = stun.answer(unknown, ("1.2.3.4", 5))
    assert response is not None
    assert response[:2] == b"\x01\x11"
    assert stun.answer(b"\x00\x11" + REQUEST[2:], ("1.2.3.4", 5)) is None
    assert not stun.is_stun(REQUEST[:19])
    assert not stun.is_stun(b"\x00\x01\x00\x00OPTIONS sip:x SIP")


async def test_a_failing_handler_does_not_stop_the_others(
    client: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    def on_message(data: bytes, flow: Flow, now: float) -> None:
        if data == b"bad":
            raise RuntimeError("handler")
        arrived.put_nowait(data)

    transports = Transports(parse_transport(uri(client)), TransportOptions(), on_message, Resolver())
    await transports.start()
    for datagram in (b"bad", b"good"):
        client.sendto(datagram, transports.listeners[0].local)

    async with asyncio.timeout(5):
        assert await arrived.get() == b"good"
    assert transports.counters.handler_errors == 1
    await transports.close()


async def test_many_datagrams_in_one_go(start: StartServer, client: socket.socket) -> None:
    server = await start(uri(client))
    address = (client.getsockname()[0], server.port())

    for i in range(200):
        client.sendto(b"M%d" % i, address)

    assert [(await server.received())[0] for _ in range(200)] == [b"M%d" % i for i in range(200)]


async def test_an_unreachable_port_harms_nobody(start: StartServer, client: socket.socket) -> None:
    server = await start(uri(client))
    ip = client.getsockname()[0]
    dead = server.transports.flow_for(Target(b"UDP", ip, 1))
    assert dead is not None

    for _ in range(5):
        dead.send(OPTIONS)
    client.sendto(OPTIONS, (ip, server.port()))

    assert (await server.received())[0] == OPTIONS


async def test_send_to_an_impossible_address_returns_false(start: StartServer) -> None:
    server = await start("sip:127.0.0.1:0;transport=udp")
    flow = server.transports.flow_for(Target(b"UDP", "8.8.8.8", 5060))
    assert flow is not None
    assert not flow.send(OPTIONS)  # EINVAL: from loopback to the world
    assert not flow.send(b"x" * 70000)
    assert server.transports.counters.socket_errors == 2


async def test_the_flow_cache_is_bounded(start: StartServer) -> None:
    server = await start("sip:127.0.0.1:0;transport=udp", udp_flow_limit=10)
    flows = [server.transports.flow_for(Target(b"UDP", "127.0.0.1", port)) for port in range(1000, 1011)]

    assert server.transports.flow_by_id(flows[0].id) is None  # type: ignore[union-attr]
    assert server.transports.flow_by_id(flows[-1].id) is flows[-1]  # type: ignore[union-attr]
    assert flows[0].send(OPTIONS)  # type: ignore[union-attr]


async def test_what_the_kernel_does_not_take_is_queued_and_sent_later(start: StartServer) -> None:
    server = await start("sip:127.0.0.1:0;transport=udp", udp_backlog_limit=3000)
    flow = server.transports.flow_for(Target(b"UDP", "127.0.0.1", 9))
    assert flow is not None
    udp = server.transports._udp[server.transports.listeners[0]]
    sent: list[bytes] = []
    full = [True]

    def sendto(data: bytes, address: object) -> int:
        if full[0]:
            raise BlockingIOError
        sent.append(data)
        return len(data)

    udp._sendto = sendto
    assert [flow.send(b"%d" % i * 1000) for i in range(4)] == [True, True, True, False]
    assert server.transports.counters.queue_full == 1
    full[0] = False
    assert not flow.send(b"last" * 1000)  # behind the queue, not before it
    await server.transports.close()

    assert [data[:1] for data in sent] == [b"0", b"1", b"2"]
    assert not flow.send(b"x")
    assert flow.closed


async def test_wildcard_names_the_address_toward_the_remote(start: StartServer) -> None:
    server = await start("sip:*:0;transport=udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(OPTIONS, ("127.0.0.1", server.port()))
        _, flow = await server.received()

    assert flow.local == ("127.0.0.1", server.port())
    assert f"127.0.0.1:{server.port()}".encode() in flow.via_prefix


async def test_uris_may_write_ipv6_addresses_in_many_ways(start: StartServer) -> None:
    server = await start("sip:[::1]:0;transport=udp")
    target = Target(b"UDP", "0:0:0:0:0:0:0:1", 5060)

    flow = server.transports.flow_for(target)

    assert flow is not None
    assert flow.remote_host_port == b"[::1]:5060"
    assert server.transports.flow_for(Target(b"UDP", "::1", 5060)) is flow


async def test_answers_wait_until_others_know_what_they_tell(start: StartServer, client: socket.socket) -> None:
    server = await start(uri(client))
    events: list[str] = []

    class Batch:
        def hold(self) -> None:
            events.append("hold")

        def settle(self) -> None:
            with contextlib.suppress(BlockingIOError):
                events.append(client.recv(65535).decode())
            events.append("settle")

    def answer(data: bytes, flow: Flow, now: float) -> None:
        events.append("dealt with")
        assert flow.send(OK)
        assert flow.send(OPTIONS)

    server.transports._context.on_message = answer
    server.transports._context.batch = Batch()
    client.sendto(OPTIONS, (client.getsockname()[0], server.port()))

    assert await receive(client) == OK
    assert events == ["hold", "dealt with", OPTIONS.decode(), "settle"]
