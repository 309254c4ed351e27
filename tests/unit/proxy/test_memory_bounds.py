"""What strangers can make the server remember is bounded, in number and in size."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flexipy.auth.throttle import GuessThrottle
from flexipy.modules.forward import Forward
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from flexipy.proxy.api import MessageFork
from flexipy.registrar.contact import shared
from flexipy.sip.digest import compute_response
from flexipy.sip.timers import Timed, Timers
from flexipy.transport.errors import FlowError
from flexipy.transport.options import TransportOptions
from flexipy.transport.resolver import Resolver
from flexipy.transport.specs import parse_transport
from flexipy.transport.target import Target
from flexipy.transport.transports import Transports
from tests.harness.events import until
from tests.harness.fake_network import request

LONG = "x" * 50_000


@pytest.fixture
def grown() -> Iterator[Callable[[], int]]:
    """How many bytes more are held than when the test began."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    def ask() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    yield ask
    tracemalloc.stop()


async def test_long_addresses_are_not_kept(make_proxy: Any, grown: Callable[[], int]) -> None:
    proxy = await make_proxy([Forward])
    client = proxy.client()
    for number in range(100):
        place = f"192.0.2.7;x{number}={LONG}"
        client.sends(request("ACK", f"sip:{place}"))
        client.sends(request("ACK", f"sip:{LONG}{number}@192.0.2.7"))
        client.sends(request("ACK", "sip:bob@192.0.2.7", [("Route", f"<sip:{place};lr>")]))
        client.sends(request("ACK", f"sip:bob@{number}{LONG}.test"))
        client.sends(request("ACK", f"sip:bob@192.0.2.7;maddr={number}{LONG}"))
    client.sent.clear()
    proxy.client("192.0.2.7").sent.clear()
    await proxy.settle()
    assert grown() < 3_000_000


async def test_long_names_of_guessers_are_not_kept(grown: Callable[[], int]) -> None:
    throttle = GuessThrottle()
    for number in range(100):
        user = f"{number}{LONG}@house.test"
        throttle.failed(f"198.51.100.{number}", user, 0.0)
        assert throttle.check(f"198.51.100.{number}", user, 0.0) == 0
    assert grown() < 1_000_000


async def test_a_long_name_is_throttled_all_the_same() -> None:
    throttle = GuessThrottle()
    for _ in range(10):
        throttle.failed("198.51.100.1", f"{LONG}@house.test", 0.0)
    assert throttle.check("198.51.100.1", f"{LONG}@house.test", 0.0) > 0
    assert throttle.check("198.51.100.1", f"{LONG}y@house.test", 0.0) == 0
    assert len(throttle.bans(0.0)[0].key) < 200


async def test_long_methods_of_credentials_are_not_kept(grown: Callable[[], int]) -> None:
    for number in range(100):
        compute_response("MD5", "0" * 32, f"{LONG}{number}", "sip:house.test", "nonce")
    assert grown() < 1_000_000


async def test_long_user_agents_are_not_shared(grown: Callable[[], int]) -> None:
    for number in range(100):
        shared(f"{LONG}{number}".encode())
    assert grown() < 1_000_000


async def test_answers_kept_for_retransmissions_are_bounded_by_size(make_proxy: Any, grown: Callable[[], int]) -> None:
    proxy = await make_proxy([])
    client = proxy.client()
    for _ in range(1500):
        client.sends(request("MESSAGE", "sip:bob@192.0.2.7", via=f"SIP/2.0/UDP 203.0.113.5:5060;rport;x={LONG}"))
        client.sent.clear()
    assert grown() < 50_000_000


async def test_an_answer_is_still_kept_after_a_flood(make_proxy: Any) -> None:
    proxy = await make_proxy([])
    client = proxy.client()
    asked = request("MESSAGE", "sip:bob@192.0.2.7")
    client.sends(asked)
    for _ in range(100):
        client.sends(request("MESSAGE", "sip:bob@192.0.2.7"))
    first = client.sent[0]
    client.sends(asked)
    assert client.sent[-1] == first


async def test_failed_targets_are_bounded(grown: Callable[[], int]) -> None:
    resolver = Resolver({})
    for number in range(20_000):
        resolver.mark_failed(Target(b"TCP", f"10.{number >> 8}.{number & 255}.1", 5060, ""))
    assert grown() < 2_000_000


class Owner(Timed):
    """Waits for a long time, unless it is told not to."""

    def __init__(self, payload: bytes) -> None:
        super().__init__()
        self.payload = payload
        self.fired: list[float] = []

    def on_timer(self, kind: int, now: float) -> None:
        self.fired.append(now)


def test_timers_let_go_of_owners_that_need_them_no_more(grown: Callable[[], int]) -> None:
    timers = Timers()
    for number in range(50_000):
        owner = Owner(bytes(1000))
        timers.set(604_800.0, number / 100, owner, 1)
        owner.epoch += 1
        timers.fire(number / 100)
    assert grown() < 3_000_000


def test_timers_that_still_run_survive_the_cleaning() -> None:
    timers = Timers()
    kept: list[Owner] = []
    for number in range(50_000):
        owner = Owner(b"")
        timers.set(100.0, 0.0, owner, 1)
        if number % 1000:
            owner.epoch += 1
        else:
            kept.append(owner)
    for second in range(100):
        timers.fire(float(second))
    assert len(timers) == len(kept) == 50
    assert not any(owner.fired for owner in kept)
    timers.fire(100.0)
    assert all(owner.fired == [100.0] for owner in kept)


async def test_messages_that_were_delivered_are_forgotten(make_proxy: Any) -> None:
    proxy = await make_proxy([RegistrarModule, Router, Forward], "module::Registrar/reg-domains=house.test")
    bob = proxy.client("192.0.2.7")
    register = [("Contact", "<sip:bob@192.0.2.7>")]
    bob.sends(
        request("REGISTER", "sip:house.test", register, sender="<sip:bob@house.test>;tag=1", to="<sip:bob@house.test>")
    )
    client = proxy.client()
    for _ in range(6_000):
        client.sends(request("MESSAGE", "sip:bob@house.test"))
        bob.answers(200)
        bob.sent.clear()
        client.sent.clear()
    proxy.advance(70)
    gc.collect()
    left = [each for each in gc.get_objects() if isinstance(each, MessageFork)]
    assert len(left) < 4_500


async def test_connections_that_we_open_are_limited() -> None:
    """An ACK needs no password, and each may name another port: they must not use up the descriptors."""
    accepted: list[asyncio.StreamWriter] = []  # kept, or they close

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)

    servers = [await asyncio.start_server(accept, "127.0.0.1", 0) for _ in range(12)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    specs = parse_transport("sip:127.0.0.1:0;transport=tcp")
    transports = Transports(specs, TransportOptions(max_opened=5), lambda *_: None, Resolver({}))
    await transports.start()
    try:
        targets = [Target(b"TCP", "127.0.0.1", port, "") for port in ports]
        flows = [await transports.connect(target) for target in targets[:5]]
        for target in targets[5:]:
            with pytest.raises(FlowError, match="too many"):
                await transports.connect(target)
        flows[0].close()
        await until(lambda: transports.flow_by_id(flows[0].id) is None, "the connection is gone")
        await transports.connect(targets[5])
    finally:
        await transports.close()
        for writer in accepted:
            writer.close()
        for server in servers:
            server.close()
