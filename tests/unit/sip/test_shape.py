"""Shapes: which header stands where, shared by messages that are alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flexipy.sip import heads, shape
from flexipy.sip import names as H
from flexipy.sip.message import Request
from flexipy.sip.parsing import parse
from flexipy.sip.shape import EMPTY, shape_of

NAMES = st.lists(
    st.sampled_from([H.VIA, H.FROM, H.TO, H.CALL_ID, H.CSEQ, H.CONTACT, H.ROUTE, H.EXPIRES, b"x-odd"]), max_size=9
).map(tuple)


def message(*lines: str) -> Request:
    found = parse("\r\n".join(["OPTIONS sip:a@b SIP/2.0", *lines, "", ""]).encode())
    assert isinstance(found, Request)
    return found


def test_messages_with_the_same_headers_in_the_same_order_share_a_shape() -> None:
    one = message("Via: x", "From: y", "To: z", "Content-Length: 0")
    other = message("v: another", "f: y", "t: z", "l: 0")
    turned = message("From: y", "Via: x", "To: z", "Content-Length: 0")
    assert one.shape is other.shape
    assert one.shape is not turned.shape


@given(NAMES)
def test_a_shape_tells_where_each_header_stands_first(names: tuple[bytes, ...]) -> None:
    found = shape_of(names)
    assert found.names == names
    for name in (*names, b"x-missing"):
        assert found.at(name) == (names.index(name) if name in names else -1)
    assert found.via == found.at(H.VIA)
    assert found.route == found.at(H.ROUTE)
    assert (found.vias, found.contacts) == (names.count(H.VIA), names.count(H.CONTACT))
    needed = (H.CALL_ID, H.CSEQ, H.FROM, H.TO)
    assert found.missing == next((name for name in needed if name not in names), None)
    assert (found.twice is not None) == any(names.count(name) > 1 for name in (*needed, H.EXPIRES))


@given(NAMES, st.sampled_from([H.VIA, b"x-new"]))
def test_what_is_put_last_and_taken_out_leads_to_the_shape_of_what_is_left(
    names: tuple[bytes, ...], name: bytes
) -> None:
    longer = shape_of(names).then(name)
    assert longer is shape_of((*names, name))
    assert longer.without(len(names)) is shape_of(names)


def test_a_name_is_known_by_identity_whatever_object_it_was_made_of() -> None:
    made = EMPTY.then(b"".join([b"user-", b"agent"])).then(b"".join([b"call", b"-id"]))
    assert made.names[0] is H.USER_AGENT
    assert made.names[1] is H.CALL_ID


def test_splicing_keeps_lines_and_shape_in_step() -> None:
    request = message("Via: a", "Via: b", "From: y", "To: z", "Call-ID: c", "CSeq: 1 OPTIONS", "Content-Length: 0")
    request.insert_all(2, H.ROUTE, [b"Route: <sip:r1>", b"Route: <sip:r2>"])
    assert (request.shape.route, request.shape.from_) == (2, 4)
    request.remove_at(0)
    assert request.pop_first_value(H.ROUTE) == b"<sip:r1>"
    request.append(b"x-odd", b"X-Odd: 1")
    assert len(request.lines) == len(request.names)
    assert [request.lines[request.shape.at(name)] for name in (H.VIA, H.ROUTE, H.TO, b"x-odd")] == [
        b"Via: b",
        b"Route: <sip:r2>",
        b"To: z",
        b"X-Odd: 1",
    ]


def test_strangers_who_invent_headers_leave_no_more_behind_than_there_is_room_for() -> None:
    for number in range(12000):
        message(f"X-{number}: 1", f"Y-{number % 100}: 2", "Via: x", "Content-Length: 0")
    assert len(shape._shapes) <= shape._MOST_SHAPES
    assert heads._steps <= heads._MOST_STEPS
    assert all(len(root.ways) <= heads._MOST_WAYS for root in heads._roots)
    assert message("Via: x", "Content-Length: 0").shape.via == 0


def test_a_head_with_more_headers_than_the_tree_is_deep_is_read_all_the_same() -> None:
    found = message(*(f"X-{number}: {number}" for number in range(200)), "Via: x", "Content-Length: 0")
    assert found.shape.via == 200
    assert found.get(b"x-150") == b"150"
