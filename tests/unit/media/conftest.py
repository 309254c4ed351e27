"""Phones on loopback sockets, and a relay with a clock that tests set."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from flexipy.media.relay import Expected, Leg, MediaRelay, RelayOptions


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test that needs a loop runs on both kinds."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        self.now += seconds
        return self.now


class Phone:
    """One side of a stream: a socket for RTP and one for RTCP."""

    def __init__(self, ip: str) -> None:
        self.ip = ip
        self.rtp = udp(ip)
        self.rtcp = udp(ip)

    def expected(self, **changes: Any) -> Expected:
        said: dict[str, Any] = {
            "ip": self.ip,
            "port": self.rtp.getsockname()[1],
            "rtcp_ip": self.ip,
            "rtcp_port": self.rtcp.getsockname()[1],
            "rtcp_mux": False,
            "payload_types": frozenset({0, 8, 96}),
            "secure": False,
            "signalling_ip": "127.0.0.99",
        } | changes
        if said["rtcp_mux"]:
            said["rtcp_port"] = said["port"]
        return Expected(**said)

    def send(self, packet: bytes, leg: Leg) -> None:
        self.rtp.sendto(packet, (leg.local_ip, leg.port))

    def send_rtcp(self, packet: bytes, leg: Leg) -> None:
        self.rtcp.sendto(packet, (leg.local_ip, leg.rtcp_port))

    async def heard(self) -> bytes:
        return await receive(self.rtp)

    async def heard_rtcp(self) -> bytes:
        return await receive(self.rtcp)

    def hears_nothing(self) -> bool:
        return empty(self.rtp) and empty(self.rtcp)

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def udp(ip: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ip, 0))
    sock.setblocking(False)
    return sock


async def receive(sock: socket.socket) -> bytes:
    async with asyncio.timeout(5):
        return await asyncio.get_running_loop().sock_recv(sock, 65535)


def empty(sock: socket.socket) -> bool:
    try:
        sock.recv(65535)
    except BlockingIOError:
        return True
    return False


async def counted(relay: MediaRelay, counter: str, least: int = 1) -> None:
    """Wait until the relay has counted something; loopback datagrams are there as soon as they are sent."""
    async with asyncio.timeout(5):
        while relay.counters[counter] < least:
            await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def phone() -> Iterator[Callable[..., Phone]]:
    phones: list[Phone] = []

    def make(ip: str = "127.0.0.1") -> Phone:
        phones.append(Phone(ip))
        return phones[-1]

    yield make
    for one in phones:
        one.close()


@pytest.fixture
async def start(clock: Clock) -> Any:
    """Make a relay: `start(max_calls=1)`; closed at the end."""
    relays: list[MediaRelay] = []

    def start_relay(on_inactive: Any = None, **settings: Any) -> MediaRelay:
        relays.append(MediaRelay(RelayOptions(**settings), on_inactive, clock))
        return relays[-1]

    yield start_relay
    for relay in relays:
        relay.close()
