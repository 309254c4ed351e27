"""Messages: read as they came, spliced a line at a time, everything else byte for byte (RFC 3261 section 7)."""

from __future__ import annotations

import pytest

from flexipy.sip import names as H
from flexipy.sip.errors import HeaderError, ParseError
from flexipy.sip.heads import MAX_HEADERS
from flexipy.sip.message import Request, Response, unfold
from flexipy.sip.parsing import VersionError, parse
from flexipy.sip.plain import plain_address

INVITE = (
    b"INVITE sip:bob@biloxi.com SIP/2.0\r\n"
    b"v: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds , SIP/2.0/TCP other.test;branch=z9hG4bK2\r\n"
    b"VIA:SIP/2.0/TLS third.test\r\n"
    b"Max-Forwards:   70\r\n"
    b't: "Bob, \\"the\\" builder" <sip:bob@biloxi.com>\r\n'
    b"f: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n"
    b"i: a84b4c76e66710\r\n"
    b"CSeq: 314159\r\n INVITE\r\n"
    b"Subject: I know you're there,\r\n\tpick up the phone\r\n   and answer!\r\n"
    b'm: <sip:alice@pc33.atlanta.com>, "a, b" <sip:x@y;z=1>;q=0.5\r\n'
    b"X-Odd:\xff\xfe : ; , <\r\n"
    b"x-empty:\r\n"
    b"l: 9\r\n"
    b"\r\n"
    b"body\r\n\r\nx"
)


def invite() -> Request:
    found = parse(INVITE)
    assert isinstance(found, Request)
    return found


def test_a_request_goes_out_as_it_came() -> None:
    assert bytes(invite()) == INVITE


def test_a_response_goes_out_as_it_came() -> None:
    data = b"SIP/2.0 299 \xe2\x98\x83 well\r\nv:x\r\nUnknown : y\r\nl:7\r\n\r\n\x00\r\nbody"
    found = parse(data)
    assert isinstance(found, Response)
    assert (found.status, found.body, bytes(found)) == (299, b"\x00\r\nbody", data)


def test_compact_names_and_any_case_are_known() -> None:
    request = invite()
    assert request.call_id == b"a84b4c76e66710"
    assert request.get(H.FROM) == b"Alice <sip:alice@atlanta.com>;tag=1928301774"
    assert request.count(H.VIA) == 2
    assert request.get(b"x-empty") == b""
    assert request.get(b"x-absent") is None
    assert H.CONTENT_LENGTH in request


def test_several_values_in_a_line_are_taken_apart() -> None:
    assert invite().get_all(H.VIA) == [
        b"SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds",
        b"SIP/2.0/TCP other.test;branch=z9hG4bK2",
        b"SIP/2.0/TLS third.test",
    ]
    assert [contact.display for contact in invite().contacts()] == ["", "a, b"]
    assert invite().get_all(b"x-absent") == []


def test_folded_lines_are_one_header() -> None:
    request = invite()
    assert request.get_text(b"subject") == "I know you're there, pick up the phone and answer!"
    assert (request.cseq.number, request.cseq.method) == (314159, "INVITE")
    assert unfold(b"a\r\n  b\r\n\tc") == b"a b c"


def test_addresses_and_the_topmost_via_are_decoded() -> None:
    request = invite()
    assert (request.to.display, request.to.uri.aor, request.to.tag) == ('Bob, "the" builder', "bob@biloxi.com", None)
    assert (request.from_uri.aor, request.to_uri.aor) == ("alice@atlanta.com", "bob@biloxi.com")
    assert request.top_via.host == "pc33.atlanta.com"
    assert not request.in_dialog


def test_splicing_touches_no_other_line() -> None:
    request = invite()
    request.set(H.MAX_FORWARDS, b"Max-Forwards: 69")
    request.insert(0, H.VIA, b"Via: ours")
    request.append(b"x-new", b"X-New: 1")
    request.remove(b"x-odd")
    expected = INVITE.replace(b"Max-Forwards:   70", b"Max-Forwards: 69").replace(b"X-Odd:\xff\xfe : ; , <\r\n", b"")
    expected = expected.replace(b"v: SIP", b"Via: ours\r\nv: SIP").replace(b"l: 9\r\n", b"l: 9\r\nX-New: 1\r\n")
    assert bytes(request) == expected


def test_a_copy_is_spliced_on_its_own() -> None:
    request = invite()
    copy = request.copy()
    copy.remove(H.VIA)
    copy.method = b"BYE"
    assert bytes(request) == INVITE


def test_first_values_are_taken_one_by_one() -> None:
    request = invite()
    values = request.get_all(H.VIA)
    assert [request.pop_first_value(H.VIA) for _ in range(4)] == [*values, None]
    assert H.VIA not in request
    contacts = request.get_all(H.CONTACT)
    assert [request.pop_first_value(H.CONTACT) for _ in range(2)] == contacts


def test_all_values_are_replaced_where_the_first_stood() -> None:
    request = invite()
    request.set_values(H.VIA, b"Via", [b"one", b"two"])
    assert request.lines[:2] == [b"Via: one", b"Via: two"]
    assert request.count(H.VIA) == 2
    request.set_values(H.ROUTE, b"Route", [b"<sip:x>"])
    assert request.lines[-1] == b"Route: <sip:x>"


def test_a_new_body_gets_its_length_and_type() -> None:
    request = invite()
    request.set_body(b"hello", b"text/plain")
    assert request.get(H.CONTENT_LENGTH) == b"5"
    assert request.get(H.CONTENT_TYPE) == b"text/plain"
    assert bytes(request).endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize(
    ("length", "body", "fault"),
    [(b"3", b"abc", ""), (b"9999", b"", "shorter"), (b"-1", b"", "bad"), (b"x", b"", "bad"), (b"", b"", "bad")],
)
def test_content_length_decides_what_the_body_is(length: bytes, body: bytes, fault: str) -> None:
    found = parse(b"INFO sip:a SIP/2.0\r\nContent-Length: " + length + b"\r\n\r\nabcdef")
    assert fault in found.length_fault
    assert bool(found.length_fault) == bool(fault)
    if body:
        assert found.body == body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"INVITE sip:a SIP/2.0\r\n",
        b"INVITE sip:a SIP/2.0\n\nTo: x\n\n",
        b"INVITE sip:a\r\n\r\n",
        b"INVITE  SIP/2.0\r\n\r\n",
        b" sip:a SIP/2.0\r\n\r\n",
        b"INVITE sip:a HTTP/1.1\r\n\r\n",
        b"SIP/2.0 99 x\r\n\r\n",
        b"SIP/2.0 700 x\r\n\r\n",
        b"SIP/2.0 2000 x\r\n\r\n",
        b"SIP/2.0 abc x\r\n\r\n",
        b"INVITE sip:a SIP/2.0\r\nno colon\r\n\r\n",
        b"INVITE sip:a SIP/2.0\r\n: no name\r\n\r\n",
        b"INVITE sip:a SIP/2.0\r\nb\xe4d name: x\r\n\r\n",
        b"INVITE sip:a SIP/2.0\r\n folded: from nothing\r\n\r\n",
        b"INVITE sip:a SIP/2.0\r\nTo: x\nFrom: y\r\n\r\n",
        b"INVITE sip:a SIP/2.0\r\nTo: x\rFrom: y\r\n\r\n",
        b"INVITE sip:a\nb SIP/2.0\r\nTo: x\r\n\r\n",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse(data)


def test_too_many_headers_are_refused_with_513() -> None:
    parse(b"INVITE sip:a SIP/2.0\r\n" + b"X: y\r\n" * MAX_HEADERS + b"\r\n")
    with pytest.raises(ParseError) as caught:
        parse(b"INVITE sip:a SIP/2.0\r\n" + b"X: y\r\n" * (MAX_HEADERS + 1) + b"\r\n")
    assert caught.value.status == 513


def test_another_version_is_known_for_what_it_is() -> None:
    with pytest.raises(VersionError) as caught:
        parse(b"OPTIONS sip:a SIP/7.0\r\nVia: x\r\n\r\n")
    assert caught.value.status == 505
    assert caught.value.request.get(H.VIA) == b"x"


def test_a_missing_header_is_an_error_only_when_asked_for() -> None:
    request = parse(b"INVITE sip:a SIP/2.0\r\nX: y\r\n\r\n")
    assert request.call_id == b""
    for ask in ("from_", "to", "cseq", "top_via", "from_uri", "to_uri"):
        with pytest.raises(HeaderError):
            getattr(request, ask)


@pytest.mark.parametrize(("status", "tagged"), [(100, False), (180, True), (404, True)])
def test_a_response_copies_what_it_must(status: int, tagged: bool) -> None:
    request = invite()
    request.append(H.TIMESTAMP, b"Timestamp: 54")
    response = Response.to_request(request, status, "", b"our" if tagged else b"")
    assert response.get_all(H.VIA) == request.get_all(H.VIA)
    for name in (H.FROM, H.CALL_ID, H.CSEQ):
        assert response.get(name) == request.get(name)
    assert response.to.tag == ("our" if tagged else None)
    assert (response.get(H.TIMESTAMP) is not None) == (status == 100)
    assert parse(bytes(response)).get(H.CONTENT_LENGTH) == b"0"


def test_a_tag_that_is_there_stays() -> None:
    request = Request.build(
        "BYE",
        "sip:a@b",
        [("Via", "x"), ("To", "<sip:a@b>;tag=old"), ("From", "y"), ("Call-ID", "1"), ("CSeq", "1 BYE")],
    )
    assert request.in_dialog
    assert Response.to_request(request, 481, "", b"new").to.tag == "old"


def test_addresses_stay_right_when_there_are_more_than_are_remembered() -> None:
    for number in range(20_000):
        line = b"From: <sip:crowd%d@example.org>;tag=1" % (number % 17_000)
        assert plain_address(line) == f"crowd{number % 17_000}@example.org"
