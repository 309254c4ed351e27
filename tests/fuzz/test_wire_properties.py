"""Properties of what cuts and answers bytes on the wire: stream framing, STUN, WebSocket frames."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.sip.errors import SipError
from flexipy.sip.framing import PING, PONG, StreamFramer
from flexipy.sip.message import Response
from flexipy.sip.parsing import parse
from flexipy.transport import stun
from flexipy.transport.context import TransportContext
from flexipy.transport.options import TransportOptions
from flexipy.transport.tokens import load_key, read_token
from tests.fuzz.strategies import junk, message, spoiled

KEY = load_key("")


def with_length(data: bytes) -> bytes:
    head, _, body = data.partition(b"\r\n\r\n")
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


messages = st.lists(message.map(with_length), min_size=1, max_size=4)
cuts = st.lists(st.integers(1, 60), min_size=1, max_size=10)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    found = []
    for size in itertools.cycle(sizes):
        if not data:
            return found
        found.append(data[:size])
        data = data[size:]
    return found


@given(messages, cuts)
def test_messages_come_out_whole_however_they_are_cut(sent: list[bytes], sizes: list[int]) -> None:
    framer = StreamFramer()
    got = [event for piece in pieces(b"\r\n\r\n".join(sent), sizes) for event in framer.feed(piece)]
    assert [event for event in got if event is not PING] == sent
    assert framer.error is None
    assert not framer.pending


@given(st.lists(st.one_of(spoiled, junk, message), max_size=5).map(b"".join), cuts)
def test_any_stream_is_cut_the_same_however_it_arrives(data: bytes, sizes: list[int]) -> None:
    whole, pieced = StreamFramer(2000, 4000), StreamFramer(2000, 4000)
    at_once = whole.feed(data)
    in_pieces = [event for piece in pieces(data, sizes) for event in pieced.feed(piece)]
    assert [bytes(event) for event in in_pieces if event not in (PING, PONG)] == [
        bytes(event) for event in at_once if event not in (PING, PONG)
    ]
    assert (whole.error is None) == (pieced.error is None)
    if whole.error is not None and pieced.error is not None:
        assert whole.error.status == pieced.error.status
        assert whole.error.response() == pieced.error.response()


@given(spoiled)
def test_the_answer_to_a_broken_stream_is_a_response(data: bytes) -> None:
    framer = StreamFramer(1000, 2000)
    framer.feed(data)
    answer = framer.error.response() if framer.error is not None else None
    if answer is None:
        return
    try:
        response = parse(answer)
    except SipError:  # what it echoes may be as broken as the request was
        return
    assert isinstance(response, Response)
    assert response.status in (400, 513)


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda raw: header(len(raw)) + raw)))
def test_any_datagram_is_stun_or_not_and_is_answered_or_not(data: bytes) -> None:
    if stun.is_stun(data):
        for remote in (("192.0.2.1", 5060), ("2001:db8::1", 65535)):
            answer = stun.answer(data, remote)
            assert answer is None or stun.is_stun(answer)
            assert answer is None or len(answer) < 3 * len(data) + 80


def header(length: int) -> bytes:
    return struct.pack("!HHI12s", 1, length & ~3, stun.MAGIC_COOKIE, bytes(12))


@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=9)), max_size=6))
def test_any_attributes_of_a_binding_request_are_answered(attributes: list[tuple[int, bytes]]) -> None:
    body = b"".join(struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4) for kind, value in attributes)
    answer = stun.answer(header(len(body)) + body, ("192.0.2.1", 5060))
    assert answer is not None
    known = {0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x0024, 0x0025}
    strange = [kind for kind, _ in attributes if kind < 0x8000 and kind not in known]
    assert answer[:2] == (b"\x01\x11" if strange else b"\x01\x01")


@given(st.one_of(junk, st.text("ABCabc012-_", max_size=40).map(str.encode)))
def test_no_made_up_flow_token_leads_anywhere(token: bytes) -> None:
    assert read_token(KEY, token) is None


class Heard:
    """What a WebSocket flow hands on, and what it writes."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.context = TransportContext(lambda data, flow, now: self.messages.append(data), TransportOptions())


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
)


class Pipe:
    """Stands for the asyncio transport."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def get_extra_info(self, name: str) -> object:
        return {"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 4000)}.get(name)

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close
    pause_reading = resume_reading = lambda self: None


def masked(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    length = struct.pack("!BB", opcode, 0x80 | size) if size < 126 else struct.pack("!BBH", opcode, 0xFE, size)
    return length + bytes(4) + payload


frames = st.one_of(
    st.builds(
        masked, st.sampled_from([0x81, 0x82, 0x80, 0x01, 0x00, 0x88, 0x89, 0x8A, 0xC1, 0x8F]), st.one_of(junk, message)
    ),
    st.builds(masked, st.just(0x81), message),
    st.binary(max_size=30),
)


@pytest.mark.parametrize("first", [UPGRADE, b""], ids=["upgraded", "anything first"])
@given(sent=st.lists(frames, max_size=6), sizes=cuts)
async def test_any_websocket_stream_is_taken(first: bytes, sent: list[bytes], sizes: list[int]) -> None:
    from flexipy.transport.connections import ConnectionTable
    from flexipy.transport.websocket import WsFlow

    heard = Heard()
    flow = WsFlow(ConnectionTable(heard.context), b"WS", None, False)
    pipe = Pipe()
    flow.connection_made(pipe)  # type: ignore[arg-type]
    for piece in pieces(first + b"".join(sent), sizes):
        flow.data_received(piece)
        if pipe.closing:
            break
    flow.connection_lost(None)
    assert heard.context.counters.handler_errors == 0
    assert len(heard.messages) <= len(sent)
