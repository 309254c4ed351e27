"""Flow tokens: found again, never forged."""

import asyncio
import stat
from pathlib import Path

import pytest

from flexipy.transport.tokens import load_key, make_token, read_token

from .conftest import OPTIONS, StartServer

KEY = b"k" * 32


@pytest.mark.parametrize(
    "ends",
    [
        (b"UDP", ("10.0.0.1", 5060), ("192.0.2.7", 65535)),
        (b"WSS", ("2001:db8::1", 443), ("2001:db8::2", 1)),
    ],
)
def test_round_trip(ends: tuple[bytes, tuple[str, int], tuple[str, int]]) -> None:
    token = make_token(KEY, ends)

    assert read_token(KEY, token) == ends
    assert not set(token) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_no_changed_byte_is_accepted() -> None:
    token = make_token(KEY, (b"TCP", ("10.0.0.1", 5060), ("192.0.2.7", 1024)))

    for i in range(len(token) - 1):
        other = b"A" if token[i : i + 1] != b"A" else b"B"
        assert read_token(KEY, token[:i] + other + token[i + 1 :]) is None
    assert read_token(b"x" * 32, token) is None
    for bad in (b"", b"A", b"!", token[:-4], token + b"AAAA", token.replace(b"_", b"/") + b"\xff"):
        assert read_token(KEY, bad) is None


def test_the_key_survives_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "key"

    key = load_key(str(path))

    assert load_key(str(path)) == key
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key("") != load_key("")


def test_a_damaged_or_impossible_key_file_does_not_stop_the_server(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"short")

    assert len(load_key(str(path))) == 32
    assert path.stat().st_size == 32
    assert len(load_key(str(tmp_path / "none" / "key"))) == 32


async def test_tokens_lead_to_live_flows_only(start: StartServer) -> None:
    server = await start("sip:*:0 sip:[::1]:0;transport=udp")
    transports = server.transports
    _, writer = await asyncio.open_connection("127.0.0.1", server.port(1))
    writer.write(OPTIONS)
    _, stream = await server.received()
    udp = transports.listeners[2]
    datagrams = transports._udp[udp].flow_to("::1", 5070)

    assert transports.flow_from_token(transports.flow_token(stream)) is stream
    assert transports.flow_from_token(transports.flow_token(datagrams)) is datagrams
    token = transports.flow_token(stream)
    assert transports.flow_from_token((b"A" if token[:1] != b"A" else b"B") + token[1:]) is None

    gone = asyncio.Event()
    stream.add_close_listener(lambda _: gone.set())
    token = transports.flow_token(stream)
    writer.close()
    await gone.wait()
    assert transports.flow_from_token(token) is None
