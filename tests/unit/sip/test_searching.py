"""Both forms of each search find the same: that for compiled code runs interpreted, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.sip import digits
from flexipy.sip import searching as s
from flexipy.sip.headers import NameAddr
from flexipy.sip.plain import plain_address, scanned_address
from flexipy.sip.uri import SipUri, usual_uri
from flexipy.sip.validation import _check_contact, is_usual_contact

T = TypeVar("T")


def by_octets(search: Callable[[], T]) -> T:
    """What a search finds in its form for compiled code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s, "COMPILED", True)
        return search()


def param(value: bytes, name: bytes) -> bytes | None:
    """The first `;name=value`, slowly."""
    begin = value.find(b";" + name + b"=")
    return None if begin < 0 else value[begin + len(name) + 2 :].partition(b";")[0]


LINES = st.lists(
    st.sampled_from([b"CSeq", b":", b" ", b"\t", b"12", b"7", b"0123456789", b"INVITE", b";", b"a=", b";tag=", b"x"]),
    max_size=8,
).map(b"".join)


@given(LINES)
def test_a_value_is_what_stands_behind_the_colon_without_blanks(line: bytes) -> None:
    assert s.value_of(line) == by_octets(lambda: s.value_of(line)) == line.partition(b":")[2].strip()


@given(LINES, st.sampled_from([b"tag", b"a", b"branch"]))
def test_a_parameter_is_the_first_of_its_name(value: bytes, name: bytes) -> None:
    assert s.param_of(value, name) == by_octets(lambda: s.param_of(value, name)) == param(value, name)


@given(LINES, st.sampled_from([b"INVITE", b"x"]))
def test_a_number_is_that_of_a_usual_cseq(line: bytes, method: bytes) -> None:
    assert s.number_of(line, method) == by_octets(lambda: s.number_of(line, method))


@given(LINES, st.sampled_from([b"=;", b"x", b"INVITE", b" 12"]))
def test_a_word_is_found_where_it_stands(text: bytes, word: bytes) -> None:
    assert by_octets(lambda: s.contains(text, word)) == s.contains(text, word) == (text.find(word) >= 0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"sip:al@h;pn-tok=1", True),
        (b"<sip:al@h>; app-id=x", True),
        (b"<sip:al@h>;x=1;pn-", True),
        (b"sip:al@h;transport=tcp", False),
        (b"sip:al@h;", False),
    ],
)
def test_a_parameter_is_known_by_how_its_name_begins(text: bytes, found: bool) -> None:
    words = (b"pn-", b"app-id")
    assert by_octets(lambda: s.has_parameter(text, words)) is s.has_parameter(text, words) is found


@given(LINES, st.integers(0, 255), st.integers(0, 9))
def test_an_octet_is_found_where_it_stands_first(data: bytes, octet: int, start: int) -> None:
    assert by_octets(lambda: s.find_octet(data, octet, start)) == data.find(octet, start)


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


VIAS = st.lists(
    st.sampled_from(
        [
            b"SIP/2.0/UDP ",
            b"host:5060",
            b" ",
            b";",
            b";rport",
            b";rport=5",
            b";received=1",
            b";rec",
            b";branch=z",
            b"\t",
        ]
    ),
    max_size=7,
).map(b"".join)


@given(VIAS)
def test_sent_by_and_rport_of_a_via(via: bytes) -> None:
    sent_by = via.partition(b";")[0].rstrip().rpartition(b" ")[2]
    assert s.sent_by_of(via) == by_octets(lambda: s.sent_by_of(via)) == sent_by
    assert s.rport_at(via) == by_octets(lambda: s.rport_at(via))


@given(LINES)
def test_a_count_is_a_number_alone(line: bytes) -> None:
    assert s.count_of(line) == by_octets(lambda: s.count_of(line))


ADDRESSES = st.lists(
    st.sampled_from(
        [
            b"From:",
            b"t:",
            b" ",
            b'"',
            b'"Al <x> Y"',
            b"Al",
            b"<",
            b"<sip:",
            b"al",
            b"+4",
            b"@",
            b"h.test",
            b">",
            b";tag=1",
            b"\\",
        ]
    ),
    max_size=9,
).map(b"".join)


@given(ADDRESSES)
def test_an_address_that_is_recognised_means_what_the_long_way_finds(line: bytes) -> None:
    for found in (scanned_address(line), plain_address(line)):
        if found:
            address = NameAddr.parse(line.partition(b":")[2].strip())
            assert found == address.uri.aor


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (b"From: <sip:al@h.test>", "al@h.test"),
        (b'To: "Al <sip:x@y>" <sip:+4al@h.test>;tag=1', "+4al@h.test"),
        (b"From:\t<sip:al@h.test>;x", "al@h.test"),
        (b"From: Al <sip:al@h.test>", ""),
        (b"From: <sip:al@h.test:5060>", ""),
        (b"From: <sip:al@h.test;x=y>", ""),
        (b"From: <sips:al@h.test>", ""),
        (b"From: <sip:al@H.test>", ""),
        (b"From: <sip:@h.test>", ""),
        (b"From: <sip:al@>", ""),
        (b"From: <sip:al@h@test>", ""),
        (b"From: <sip:al@h.test> x", ""),
        (b"From: <sip:al@h.test>, <sip:b@h.test>", ""),
        (b"From: <sip:al@h.test>;x=<sip:b@h.test>", ""),
        (b'From: "Al\\"" <sip:al@h.test>', ""),
        (b"From: <sip:al@h.test", ""),
        (b"From", ""),
    ],
)
def test_an_address_in_the_usual_form(line: bytes, address: str) -> None:
    assert scanned_address(line) == address


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_out_of_tables_are_written_like_others(number: int) -> None:
    assert digits.decimal(number) == b"%d" % number
    assert digits.hex8(number) == b"%08x" % (number & 0xFFFFFFFF)
    assert digits.hex16(number) == b"%016x" % (number & 0xFFFFFFFFFFFFFFFF)
    assert digits.three_digits(number % 1000) == b"%03d" % (number % 1000)


URIS = st.lists(
    st.sampled_from(
        [
            "sip:",
            "SIP:",
            "sips:",
            "al",
            "AL",
            "%41",
            "@",
            "h.test",
            "H",
            ":",
            "5060",
            "70000",
            ";",
            "x=y",
            "lr",
            "?",
            "[::1]",
        ]
    ),
    max_size=8,
).map("".join)


@given(URIS)
def test_a_usual_uri_is_read_as_any_other(text: str) -> None:
    raw = text.encode()
    usual = usual_uri(raw)
    if usual is not None:
        found = SipUri.parse(raw)
        for name in ("scheme", "user", "host", "port", "params", "headers", "password", "raw", "aor"):
            assert getattr(usual, name) == getattr(found, name)


@pytest.mark.parametrize(
    "raw",
    [
        b"sip:h.test",
        b"sip:al@h.test",
        b"sip:Al+1@h.test:5060",
        b"sip:al@192.0.2.1:5060;transport=tcp;lr",
        b"sip:h:1;a=b",
    ],
)
def test_what_clients_write_is_a_usual_uri(raw: bytes) -> None:
    assert usual_uri(raw) is not None


CONTACTS = st.lists(
    st.sampled_from(
        [
            "<sip:al@h.test>",
            '"Al" ',
            '"',
            "<sips:a@b>",
            "*",
            ";",
            "=",
            "q=0.7",
            "expires=60",
            ",",
            " ",
            "\\",
            '"<urn:x>"',
            "<",
        ]
    ),
    max_size=7,
).map("".join)


@given(CONTACTS)
def test_a_contact_found_usual_passes_every_check(text: str) -> None:
    line = b"Contact: " + text.encode()
    if is_usual_contact(line):
        _check_contact(line.partition(b":")[2].strip())


@pytest.mark.parametrize(
    ("value", "usual"),
    [
        (b"<sip:al@192.0.2.1:5060>", True),
        (b'"Al" <sip:al@h.test>;+sip.instance="<urn:uuid:1>";reg-id=1;expires=60', True),
        (b"<sip:al@h.test>;;x", False),
        (b"<sip:al@h.test>;x;", False),
        (b"<sip:al@h.test>;=x", False),
        (b"<sip:al@h.test>x", False),
        (b'<sip:al@h.test>;x="y"z', False),
        (b'<sip:al@h.test>;x="y', False),
        (b"<sip:al@h.test>, <sip:b@h.test>", False),
        (b"*", False),
        (b"sip:al@h.test", False),
    ],
)
def test_a_usual_contact_is_one_address_with_parameters(value: bytes, usual: bool) -> None:
    assert is_usual_contact(b"m: " + value) is usual
