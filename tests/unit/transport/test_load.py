"""How long what arrives has to wait decides how much is refused."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from flexipy.transport.load import ALL_NEW, NEWCOMERS, NOTHING, LoadMeter
from flexipy.transport.options import TransportOptions
from flexipy.transport.resolver import Resolver
from flexipy.transport.specs import parse_transport
from flexipy.transport.transports import Transports

_SO_TIMESTAMPNS = 35  # Linux; the module socket has no name for it


def _levels(meter: LoadMeter, *waits: float) -> list[int]:
    queue = meter.queue("socket")
    found = []
    for wait in waits:
        queue.waited(wait)
        found.append(meter.level)
    return found


def test_the_longer_the_wait_the_more_is_refused() -> None:
    assert _levels(LoadMeter(0.3), 0.0, 0.2, 0.3, 0.31, 0.9, 0.91) == [
        *(NOTHING, NOTHING, NOTHING),
        *(NEWCOMERS, NEWCOMERS),
        ALL_NEW,
    ]


def test_what_is_refused_is_refused_until_the_wait_is_well_below_where_that_began() -> None:
    assert _levels(LoadMeter(0.3), 1.0, 0.61, 0.6, 0.61, 0.16, 0.15, 0.2) == [
        *(ALL_NEW, ALL_NEW),
        *(NEWCOMERS, NEWCOMERS, NEWCOMERS),
        *(NOTHING, NOTHING),
    ]


def test_all_are_served_again_at_once_when_it_is_empty() -> None:
    meter = LoadMeter(0.3)
    queue = meter.queue("socket")
    queue.waited(1.0)
    assert meter.level == ALL_NEW
    queue.emptied()
    assert meter.level == NOTHING


def test_one_queue_that_is_long_is_enough() -> None:
    meter = LoadMeter(0.3)
    first, second = meter.queue("one"), meter.queue("other")
    first.waited(0.4)
    second.waited(0.01)
    second.emptied()
    assert meter.level == NEWCOMERS


def test_a_queue_that_overflows_is_too_long_however_short_the_wait() -> None:
    meter = LoadMeter(0.3)
    queue = meter.queue("socket")
    queue.waited(0.01, lost=0)
    assert meter.level == NOTHING
    queue.waited(0.01, lost=3)
    assert meter.level == NEWCOMERS
    queue.waited(0.01, lost=3)
    assert meter.level == NOTHING


def test_a_clock_must_be_late_three_times_in_a_row() -> None:
    meter = LoadMeter(0.3)
    clock = meter.queue("loop")
    levels = []
    for lag in (2.0, 0.0, 2.0, 2.0, 0.5, 0.0):
        clock.late(lag)
        levels.append(meter.level)
    assert levels == [NOTHING, NOTHING, NOTHING, NOTHING, NEWCOMERS, NOTHING]


def test_without_a_limit_nothing_is_ever_refused() -> None:
    assert _levels(LoadMeter(0.0), 1.0, 100.0) == [NOTHING, NOTHING]


@pytest.fixture
def arrival_times() -> Iterator[None]:
    """Wait until the kernel writes down when datagrams come.

    Linux begins to do so some time after the first socket on the machine has asked for it (a work queue switches it
    on), and until then it names the time at which a datagram is read.
    """
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.settimeout(10)
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            sender.sendto(b"x", receiver.getsockname())
            time.sleep(0.02)
            now = time.time()
            _, [(_, _, stamp)], _, _ = receiver.recvmsg(1, 128)
            seconds, nanoseconds = struct.unpack("@ll", stamp)
            if seconds + nanoseconds / 1e9 < now - 0.01:
                yield
                return
    pytest.fail("the kernel does not tell when datagrams came")


@pytest.mark.usefixtures("arrival_times")
async def test_datagrams_that_waited_too_long_are_noticed() -> None:
    meter = LoadMeter(0.05)
    levels: list[int] = []
    everything = asyncio.Event()

    def on_message(data: bytes, flow: object, now: float) -> None:
        levels.append(meter.level)
        if len(levels) == 200:
            everything.set()

    specs = parse_transport("sip:127.0.0.1:0;transport=udp")
    transports = Transports(specs, TransportOptions(), on_message, Resolver({}), meter)
    await transports.start()
    loop = asyncio.get_running_loop()
    target = transports.listeners[0].local
    sender, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=target)
    for _ in range(200):
        sender.sendto(b"OPTIONS sip:x SIP/2.0\r\n\r\n")
    time.sleep(0.2)  # noqa: ASYNC251 - the loop that is held up is what this is about
    async with asyncio.timeout(10):
        await everything.wait()
    assert levels[0] == NOTHING  # nobody has looked yet
    assert levels[100] == ALL_NEW
    await asyncio.sleep(0)
    assert meter.level == NOTHING
    sender.close()
    await transports.close()
