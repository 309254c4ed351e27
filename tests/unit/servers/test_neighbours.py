"""What runs beside the proxy, and costs nothing where it is off."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from flexipy.config.reader import read
from flexipy.servers import mdns
from flexipy.servers.discovery import full_schema
from flexipy.servers.proxy import ProxyServer, StartError


def server_with(directory: Path, text: str) -> ProxyServer:
    path = directory / "flexipy.conf"
    path.write_text(f"[global]\ntransports=sip:127.0.0.1:0;transport=udp\ncontrol-socket=control\n{text}")
    config, problems = read(path, full_schema())
    assert problems == []
    return ProxyServer(config)


async def test_without_the_package_the_server_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    monkeypatch.setitem(sys.modules, "zeroconf.asyncio", None)
    server = server_with(tmp_path, "[mdns-register]\nenabled=true\n")
    with pytest.raises(StartError, match=r"\[mdns-register\] needs .*'zeroconf'.* pip install 'flexipy\[mdns\]'"):
        await server.start()


def test_what_is_off_is_not_imported() -> None:
    code = "import sys, flexipy.cli.run, flexipy.servers.proxy; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"zeroconf", "flexipy.servers.mdns", "flexipy.transport.stun_server", "cryptography"} & set(loaded)


async def test_changed_addresses_are_announced_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announced: asyncio.Queue[list[str]] = asyncio.Queue()
    addresses = [frozenset({"127.0.0.1"}), frozenset({"127.0.0.1", "192.0.2.1"})]

    async def announce(self: mdns.Announcer, services: Sequence[mdns.Service]) -> None:
        self._announced = list(services)
        announced.put_nowait(mdns.addresses_of(services))

    monkeypatch.setattr(mdns.Announcer, "_announce", announce)
    monkeypatch.setattr(mdns, "interface_addresses", lambda: addresses.pop(0) if len(addresses) > 1 else addresses[0])
    monkeypatch.setattr(mdns, "_LOOK_AGAIN", 0.0)
    server = server_with(tmp_path, "[mdns-register]\nenabled=true\n")
    server = ProxyServer(server.config, transports=["sip:*:0;transport=udp"])
    await server.start()
    try:
        async with asyncio.timeout(5):
            assert [await announced.get(), await announced.get()] == [["127.0.0.1"], ["192.0.2.1"]]
    finally:
        await server.stop(drain=0)


async def test_a_network_that_fails_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: asyncio.Queue[None] = asyncio.Queue()

    async def announce(self: mdns.Announcer, services: Sequence[mdns.Service]) -> None:
        tries.put_nowait(None)
        raise OSError("network is down")

    monkeypatch.setattr(mdns.Announcer, "_announce", announce)
    monkeypatch.setattr(mdns, "_LOOK_AGAIN", 0.0)
    server = server_with(tmp_path, "[mdns-register]\nenabled=true\n")
    await server.start()
    async with asyncio.timeout(5):
        for _ in range(3):
            await tries.get()
    await server.stop(drain=0)
    assert caplog.text.count("not announced by multicast DNS: network is down") == 1
