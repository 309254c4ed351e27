"""Phones find the server without a DNS server, and forget it when it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from flexipy.transport.addresses import interface_addresses
from tests.harness.avahi import avahi, browse
from tests.harness.events import Events
from tests.harness.programs import missing
from tests.harness.server import Server

TYPES = ["_sip._udp.local.", "_sip._tcp.local.", "_sips._tcp.local."]
_MDNS = {"enabled": "true", "mdns-priority": "7", "mdns-weight": "42", "mdns-ttl": "120"}


@pytest.fixture
def announced(place: Path) -> Iterator[Server]:
    """A server that is open to this machine alone, and announces itself to it."""
    points = [("udp", "127.0.0.1"), ("tcp", "127.0.0.1"), ("tls", "127.0.0.1"), ("ws", "127.0.0.1")]
    server = Server(place / "house", {"mdns-register": _MDNS}, points).start()
    yield server
    if server.program is not None:
        server.stop()


async def test_each_transport_is_found_and_gone_after_the_end(announced: Server) -> None:
    seen: Events[tuple[str, str, ServiceStateChange]] = Events("services")

    def note(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        seen.add((service_type, name, state_change))

    async with AsyncZeroconf(interfaces=["127.0.0.1"]) as browsing:
        browser = AsyncServiceBrowser(browsing.zeroconf, TYPES, handlers=[note])
        names = {}
        for kind, transport in zip(TYPES, ("udp", "tcp", "tls"), strict=True):
            # Another server may announce itself on this machine too.
            while kind not in names:
                _, name, _ = await seen.take(lambda event, kind=kind: event[0] == kind, kind)  # type: ignore[misc]
                info = AsyncServiceInfo(kind, name)
                assert await info.async_request(browsing.zeroconf, 5000)
                if info.port == announced.port(transport):
                    names[kind] = name
                    assert info.parsed_addresses() == ["127.0.0.1"]
                    assert (info.priority, info.weight) == (7, 42)
        await asyncio.to_thread(announced.stop)
        for kind, name in names.items():
            await seen.take(lambda event, name=name: event[1:] == (name, ServiceStateChange.Removed), kind)  # type: ignore[misc]
        await browser.async_cancel()


async def test_avahi_finds_the_server_and_forgets_it(place: Path) -> None:
    if interface_addresses() <= {"127.0.0.1", "::1"}:
        missing("there is no network here on which to announce anything")
    settings = {"mdns-register": _MDNS, "global": {"transports": "sip:*:0;transport=udp"}}
    server = Server(place / "house", settings, [("udp", "127.0.0.1")])
    with avahi(place) as environment:
        server.start()
        browser = browse("_sip._udp", place, environment)
        port = server.port("udp")
        found = await browser.prints(rf"^=;\w+;IPv[46];([^;]+);.*;local;(\S+)-sip\.local;[^;]+;{port};")
        server.stop()
        await browser.prints(rf"^-;\w+;IPv[46];{found[1]};.*;local$")
        browser.stop()


async def test_a_server_that_announces_itself_leaves_in_time(announced: Server) -> None:
    assert announced.stop() < 5.0  # at once after the start, while names are still being tried
