"""Properties of the message reader, whatever is read."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from flexipy.sip import heads
from flexipy.sip import names as H
from flexipy.sip.errors import SipError
from flexipy.sip.message import Message, Request, Response
from flexipy.sip.parsing import parse
from flexipy.sip.transaction.client import ack_for, cancel_for
from flexipy.sip.validation import check_request, check_response, check_thoroughly
from tests.fuzz.reading import read_head
from tests.fuzz.strategies import any_message, line, message, spoiled, token

ANSWERED = st.sampled_from([H.VIA, H.ROUTE, H.CONTACT, H.FROM, H.TO, b"x-odd"])


def read(data: bytes) -> Request | Response | None:
    try:
        return parse(data)
    except SipError:
        return None


@given(any_message)
def test_anything_is_a_message_or_a_sip_error(data: bytes) -> None:
    found = read(data)
    if found is None:
        return
    for ask in (
        lambda: found.cseq,
        lambda: found.from_,
        lambda: found.to,
        lambda: found.from_uri,
        lambda: found.to_uri,
        lambda: found.top_via,
        found.contacts,
        lambda: found.get_all(H.ROUTE),
        lambda: found.get_text(b"subject"),
        lambda: isinstance(found, Request) and found.uri,
    ):
        with contextlib.suppress(SipError):
            ask()
    assert repr(found)


def with_length(data: bytes) -> bytes:
    """A datagram may leave Content-Length out; what goes on always has one."""
    found = parse(data)
    head, end, body = data.partition(b"\r\n\r\n")
    if found.lines[-1] == b"Content-Length: %d" % len(body) and not head.endswith(found.lines[-1]):
        return head + b"\r\n" + found.lines[-1] + end + body
    return data


@given(message)
def test_what_is_read_is_written_as_it_was(data: bytes) -> None:
    assert bytes(parse(data)) == with_length(data)


@given(any_message)
def test_what_is_written_reads_the_same(data: bytes) -> None:
    found = read(data)
    if found is not None:
        again = parse(bytes(found))
        assert (again.start_line, again.lines, again.names, again.body) == (
            found.start_line,
            found.lines,
            found.names,
            found.body,
        )


@given(any_message)
def test_any_message_passes_the_checks_or_is_a_sip_error(data: bytes) -> None:
    found = read(data)
    if isinstance(found, Request):
        if H.VIA not in found:
            return  # nobody to answer: such a one is dropped before
        with contextlib.suppress(SipError):
            check_request(found)
            check_thoroughly(found)
            check_thoroughly(found)  # what was found good before
    elif found is not None:
        assert check_response(found) in (True, False)


def others(found: Message, name: bytes) -> list[bytes]:
    return [each for each, other in zip(found.lines, found.names, strict=True) if other != name]


@given(message, ANSWERED, st.lists(token, min_size=1, max_size=3))
def test_splicing_one_header_leaves_the_others_as_they_were(data: bytes, name: bytes, values: list[bytes]) -> None:
    found = parse(data)
    before = others(found, name)
    found.set_values(name, b"Title", values)
    assert found.get_all(name) == values
    found.set(name, b"Title: z")
    assert found.get(name) == b"z"
    assert others(found, name) == before
    assert found.remove(name) == len(values)
    assert name not in found
    assert (others(found, name), found.body) == (before, parse(data).body)


@given(message, line, st.integers(0, 12))
def test_inserting_a_line_and_taking_it_out_changes_nothing(data: bytes, new: bytes, place: int) -> None:
    found = parse(data)
    found.insert(min(place, len(found.lines)), b"x-new", new)
    found.remove_at(found.names.index(b"x-new"))
    assert bytes(found) == with_length(data)


@given(any_message, ANSWERED)
def test_taking_the_first_value_leaves_the_rest(data: bytes, name: bytes) -> None:
    found = read(data)
    if found is None:
        return
    try:
        values = found.get_all(name)
        before = others(found, name)
        first = found.pop_first_value(name)
    except SipError:
        return
    assert others(found, name) == before
    if not values:
        assert first is None
    else:
        assert first == values[0]
        assert found.get_all(name) == values[1:]


@given(any_message, st.integers(100, 699))
def test_any_request_can_be_answered(data: bytes, status: int) -> None:
    found = read(data)
    if isinstance(found, Request):
        response = parse(bytes(Response.to_request(found, status, "", b"tag")))
        assert isinstance(response, Response)
        assert response.status == status
        for name in (H.VIA, H.FROM, H.CALL_ID, H.CSEQ):
            assert response.get(name) == found.get(name)


@given(st.one_of(message, spoiled), st.one_of(message, spoiled))
def test_ack_and_cancel_of_anything_can_be_read(one: bytes, other: bytes) -> None:
    sent, answered = read(one), read(other)
    if not isinstance(sent, Request) or not isinstance(answered, Response):
        return
    with contextlib.suppress(SipError):
        check_request(sent)
        if not check_response(answered):
            return
        for derived in (cancel_for(one), ack_for(one, answered)):
            found = parse(derived)
            assert isinstance(found, Request)
            assert found.uri_raw == sent.uri_raw
            assert found.cseq.number == sent.cseq.number
            assert found.get(H.VIA) == sent.top_via_raw


def taken_apart(data: bytes) -> tuple[bytes, list[bytes], tuple[bytes, ...], bytes] | None:
    try:
        start, lines, shape, body = heads.read(data)
    except SipError:
        return None
    return start, lines, shape.names, body


def plainly_taken_apart(data: bytes) -> tuple[bytes, list[bytes], tuple[bytes, ...], bytes] | None:
    try:
        return read_head(data)
    except SipError:
        return None


@given(any_message)
def test_the_way_of_earlier_messages_leads_to_what_stands_there(data: bytes) -> None:
    plain = plainly_taken_apart(data)
    assert taken_apart(data) == plain
    assert taken_apart(data) == plain


@given(st.lists(st.sampled_from([b"a", b":", b"\r", b"\n", b"\r\n", b" ", b"To: x\r\n"]), max_size=12).map(b"".join))
def test_line_ends_of_any_kind_are_told_apart(data: bytes) -> None:
    data = b"x" + data + b"\r\n\r\n"
    assert taken_apart(data) == plainly_taken_apart(data)
