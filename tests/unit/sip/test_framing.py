"""Messages out of a stream: pieces, keep-alives, limits."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.sip.framing import PING, PONG, StreamFramer

OPTIONS = (
    b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
)


def message(body: bytes = b"", length: bytes = b"Content-Length: ") -> bytes:
    return OPTIONS + length + str(len(body)).encode() + b"\r\n\r\n" + body


def test_one_segment_with_one_message_is_passed_on_as_it_is() -> None:
    data = message(b"hello")
    framer = StreamFramer()

    events = framer.feed(data)

    assert events == [data]
    assert events[0] is data
    assert not framer.pending


def test_pipelined_messages_come_out_in_order() -> None:
    first, second, third = message(b"1"), message(b"two\r\n\r\nparts"), message()

    assert StreamFramer().feed(first + second + third) == [first, second, third]


def test_byte_by_byte() -> None:
    framer = StreamFramer()
    data = b"\r\n" + message(b"abc") + b"\r\n\r\n" + message()

    events = [event for i in range(len(data)) for event in framer.feed(data[i : i + 1])]

    assert events == [message(b"abc"), PING, message()]
    assert framer.error is None


@given(st.lists(st.sampled_from([message(b"x" * 30), message(), PING, message(b"\r\n\r\n")])), st.data())
def test_any_cut_gives_the_same_events(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = StreamFramer()

    events: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        events += framer.feed(stream[start:end])

    assert events == parts


@pytest.mark.parametrize(
    "length",
    [
        b"Content-Length:",
        b"l: ",
        b"L :\t",
        b"content-length \t: ",
        b"CONTENT-LENGTH:\r\n  ",
        b"l\r\n : \r\n\t",
    ],
)
def test_content_length_in_odd_spellings(length: bytes) -> None:
    data = message(b"12345", length)

    assert StreamFramer().feed(data) == [data]


def test_content_length_is_not_found_in_other_headers() -> None:
    data = OPTIONS + b"X-Content-Length: 7\r\nSubject: x\r\n l: 9\r\nl: 0\r\n\r\n"

    assert StreamFramer().feed(data) == [data]


@pytest.mark.parametrize(
    "headers",
    [
        b"",
        b"Content-Length: x\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 5\r\nl: 6\r\n",
        b"Content-Length: 5\r\nl: 5, 6\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: 99999999999999999999\r\n",
    ],
)
def test_unusable_content_length_ends_the_stream_with_400(headers: bytes) -> None:
    framer = StreamFramer()

    assert framer.feed(message() + OPTIONS + headers + b"\r\n") == [message()]

    assert framer.error is not None
    assert framer.error.status == 400
    response = framer.error.response()
    assert response is not None
    assert response.startswith(b"SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n")
    assert b"CSeq: 1 OPTIONS\r\n" in response
    assert response.endswith(b"Content-Length: 0\r\n\r\n")
    assert framer.feed(message()) == []


def test_the_same_content_length_twice_is_tolerated() -> None:
    data = OPTIONS + b"Content-Length: 2\r\nl: 2\r\n\r\nab"

    assert StreamFramer().feed(data) == [data]


def test_too_long_body_is_answered_with_513() -> None:
    framer = StreamFramer(max_message=1000)

    assert framer.feed(OPTIONS + b"l: 1000\r\n\r\n") == []

    assert framer.error is not None
    assert framer.error.status == 513


def test_endless_headers_are_cut_off_without_an_answer() -> None:
    framer = StreamFramer(max_header=4096)

    for _ in range(500):
        framer.feed(b"X-Filler: 123456\r\n")

    assert framer.error is not None
    assert framer.error.response() is None


def test_acks_and_responses_are_never_answered() -> None:
    for start in (b"ACK sip:a@b SIP/2.0\r\n", b"SIP/2.0 200 OK\r\n", b"GET / HTTP/1.1\r\n"):
        framer = StreamFramer()
        framer.feed(start + b"Via: SIP/2.0/TCP h\r\n\r\n")
        assert framer.error is not None
        assert framer.error.response() is None


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00", b"\x00", b" OPTIONS", b"\xff", b"\n\n"])
def test_garbage_is_noticed_at_the_first_byte(garbage: bytes) -> None:
    framer = StreamFramer()

    assert framer.feed(garbage) == []

    assert framer.error is not None


def test_a_lone_crlf_is_a_pong_only_after_our_ping() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n") == []  # perhaps half a ping
    assert not framer.pending
    assert framer.feed(b"\r\n") == [PING]

    framer.ping_sent()
    events = framer.feed(b"\r\n")
    assert events == [PONG]
    assert events[0] is PONG
    assert framer.feed(b"\r\n" + message()) == [message()]


def test_ping_while_a_pong_is_due() -> None:
    framer = StreamFramer()
    framer.ping_sent()

    assert framer.feed(b"\r\n\r\n\r\n") == [PING, PONG]


def test_tiny_pieces_of_a_long_message_take_linear_time() -> None:
    def seconds(size: int) -> float:
        framer = StreamFramer()
        data = OPTIONS + b"X: " + b"y" * size + b"\r\nl: 0\r\n\r\n"
        begin = time.process_time()
        events = [event for i in range(len(data)) for event in framer.feed(data[i : i + 1])]
        assert events == [data]
        return time.process_time() - begin

    small = min(seconds(6000) for _ in range(3))
    assert min(seconds(60000) for _ in range(2)) < 40 * small
