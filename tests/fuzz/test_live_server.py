"""Spoiled messages to a running server, over each transport: it must not mind.

FLEXIPY_FUZZ_SECONDS makes it longer, FLEXIPY_FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fuzz.mutations import Mutator
from tests.harness.events import until
from tests.harness.server import Server
from tests.harness.sip_phone import SipPhone

SECONDS = float(os.environ.get("FLEXIPY_FUZZ_SECONDS", "8"))
SEED = int(os.environ.get("FLEXIPY_FUZZ_SEED", "4475"))
LIMIT = 64 << 20  # bytes that the server may grow by
FAULTS = ("module_failures", "task_failures", "timer_failures", "transport_handler_errors")
SETTINGS = {
    "global": {"transaction-timeout": "2s", "log-level": "message"},
    "module::Authentication": {"enabled": "false"},
    "module::DoSProtection": {"enabled": "false"},
    "module::Router": {"message-fork-late": "false", "call-fork-timeout": "2s"},
    "module::NatHelper": {"nat-traversal-strategy": "flow-token"},
}
pytestmark = pytest.mark.timeout(60 + 3 * SECONDS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("fuzzed")
    records = directory / "static"
    records.write_text("<sip:everybody@house.test> <sip:bob@house.test>, <sip:nobody@127.0.0.1:9>\n")
    settings = {**SETTINGS, "module::Registrar": {"static-records-file": str(records)}}
    transports = [("udp", "127.0.0.1"), ("tcp", "127.0.0.1"), ("ws", "127.0.0.1")]
    server = Server(directory, settings, transports).start()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def bystanders(server: Server) -> AsyncIterator[tuple[SipPhone, SipPhone]]:
    async with SipPhone(server, "carol", "tcp") as carol, SipPhone(server, "dave", "udp") as dave:
        await carol.register()
        await dave.register()
        yield carol, dave


class State:
    """What the server holds."""

    def __init__(self, server: Server) -> None:
        assert server.program is not None
        place = Path(f"/proc/{server.program.process.pid}")
        self.rss = int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.descriptors = len(list((place / "fd").iterdir()))
        counters = json.loads(server.cli("COUNTERS"))
        self.transactions = counters["server_transactions"] + counters["client_transactions"]
        self.failures = {name: counters.get(name, 0) for name in FAULTS}
        self.messages = counters["transport_messages_in"]


class Drain(asyncio.DatagramProtocol):
    """Takes what comes back and wants none of it."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        pass


async def pause() -> None:
    # Half of a core at most is for the fuzzer: the server is to read, not to drop.
    await asyncio.sleep(0.002)


async def fuzz_udp(mutator: Mutator, port: int, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Drain, remote_addr=("127.0.0.1", port))
    while not stop.is_set():
        for _ in range(4):
            transport.sendto(mutator.message("udp")[:60_000])
        await pause()
    transport.close()


async def _discard(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass


async def fuzz_stream(mutator: Mutator, port: int, stop: asyncio.Event, websocket: bool) -> None:
    while not stop.is_set():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        drain = asyncio.create_task(_discard(reader))
        with contextlib.suppress(OSError):
            if websocket:
                writer.write(upgrade())
            for _ in range(30):
                data = mutator.message("ws" if websocket else "tcp")
                writer.write(frame(data, mutator) if websocket else data)
                await writer.drain()
                await pause()
                if drain.done() or stop.is_set():
                    break
        drain.cancel()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def upgrade() -> bytes:
    return (
        b"GET / HTTP/1.1\r\nHost: house.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: sip\r\n\r\n"
    )


def frame(data: bytes, mutator: Mutator) -> bytes:
    """A masked frame with a message; now and then of another kind, or spoiled itself."""
    kind = mutator.choose((0x81,) * 20 + (0x82, 0x80, 0x01, 0x00, 0x88, 0x89, 0x8A, 0xC1, 0x8F))
    length = (
        struct.pack("!BBH", kind, 0xFE, len(data)) if len(data) < 65536 else struct.pack("!BBQ", kind, 0xFF, len(data))
    )
    framed = length + bytes(4) + data
    return framed if mutator.choose((True,) * 20 + (False,)) else mutator.spoil(framed)


async def test_a_flood_of_spoiled_messages_leaves_the_server_as_it_was(
    server: Server, bystanders: tuple[SipPhone, SipPhone]
) -> None:
    print(f"seed {SEED}, {SECONDS:g} s")
    carol, dave = bystanders
    before = State(server)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    mine, _ = await loop.create_datagram_endpoint(Drain, local_addr=("127.0.0.1", 0))
    own_port = mine.get_extra_info("sockname")[1]
    mutators = [Mutator(SEED + number, own_port) for number in range(3)]
    tasks = [
        asyncio.create_task(fuzz_udp(mutators[0], server.port("udp"), stop)),
        asyncio.create_task(fuzz_stream(mutators[1], server.port("tcp"), stop, websocket=False)),
        asyncio.create_task(fuzz_stream(mutators[2], server.port("ws"), stop, websocket=True)),
    ]
    loop.call_later(SECONDS, stop.set)
    await asyncio.gather(*tasks)
    mine.close()

    assert (await carol.register()).status == 200
    secret = secrets.token_hex(4)
    sending = asyncio.create_task(carol.message(dave.uri, secret))
    arrived = await dave.requests.take(lambda found: secret.encode() in found.request.body, "the message")
    arrived.answer(200)
    assert (await sending).status == 200

    server.check_log()
    await until(lambda: State(server).transactions == 0, "every transaction has ended", 30)
    await until(lambda: State(server).descriptors <= before.descriptors + 4, "every connection is closed", 30)
    after = State(server)
    assert after.messages - before.messages > 100 * SECONDS
    assert after.failures == before.failures
    assert after.rss - before.rss < LIMIT
