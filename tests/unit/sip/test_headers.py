"""Typed header values and parameters (RFC 3261 sections 20 and 25)."""

from __future__ import annotations

import pytest

from flexipy.sip import names as H
from flexipy.sip.errors import HeaderError
from flexipy.sip.headers import CSeq, MediaType, NameAddr, Via, parse_seconds, parse_tokens, replace_uri
from flexipy.sip.params import find_param, parse_params, quote, split_values, unquote


@pytest.mark.parametrize(
    ("raw", "display", "uri", "params"),
    [
        (b"<sip:a@b>", "", b"sip:a@b", {}),
        (b"<sip:a@b;x=1>;y=2", "", b"sip:a@b;x=1", {"y": "2"}),
        (b"sip:a@b;tag=2", "", b"sip:a@b", {"tag": "2"}),
        (b"Bob <sip:a@b>", "Bob", b"sip:a@b", {}),
        (b"Bob  the   builder <sip:a@b>", "Bob  the   builder", b"sip:a@b", {}),
        (b'"A. \\"B\\" <sip:x@y>" <sip:a@b>;TAG=1', 'A. "B" <sip:x@y>', b"sip:a@b", {"tag": "1"}),
        (b'""<sip:a@b>', "", b"sip:a@b", {}),
        (b'<sip:a@b>;x="a;b,c>";y', "", b"sip:a@b", {"x": "a;b,c>", "y": None}),
        (b"<tel:+1;ext=2>", "", b"tel:+1;ext=2", {}),
        (b"<sip:a@b> ; tag = 1", "", b"sip:a@b", {"tag": "1"}),
    ],
)
def test_addresses_are_read(raw: bytes, display: str, uri: bytes, params: dict[str, str | None]) -> None:
    address = NameAddr.parse(raw)
    assert (address.display, address.uri_raw, address.params) == (display, uri, params)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"bob",
        b"<sip:a@b",
        b"<>",
        b"<bob>",
        b'"Bob <sip:a@b>',
        b'"Bob" sip:a@b',
        b"<sip:a@b> x",
        b"<<sip:a@b>>",
        b"Bob, Bill <sip:a@b>",
        b"sip:a@b?subject=x",
        b"sip:a@b,c",
        b"<sip:a b@c>",
        b"<sip:a@b>;=x",
    ],
)
def test_broken_addresses_are_refused(raw: bytes) -> None:
    with pytest.raises(HeaderError):
        NameAddr.parse(raw)


def test_an_address_is_written_so_that_it_can_be_read() -> None:
    address = NameAddr(b"sip:a@b", 'A "B" \\', {"tag": "x", "lr": None, "q": "a;b", "host": "[::1]:5"})
    assert bytes(address) == b'"A \\"B\\" \\\\" <sip:a@b>;tag=x;lr;q="a;b";host=[::1]:5'


@pytest.mark.parametrize(
    ("raw", "old", "expected"),
    [
        (b"<sip:a@b>;x", b"sip:a@b", b"<new>;x"),
        (b'"x <sip:a@b>" <sip:a@b>;p="sip:a@b"', b"sip:a@b", b'"x <sip:a@b>" <new>;p="sip:a@b"'),
        (b"sip:a@b;x", b"sip:a@b", b"<new>;x"),
        (b"< sip:a@b >;x", b"sip:a@b", b"< new >;x"),
    ],
)
def test_a_uri_is_replaced_in_its_place(raw: bytes, old: bytes, expected: bytes) -> None:
    assert replace_uri(raw, old, b"new") == expected


@pytest.mark.parametrize(
    ("raw", "transport", "host", "port"),
    [
        (b"SIP/2.0/UDP host;branch=z", "UDP", "host", None),
        (b"SIP / 2.0 / tcp  Host:5061 ;branch=z", "TCP", "host", 5061),
        (b"SIP/2.0/TLS [2001:DB8::9:1]:7;branch=z", "TLS", "2001:db8::9:1", 7),
        (b"sip/2.0/SCTP 192.0.2.1 : 5060;branch=z", "SCTP", "192.0.2.1", 5060),
    ],
)
def test_vias_are_read(raw: bytes, transport: str, host: str, port: int | None) -> None:
    via = Via.parse(raw)
    assert (via.transport, via.host, via.port, via.branch) == (transport, host, port, "z")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"host",
        b"SIP/2.0 host",
        b"SIP/3.0/UDP host",
        b"HTTP/2.0/UDP host",
        b"SIP/2.0/UDP",
        b"SIP/2.0/UDP h:x",
        b"SIP/2.0/U/D h",
    ],
)
def test_broken_vias_are_refused(raw: bytes) -> None:
    with pytest.raises(HeaderError):
        Via.parse(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"1", b"INVITE", b"x INVITE", b"-1 INVITE", b"4294967296 INVITE", b"1 A B", b"\xd9\xa3 INVITE"]
)
def test_broken_cseqs_are_refused(raw: bytes) -> None:
    with pytest.raises(HeaderError):
        CSeq.parse(raw)


def test_cseqs_media_types_and_numbers_are_read() -> None:
    assert CSeq.parse(b" 4294967295   FOO ") == CSeq(4294967295, "FOO")
    assert MediaType.parse(b"Application / SDP;Charset=x") == MediaType("application/sdp", {"charset": "x"})
    assert parse_seconds(b" 60 ") == 60
    assert parse_seconds(b"9" * 40) == 2**32 - 1
    assert parse_tokens(b"a, b ,,c") == ["a", "b", "c"]
    for broken in (b"", b"-1", b"1.5", b"1;x"):
        with pytest.raises(HeaderError):
            parse_seconds(broken)
    for broken in (b"", b"text", b"/x", b"text/"):
        with pytest.raises(HeaderError):
            MediaType.parse(broken)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", {}),
        (b";a=1;B;c=", {"a": "1", "b": None, "c": ""}),
        (b"a=1;;b=2;", {"a": "1", "b": "2"}),
        (b";a=1;a=2", {"a": "1"}),
        (b';a="x;y=1";b=2', {"a": "x;y=1", "b": "2"}),
        (b';a="\\"\\\\;";b', {"a": '"\\;', "b": None}),
        (b"; a = 1 ; b", {"a": "1", "b": None}),
    ],
)
def test_parameters_are_read(raw: bytes, expected: dict[str, str | None]) -> None:
    assert parse_params(raw) == expected


def test_lists_are_split_outside_of_quotes_and_brackets() -> None:
    assert split_values(b'a, "b, c" <sip:d,e>;x=1 , <f>') == [b"a", b'"b, c" <sip:d,e>;x=1', b"<f>"]
    with pytest.raises(HeaderError):
        split_values(b'a, "b')


def test_quoting_and_its_end() -> None:
    assert quote('a"b\\') == '"a\\"b\\\\"'
    assert [unquote(text) for text in ('"a\\"b\\\\"', "a", '"', '""', '"a\\"')] == ['a"b\\', "a", '"', "", "a"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"SIP/2.0/UDP h;branch=z;x", b"z"),
        (b"SIP/2.0/UDP h; Branch = z ;x", b"z"),
        (b"SIP/2.0/UDP h;branch", b""),
        (b"SIP/2.0/UDP h;xbranch=z", None),
        (b"SIP/2.0/UDP branch=z", None),
    ],
)
def test_one_parameter_is_found_without_the_others(raw: bytes, expected: bytes | None) -> None:
    assert find_param(raw, b"branch") == expected


def test_header_names_have_one_spelling() -> None:
    assert {H.canonical(raw) for raw in (b"Call-ID", b"call-id", b"CALL-id", b"i", b"I", b"Call-ID \t")} == {b"call-id"}
    assert H.canonical(b"X-Whatever") == b"x-whatever"
    for broken in (b"", b" Via", b"V ia", b"V\xeda", b"Via:"):
        with pytest.raises(HeaderError):
            H.canonical(broken)


def test_spellings_of_names_are_not_remembered_without_end() -> None:
    for number in range(10_000):
        H.canonical(b"X-Stranger-%d" % number)
    assert len(H.canonical_of) <= 4200
    assert H.canonical(b"X-Stranger-9999") == b"x-stranger-9999"
