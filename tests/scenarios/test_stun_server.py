"""A client that nobody here wrote asks the STUN server where it is."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.harness.programs import Program, need
from tests.harness.server import Server


def free_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_client_learns_its_address(place: Path) -> None:
    client = need("stun")
    port = free_port()
    settings = {"stun-server": {"enabled": "true", "bind-address": "127.0.0.1 [::1]", "port": str(port)}}
    server = Server(place / "house", settings, [("udp", "127.0.0.1")]).start()
    try:
        # Its first test alone: the others are about servers with two addresses.
        asking = Program("stun", (client, f"127.0.0.1:{port}", "1", "-v"), place)
        own = asking.prints_now(r"Opened port (\d+) ")[1]
        assert asking.prints_now(r"MappedAddress = (\S+)")[1] == f"127.0.0.1:{own}"
        asking.finish()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"no STUN at all", ("127.0.0.1", port))
            stranger.sendto(bytes.fromhex("000100002112a442") + b"transaction!", ("127.0.0.1", port))
            stranger.settimeout(10)
            assert stranger.recv(2000)[:2] == b"\x01\x01"
        counters = json.loads(server.cli("COUNTERS"))
        assert (counters["stun_server_answers"], counters["stun_server_dropped"]) == (2, 1)
    finally:
        server.stop()


def test_a_port_that_is_taken_keeps_the_server_from_starting(place: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = str(other.getsockname()[1])
        settings = {"stun-server": {"enabled": "true", "bind-address": "127.0.0.1", "port": port}}
        server = Server(place / "house", settings, [("udp", "127.0.0.1")]).launch()
        assert server.program is not None
        assert server.program.finish() == 1
        assert server.program.has_printed(rf"\[stun-server\] cannot listen on 127.0.0.1, port {port}: Address already")
