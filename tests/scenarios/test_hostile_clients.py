"""Clients that mean harm, or are broken: each is dealt with in seconds, and the phones of the house notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.harness.events import until
from tests.harness.server import DOMAIN, Server
from tests.harness.sip_phone import SipPhone

MANY = 10_000
LIMIT = 500
PER_ADDRESS = 300
Connect = Callable[..., Any]
GROWTH = 48 << 20  # bytes that the server may grow by under any one of these
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: house.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: sip\r\n\r\n"
)
HEAD = (
    b"OPTIONS sip:house.test SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;rport;branch=z9hG4bKh1\r\nMax-Forwards: 70\r\n"
    b"From: <sip:alice@house.test>;tag=1\r\nTo: <sip:house.test>\r\nCall-ID: hostile\r\nCSeq: 1 OPTIONS\r\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with limits that are reached soon."""
    settings = {
        "global": {"log-level": "message", "max-connections": str(LIMIT), "max-connections-per-ip": str(PER_ADDRESS)},
        "module::DoSProtection": {"enabled": "false"},
        "module::Authentication": {"enabled": "false"},
    }
    server = Server(tmp_path_factory.mktemp("besieged"), settings).start()
    yield server
    server.stop()


@pytest_asyncio.fixture(autouse=True)
async def _house_goes_on(server: Server) -> AsyncIterator[None]:
    """Before, during and after each attack a phone registers; nothing is left over or wrong in the log."""
    await registers(server)
    before = memory(server)
    yield
    await registers(server)
    await until(lambda: open_connections(server) == 0, "all connections are closed")
    server.check_log()
    assert memory(server) - before < GROWTH


async def registers(server: Server, transport: str = "udp") -> None:
    async with SipPhone(server, "alice", transport) as alice:
        assert (await alice.register()).status == 200


def memory(server: Server) -> int:
    return 1024 * server.memory


def open_connections(server: Server) -> int:
    """TCP connections that the server holds, counted by the kernel's table of its ports."""
    # An attacker's own port at another address may bear the same number.
    hosts = ("0100007F", "00000000000000000000000001000000")  # 127.0.0.1 and ::1
    ports = [port for (transport, _), port in server.ports.items() if transport != "udp"]
    ours = {f"{host}:{port:04X}" for host in hosts for port in ports}
    found = 0
    for name in ("tcp", "tcp6"):
        for line in (server.processes[0] / "net" / name).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            found += local in ours and state == "01"
    return found


def counters(server: Server) -> dict[str, int]:
    found: dict[str, int] = json.loads(server.cli("COUNTERS"))
    return found


class Attacker:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Write until the server has taken it or hung up."""
        with contextlib.suppress(OSError):
            self.writer.write(data)
            await self.writer.drain()

    async def hears(self, timeout: float = 10) -> bytes:
        """Everything until the server hangs up."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(timeout):
                return await self.reader.read(-1)
        return b""

    async def hears_until(self, end: bytes, timeout: float = 10) -> bytes:
        async with asyncio.timeout(timeout):
            return await self.reader.readuntil(end)


@pytest_asyncio.fixture
async def attack(server: Server) -> AsyncIterator[Connect]:
    """Opens raw connections; they are closed after the test."""
    made: list[Attacker] = []

    async def connect(transport: str = "tcp", tls: ssl.SSLContext | None = None) -> Attacker:
        attacker = Attacker(*await asyncio.open_connection("127.0.0.1", server.port(transport), ssl=tls))
        made.append(attacker)
        return attacker

    yield connect
    for attacker in made:
        attacker.writer.transport.abort()


# --- TCP -----------------------------------------------------------------------------------------------------


async def test_half_a_message_harms_nobody(server: Server, attack: Connect) -> None:
    attackers = [await attack() for _ in range(50)]
    for number, attacker in enumerate(attackers):
        await attacker.send((HEAD + b"Content-Length: 10\r\n\r\nabc")[: 10 + 8 * number])
    await registers(server, "tcp")
    for attacker in attackers:
        attacker.writer.close()


async def test_an_endless_header_line_is_cut_off(server: Server, attack: Connect) -> None:
    attacker = await attack()
    await attacker.send(HEAD + b"Subject: ")
    endless = asyncio.create_task(send_for_ever(attacker, b"x" * 65536))
    await attacker.hears()
    await endless
    await until(lambda: open_connections(server) == 0, "the connection is closed")


async def test_headers_without_end_are_cut_off(server: Server, attack: Connect) -> None:
    attacker = await attack()
    await attacker.send(HEAD)
    endless = asyncio.create_task(send_for_ever(attacker, b"X-Header: x\r\n" * 1000))
    await attacker.hears()
    await endless
    await until(lambda: open_connections(server) == 0, "the connection is closed")


async def test_a_message_with_very_many_headers_is_dropped_and_the_next_is_read(attack: Connect) -> None:
    attacker = await attack()
    await attacker.send(HEAD + b"X: y\r\n" * 5000 + b"Content-Length: 0\r\n\r\n")
    await attacker.send(HEAD.replace(b"z9hG4bKh1", b"z9hG4bKh2") + b"Content-Length: 0\r\n\r\n")
    assert (await attacker.hears_until(b"\r\n\r\n")).startswith(b"SIP/2.0 200 ")


async def send_for_ever(attacker: Attacker, data: bytes) -> None:
    """Write until the server has had enough; 1 GB is for ever."""
    with contextlib.suppress(OSError):
        for _ in range((1 << 30) // len(data)):
            if attacker.reader.at_eof() or attacker.writer.is_closing():
                return
            attacker.writer.write(data)
            await attacker.writer.drain()
    assert attacker.reader.at_eof() or attacker.writer.is_closing() or attacker.reader.exception()


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (b"999999999", 513),
        (b"99999999999999999999", 400),
        (b"-1", 400),
        (b"+5", 400),
        (b"0x10", 400),
        (b"5 5", 400),
        (b"", 400),
        (b"5\r\nContent-Length: 6", 400),
        (b"5\r\nl: 6", 400),
    ],
)
async def test_a_content_length_that_makes_no_sense_ends_the_connection(
    attack: Connect, length: bytes, status: int
) -> None:
    attacker = await attack()
    await attacker.send(HEAD + b"Content-Length: " + length + b"\r\n\r\n")
    assert (await attacker.hears()).startswith(b"SIP/2.0 %d " % status)


# --- many connections ----------------------------------------------------------------------------------------


async def test_the_limits_of_connections_hold_and_others_are_served(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(MANY + 500, hard)), hard))
    count = min(MANY, max(soft, min(MANY + 500, hard)) - 500)
    limit, per_address = LIMIT * server.workers, PER_ADDRESS * server.workers  # they hold for each worker by itself
    refused = counters(server)["transport_connections_refused"]
    writers: list[asyncio.StreamWriter] = []
    try:
        async with SipPhone(server, "bob", "tcp") as bob:
            assert (await bob.register()).status == 200
            for start in range(0, count, 500):
                address = f"127.0.0.{2 + start // 1000}"
                found = await asyncio.gather(*(open_idle(server, address) for _ in range(500)), return_exceptions=True)
                writers += [pair[1] for pair in found if not isinstance(pair, BaseException)]
                if start == 500:  # 1000 from the first address
                    await until(lambda: open_connections(server) <= per_address + 1, "one address has its share")
            await until(
                lambda: counters(server)["transport_connections_refused"] - refused >= len(writers) - limit,
                "those beyond the limit are refused",
            )
            # Those that the server has not looked at yet stand in the kernel's table for a moment.
            await until(lambda: open_connections(server) <= limit, "no more are open than may be")
            assert open_connections(server) > per_address
            assert (await bob.register()).status == 200
            await registers(server, "udp")
    finally:
        for writer in writers:
            writer.transport.abort()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_server_takes_all_descriptors_that_the_system_allows(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    modest = Server(tmp_path / "modest", transports=[("tcp", "127.0.0.1")])
    try:
        modest.start()
        for process in modest.processes:
            limits = (process / "limits").read_text()
            assert next(line for line in limits.splitlines() if "open files" in line).split()[3] == str(hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        modest.stop()


async def open_idle(server: Server, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port("tcp"), local_addr=(source, 0))
    # It ends by a reset: thousands of ports in TIME-WAIT would be missing elsewhere for a minute.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return reader, writer


# --- TLS and clear ports mixed up ----------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tls", "wss"])
async def test_clear_text_on_a_tls_port_ends_the_connection(server: Server, attack: Connect, transport: str) -> None:
    attacker = await attack(transport)
    await attacker.send(HEAD + b"Content-Length: 0\r\n\r\n")
    assert b"SIP/2.0" not in await attacker.hears()
    await registers(server, transport)


@pytest.mark.parametrize("transport", ["tcp", "ws"])
async def test_tls_on_a_clear_port_ends_the_connection(server: Server, attack: Connect, transport: str) -> None:
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.wait_for(attack(transport, tls), 10)
    await registers(server, transport)


async def test_a_tls_handshake_that_stops_halfway_harms_nobody(server: Server, attack: Connect) -> None:
    for _ in range(50):
        attacker = await attack("tls")
        await attacker.send(b"\x16\x03\x01\x02\x00\x01")
    await registers(server, "tls")


# --- WebSocket -----------------------------------------------------------------------------------------------


async def upgraded(attack: Connect) -> Attacker:
    attacker = await attack("ws")
    await attacker.send(UPGRADE)
    assert b" 101 " in await attacker.hears_until(b"\r\n\r\n")
    return attacker


def frame(opcode: int, payload: bytes, mask: bytes | None = bytes(4), length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    bit = 0 if mask is None else 0x80
    return struct.pack("!BBQ", opcode, bit | 127, size) + (mask or b"") + payload


async def test_a_websocket_handshake_without_end_is_cut_off(attack: Connect) -> None:
    attacker = await attack("ws")
    await attacker.send(b"GET / HTTP/1.1\r\n")
    endless = asyncio.create_task(send_for_ever(attacker, b"X-Header: x\r\n" * 1000))
    await attacker.hears()
    await endless


@pytest.mark.parametrize(
    "data",
    [
        frame(0x81, b"", length=1 << 40),
        frame(0x81, b"", length=1 << 63),
        frame(0x82, b"x" * 600_000),
        frame(0x81, b"hello", mask=None),
        frame(0x83, b"hello"),
        frame(0xC1, b"hello"),
        frame(0x80, b"goes on from nothing"),
        frame(0x89, b"x" * 200),
        frame(0x81, b"\xff\xfe"),
    ],
    ids=["1 TB", "2**63", "600 kB", "unmasked", "unknown", "compressed", "continuation", "long ping", "no UTF-8"],
)
async def test_a_frame_that_is_not_allowed_ends_the_connection_or_is_dropped(attack: Connect, data: bytes) -> None:
    attacker = await upgraded(attack)
    await attacker.send(data + frame(0x88, b"\x03\xe8"))
    await attacker.hears()


async def test_a_message_in_many_fragments_is_read_up_to_the_limit(attack: Connect) -> None:
    attacker = await upgraded(attack)
    whole = HEAD + b"Content-Length: 0\r\n\r\n"
    parts = [frame(0x00, bytes((byte,))) for byte in whole]
    parts[0] = frame(0x01, whole[:1])
    await attacker.send(b"".join(parts) + frame(0x80, b""))
    assert b"SIP/2.0 200 " in await attacker.hears_until(b"\r\n\r\n")


async def test_fragments_without_end_are_cut_off(attack: Connect) -> None:
    attacker = await upgraded(attack)
    await attacker.send(frame(0x01, b"x"))
    endless = asyncio.create_task(send_for_ever(attacker, frame(0x00, b"y" * 60_000)))
    await attacker.hears()
    await endless


# --- the control socket --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["", "\x00", "'", "NOTHING", "x" * 60_000, "REGISTRAR_GET", "REGISTRAR_GET sip:", "CONFIG_SET global/x", "UNBAN x"],
)
def test_nonsense_on_the_control_socket_is_an_error(server: Server, command: str) -> None:
    assert server.cli(command).startswith("Error: ")


def test_the_control_socket_and_the_secrets_are_for_their_owner_alone(server: Server) -> None:
    assert (server.directory / "control").stat().st_mode & 0o077 == 0
    secrets = [path for path in (server.directory / "state").iterdir() if "secret" in path.name or "key" in path.name]
    assert secrets
    assert [path.name for path in secrets if path.stat().st_mode & 0o077] == []


# --- slow readers --------------------------------------------------------------------------------------------


async def test_a_client_that_does_not_read_fills_no_memory(server: Server, attack: Connect) -> None:
    before = memory(server)
    attacker = await attack()
    attacker.writer.transport.pause_reading()
    asking = HEAD + b"X: " + b"y" * 4000 + b"\r\nContent-Length: 0\r\n\r\n"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            await send_for_ever(attacker, asking * 10)
    assert memory(server) - before < 16 << 20
    await registers(server, "tcp")


async def test_messages_for_a_phone_that_does_not_read_fill_no_memory(server: Server, attack: Connect) -> None:
    async with SipPhone(server, "bob", "tcp") as bob, SipPhone(server, "carol", "tcp") as carol:
        await bob.register()
        before = memory(server)
        bob.wire._writer.transport.pause_reading()  # type: ignore[attr-defined]
        text = b"x" * 50_000
        for _ in range(300):  # 15 MB, of which 1 MB may be queued
            carol.send(carol.build("MESSAGE", bob.uri, (("Content-Type", "application/im-iscomposing+xml"),), text))
        await until(lambda: counters(server)["transport_queue_full"] > 0, "no more is queued")
        await registers(server, "tcp")
        assert memory(server) - before < GROWTH
        bob.wire._writer.transport.abort()  # type: ignore[attr-defined]
    server.cli(f"REGISTRAR_CLEAR sip:bob@{DOMAIN}")
