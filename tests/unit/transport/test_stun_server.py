"""The STUN server: what it answers, what it drops, and that nobody is flooded by way of it."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.transport.errors import TransportError
from flexipy.transport.stun_server import StunServer, reply

COOKIE = bytes.fromhex("2112a442")
TRANSACTION = b"transaction!"
HERE = ("192.0.2.1", 32853)
SOFTWARE = b"flexipy/test"


def request(*attributes: tuple[int, bytes], cookie: bytes = COOKIE, kind: int = 1) -> bytes:
    body = b"".join(struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4) for kind, value in attributes)
    return struct.pack("!HH", kind, len(body)) + cookie + TRANSACTION + body


def with_fingerprint(message: bytes, wrong: int = 0) -> bytes:
    longer = message[:2] + struct.pack("!H", len(message) - 20 + 8) + message[4:]
    return longer + struct.pack("!HHI", 0x8028, 4, zlib.crc32(longer) ^ 0x5354554E ^ wrong)


def attributes(message: bytes | None) -> list[tuple[int, bytes]]:
    """Type and value of each attribute, the header checked on the way."""
    assert message is not None
    assert len(message) == 20 + struct.unpack_from("!H", message, 2)[0]
    found = []
    position = 20
    while position < len(message):
        kind, size = struct.unpack_from("!HH", message, position)
        found.append((kind, message[position + 4 : position + 4 + size]))
        position += 4 + size + -size % 4
    return found


# --- answers ---------------------------------------------------------------------------------------------


def test_the_address_comes_back_mixed_with_the_cookie() -> None:
    answer = reply(request(), HERE)
    assert answer is not None
    assert answer[:2] == b"\x01\x01"
    assert answer[4:20] == COOKIE + TRANSACTION
    assert attributes(answer) == [(0x0020, bytes.fromhex("0001a147e112a643"))]  # as in RFC 5769 section 2.2


def test_an_address_of_ipv6_is_mixed_with_the_transaction_too() -> None:
    transaction = bytes.fromhex("b7e7a701bc34d686fa87dfae")
    asked = request()[:8] + transaction
    remote = ("2001:db8:1234:5678:11:2233:4455:6677", 32853)
    expected = bytes.fromhex("0002a1470113a9faa5d3f179bc25f4b5bed2b9d9")  # RFC 5769 section 2.3
    assert attributes(reply(asked, remote)) == [(0x0020, expected)]


def test_clients_older_than_the_cookie_get_the_address_as_it_is() -> None:
    answer = reply(request((0x0003, bytes(4)), cookie=b"old!"), HERE, SOFTWARE)
    assert answer is not None
    assert answer[4:20] == b"old!" + TRANSACTION
    assert attributes(answer) == [(0x0001, struct.pack("!BBH4B", 0, 1, 32853, 192, 0, 2, 1))]


def test_what_must_be_understood_and_is_not_is_named() -> None:
    answer = reply(request((0x0006, b"alice"), (0x7FFF, b"?"), (0x0030, b""), (0x8099, b"whatever")), HERE)
    assert answer is not None
    assert answer[:2] == b"\x01\x11"
    assert attributes(answer) == [(0x0009, bytes((0, 0, 4, 20))), (0x000A, bytes.fromhex("7fff0030"))]


@pytest.mark.parametrize("asked", [(0x0003, b"\0\0\0\6"), (0x0002, b"\0\1\x13\x88\x08\x08\x08\x08")])
def test_it_does_not_answer_from_or_to_elsewhere(asked: tuple[int, bytes]) -> None:
    answer = reply(request(asked, cookie=b"old!"), HERE)
    assert attributes(answer)[1] == (0x000A, struct.pack("!HH", asked[0], asked[0]))


def test_a_fingerprint_is_answered_with_one() -> None:
    answer = reply(with_fingerprint(request()), HERE)
    assert answer is not None
    (_, (kind, value)) = attributes(answer)
    assert kind == 0x8028
    assert struct.unpack("!I", value)[0] == zlib.crc32(answer[:-8]) ^ 0x5354554E


def test_it_says_what_it_is_where_there_is_room() -> None:
    long = request((0x8022, b"a client of some name"))
    assert attributes(reply(long, HERE, SOFTWARE))[1] == (0x8022, SOFTWARE)
    assert len(attributes(reply(request(), HERE, SOFTWARE))) == 1


# --- silence ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        request()[:19],
        request() + b"more",
        request(kind=0x0011),  # an indication
        request(kind=0x0101),  # a response: two servers would go on forever
        request(kind=0x0003),  # TURN
        request()[:2] + b"\0\4" + request()[4:] + b"\x80\x22\0\x09",  # an attribute longer than the message
        with_fingerprint(request(), wrong=1),
        request((0x8022, bytes(1500))),
        b"OPTIONS sip:x SIP/2.0\r\n\r\n",
    ],
)
def test_what_is_no_good_request_gets_no_answer(data: bytes) -> None:
    assert reply(data, HERE) is None


def test_nobody_is_at_port_zero() -> None:
    assert reply(request(), ("192.0.2.1", 0)) is None


@given(
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=30)), max_size=30),
    st.booleans(),
    st.sampled_from([COOKIE, b"old!"]),
    st.sampled_from([("192.0.2.1", 5, 12), ("2001:db8::1", 5, 24)]),
)
def test_an_answer_is_not_longer_than_the_request_and_the_address(
    asked: list[tuple[int, bytes]], fingerprint: bool, cookie: bytes, remote: tuple[str, int, int]
) -> None:
    data = request(*asked, cookie=cookie)
    data = with_fingerprint(data) if fingerprint else data
    answer = reply(data, remote[:2], SOFTWARE)
    assert answer is None or len(answer) <= len(data) + max(remote[2], 16)


@given(st.binary(max_size=120))
def test_garbage_never_fails(data: bytes) -> None:
    reply(data, HERE, SOFTWARE)
    reply(b"\0\1" + struct.pack("!H", len(data)) + COOKIE + TRANSACTION + data, HERE, SOFTWARE)


# --- on a socket -----------------------------------------------------------------------------------------


@pytest.fixture
def counters() -> dict[str, int]:
    return defaultdict(int)


@pytest.fixture
async def server(counters: dict[str, int]) -> AsyncIterator[StunServer]:
    running = StunServer(["127.0.0.1", "[::1]"], 0, SOFTWARE, counters)
    await running.start()
    yield running
    await running.stop()


async def test_it_answers_on_both_families(server: StunServer, counters: dict[str, int]) -> None:
    loop = asyncio.get_running_loop()
    for host, port in server.local:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.bind((host, 0))
            client.sendto(b"garbage", (host, port))
            client.sendto(request(), (host, port))
            async with asyncio.timeout(5):
                answer = await loop.sock_recv(client, 2000)
            assert answer == reply(request(), client.getsockname()[:2], SOFTWARE)
    assert counters == {"stun_server_answers": 2, "stun_server_dropped": 2}


async def test_a_port_that_is_taken_is_told_and_nothing_stays_open(server: StunServer) -> None:
    port = server.local[0][1]
    second = StunServer(["127.0.0.2", "127.0.0.1"], port, b"", {})
    with pytest.raises(TransportError, match=rf"cannot listen on 127\.0\.0\.1, port {port}: Address already in use"):
        await second.start()
    assert second.local == []


async def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(TransportError, match="'house' is no IP address"):
        await StunServer(["house"], 0, b"", {}).start()
