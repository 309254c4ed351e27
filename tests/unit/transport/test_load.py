"""How long what arrives has to wait decides how much is refused."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from flexipy.transport.load import ALL_NEW, NEWCOMERS, NOTHING, LoadMeter, Queue
from flexipy.transport.options import TransportOptions
from flexipy.transport.resolver import Resolver
from flexipy.transport.specs import parse_transport
from flexipy.transport.transports import Transports

_SO_TIMESTAMPNS = 35  # Linux; the module socket has no name for it


def _levels(meter: LoadMeter, *waits: float) -> list[int]:
    queue = meter.queue("socket")
    found = []
    for now, wait in enumerate(waits):
        queue.waited(wait, now)
        found.append(meter.level)
    return found


def _slowly(*waits: float) -> list[float]:
    """Waits with others in between, so that none is much longer than the one before."""
    found = [0.0]
    for wait in waits:
        while wait - found[-1] > 0.04:
            found.append(found[-1] + 0.04)
        found.append(wait)
    return found


def _grow(queue: Queue, wait: float) -> None:
    for now, waited in enumerate(_slowly(wait)):
        queue.waited(waited, now)


def test_the_longer_the_wait_the_more_is_refused() -> None:
    meter = LoadMeter(0.3)
    queue = meter.queue("socket")
    found = []
    for wait in _slowly(0.3, 0.31, 0.9, 0.91):
        queue.waited(wait, 0.0)
        found.append((wait, meter.level))
    assert dict(found)[0.3] == NOTHING
    assert dict(found)[0.31] == NEWCOMERS
    assert dict(found)[0.9] == NEWCOMERS
    assert dict(found)[0.91] == ALL_NEW


def test_what_is_refused_is_refused_until_the_wait_is_well_below_where_that_began() -> None:
    assert _levels(LoadMeter(0.3), *_slowly(0.95), 0.61, 0.6, 0.61, 0.16, 0.15, 0.16)[-7:] == [
        *(ALL_NEW, ALL_NEW),
        *(NEWCOMERS, NEWCOMERS, NEWCOMERS),
        *(NOTHING, NOTHING),
    ]


def test_all_are_served_again_at_once_when_it_is_empty() -> None:
    meter = LoadMeter(0.3)
    queue = meter.queue("socket")
    _grow(queue, 1.0)
    assert meter.level == ALL_NEW
    queue.emptied()
    assert meter.level == NOTHING


def test_one_queue_that_is_long_is_enough() -> None:
    meter = LoadMeter(0.3)
    first, second = meter.queue("one"), meter.queue("other")
    _grow(first, 0.4)
    second.waited(0.01, 0.0)
    second.emptied()
    assert meter.level == NEWCOMERS


def test_a_queue_that_overflows_is_too_long_however_short_the_wait() -> None:
    meter = LoadMeter(0.3)
    queue = meter.queue("socket")
    queue.waited(0.01, 0.0, lost=0)
    assert meter.level == NOTHING
    queue.waited(0.01, 0.1, lost=3)
    assert meter.level == NEWCOMERS
    queue.waited(0.01, 0.2, lost=3)
    assert meter.level == NOTHING


def test_what_was_lost_while_the_process_stood_still_refuses_nobody() -> None:
    meter = LoadMeter(0.1)
    queue = meter.queue("socket")
    queue.waited(0.3, 0.3, lost=500)
    assert meter.level == NOTHING
    queue.waited(0.29, 0.31, lost=510)
    assert meter.level == NEWCOMERS


def test_a_clock_must_be_late_three_times_in_a_row() -> None:
    meter = LoadMeter(0.3)
    clock = meter.clock("loop")
    levels = []
    for lag in (2.0, 0.0, 2.0, 2.0, 0.5, 0.0):
        clock.late(lag)
        levels.append(meter.level)
    assert levels == [NOTHING, NOTHING, NOTHING, NOTHING, NEWCOMERS, NOTHING]


def test_a_clock_that_is_stopped_is_late_no_longer() -> None:
    meter = LoadMeter(0.3)
    clock = meter.clock("loop")
    for _ in range(3):
        clock.late(1.0)
    assert meter.level == ALL_NEW
    clock.stopped()
    assert meter.level == NOTHING


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


async def _levels_after(seconds: float) -> list[int]:
    """The level at each of 200 datagrams that come while the loop is held up, and after them."""
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
    time.sleep(seconds)  # noqa: ASYNC251 - the loop that is held up is what this is about
    async with asyncio.timeout(10):
        await everything.wait()
    await asyncio.sleep(0)
    levels.append(meter.level)
    sender.close()
    await transports.close()
    return levels


@pytest.mark.usefixtures("arrival_times")
async def test_datagrams_that_waited_too_long_to_be_answered_in_time_are_noticed() -> None:
    levels = await _levels_after(0.7)
    assert levels[0] == NOTHING  # nobody has looked yet
    assert levels[100] == ALL_NEW
    assert levels[-1] == NOTHING


@pytest.mark.usefixtures("arrival_times")
async def test_datagrams_that_can_be_answered_in_time_are_served() -> None:
    assert set(await _levels_after(0.2)) == {NOTHING}
