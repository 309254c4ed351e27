"""What leaves by a stream must tell its length, whatever it came by (RFC 3261 sections 16.6 step 10, 20.14)."""

from __future__ import annotations

import pytest

from flexipy.sip import names as H
from flexipy.sip.parsing import parse

_START = {
    "request": b"MESSAGE sip:bob@example.org SIP/2.0\r\n",
    "response": b"SIP/2.0 180 Ringing\r\n",
}


@pytest.mark.parametrize("kind", _START)
@pytest.mark.parametrize("body", [b"", b"hello"])
def test_a_datagram_without_content_length_gets_one(kind: str, body: bytes) -> None:
    message = parse(_START[kind] + b"Call-ID: 1\r\n\r\n" + body)
    assert message.get(H.CONTENT_LENGTH) == b"%d" % len(body)
    assert bytes(message).endswith(b"\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@pytest.mark.parametrize("name", [b"Content-Length", b"l", b"CONTENT-LENGTH"])
def test_a_length_that_is_there_is_left_alone(name: bytes) -> None:
    data = _START["request"] + name + b": 5\r\nCall-ID: 1\r\n\r\nhello"
    assert bytes(parse(data)) == data
