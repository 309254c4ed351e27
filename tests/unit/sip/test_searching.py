"""Both forms of each search find the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.sip import searching as s

LINES = st.lists(
    st.sampled_from([b"CSeq", b":", b" ", b"\t", b"12", b"7", b"0123456789", b"INVITE", b";", b"a=", b";tag=", b"x"]),
    max_size=8,
).map(b"".join)


@given(LINES)
def test_a_value_is_what_stands_behind_the_colon_without_blanks(line: bytes) -> None:
    assert s.octets_value_of(line) == s.plain_value_of(line) == s.value_of(line)


@given(LINES, st.sampled_from([b"tag", b"a", b"branch"]))
def test_a_parameter_is_the_first_of_its_name(value: bytes, name: bytes) -> None:
    assert s.octets_param_of(value, name) == s.plain_param_of(value, name) == s.param_of(value, name)


@given(LINES, st.sampled_from([b"INVITE", b"x"]))
def test_a_number_is_that_of_a_usual_cseq(line: bytes, method: bytes) -> None:
    assert s.octets_number_of(line, method) == s.plain_number_of(line, method) == s.number_of(line, method)


@given(LINES, st.integers(0, 255), st.integers(0, 9))
def test_an_octet_is_found_where_it_stands_first(data: bytes, octet: int, start: int) -> None:
    assert s.find_octet(data, octet, start) == data.find(octet, start)


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b"CSeq: 12 INVITE", 12),
        (b"CSeq:12 INVITE \t", 12),
        (b"CSeq: 999999999 INVITE", 999999999),
        (b"CSeq: 1000000000 INVITE", -1),
        (b"CSeq: 12  INVITE", -1),
        (b"CSeq: 12 BYE", -1),
        (b"CSeq: 12 INVITES", -1),
        (b"CSeq: INVITE", -1),
        (b"CSeq: 12", -1),
        (b"CSeq", -1),
    ],
)
def test_the_number_of_a_usual_cseq(line: bytes, number: int) -> None:
    assert s.number_of(line, b"INVITE") == number
