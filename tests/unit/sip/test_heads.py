"""Reading a message's head: each case twice, since what is read once leaves its way behind."""

from __future__ import annotations

import pytest

from flexipy.sip import heads
from flexipy.sip import names as H
from flexipy.sip.errors import ParseError


def read(data: bytes) -> heads.Head:
    try:
        first = heads.read(data)
    except ParseError:
        with pytest.raises(ParseError):
            heads.read(data)
        raise
    assert heads.read(data) == first
    return first


def test_each_line_stands_beside_its_canonical_name() -> None:
    data = b"INVITE sip:a SIP/2.0\r\nv: x\r\nCALL-ID : y\r\nX-Odd: z\r\nmax-Forwards:7\r\n\r\nbody"
    start, lines, shape, body = read(data)
    assert start == b"INVITE sip:a SIP/2.0"
    assert lines == [b"v: x", b"CALL-ID : y", b"X-Odd: z", b"max-Forwards:7"]
    assert shape.names == (H.VIA, H.CALL_ID, b"x-odd", H.MAX_FORWARDS)
    assert body == b"body"


@pytest.mark.parametrize("spelling", [b"Via", b"VIA", b"via", b"vIa", b"v", b"V"])
def test_a_known_name_is_the_very_object_that_others_compare_with(spelling: bytes) -> None:
    assert read(b"x\r\n" + spelling + b": y\r\n\r\n")[2].names[0] is H.VIA


def test_every_known_name_is_recognised() -> None:
    for spelling, name in list(H.canonical_of.items()):
        assert read(b"x\r\n" + spelling + b": y\r\n\r\n")[2].names == (name,)


def test_a_folded_header_is_one_entry() -> None:
    _, lines, shape, _ = read(b"x\r\nSubject: one\r\n two\r\n\tthree: four\r\nTo: y\r\n\r\n")
    assert lines == [b"Subject: one\r\n two\r\n\tthree: four", b"To: y"]
    assert shape.names == (b"subject", H.TO)


def test_the_body_may_hold_anything() -> None:
    assert read(b"x\r\n\r\n\r\n\r\n\n: \0")[3] == b"\r\n\r\n\n: \0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"x\r\nTo: y\r\n",
        b"x\r\nTo: y\r\n\r",
        b"x\r\nTo: y\nFrom: z\r\n\r\n",
        b"x\r\nTo: y\rFrom: z\r\n\r\n",
        b"x\r\nTo y\r\n\r\n",
        b"x\r\n: y\r\n\r\n",
        b"x\r\nT@: y\r\n\r\n",
        b"x\r\n folded: y\r\n\r\n",
        b"x\r\nTo: y\nFrom: z\r\r\n\r\n",
        b"x\r\nTo: y\r\r\n\r\n",
        b"x\r\nTo: y\n\r\n\r\n",
        b"\r\n\r\n",
        b"x\r\n" + b"X: y\r\n" * (heads.MAX_HEADERS + 1) + b"\r\n",
    ],
)
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        read(data)
