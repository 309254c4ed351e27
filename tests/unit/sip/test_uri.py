"""SIP and tel URIs: the examples of RFC 3261 section 19.1 and the traps beside them."""

from __future__ import annotations

import pytest

from flexipy.sip.errors import UriError
from flexipy.sip.uri import SipUri, TelUri, scheme_of, unescape

EQUAL = [
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    (
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ),
    ("sip:bob@[2001:DB8::1]", "sip:bob@[2001:db8::1]"),
    ("SIP:bob@a.test", "sip:bob@a.test"),
]
DIFFERENT = [
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    ("sip:bob@a.test", "sips:bob@a.test"),
    ("sip:bob@a.test", "sip:a.test"),
    ("sip:bob:x@a.test", "sip:bob@a.test"),
    ("sip:bob@a.test", "sip:bob@a.test;user=phone"),
    ("sip:bob@a.test", "sip:bob@a.test;ttl=1"),
    ("sip:bob@a.test", "sip:bob@a.test;method=INVITE"),
    ("sip:bob@a.test", "sip:bob@a.test;maddr=192.0.2.1"),
]


def sip(text: str) -> SipUri:
    return SipUri.parse(text.encode())


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_by_the_rfc(one: str, other: str) -> None:
    assert sip(one).matches(sip(other))
    assert sip(other).matches(sip(one))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_by_the_rfc(one: str, other: str) -> None:
    assert not sip(one).matches(sip(other))
    assert not sip(other).matches(sip(one))


def test_all_parts_are_read() -> None:
    uri = sip("sips:alice:secret@Example.ORG:5071;Transport=TCP;lr;x=%41?subject=hi&to=x")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == ("sips", "alice", "secret", "example.org", 5071)
    assert uri.params == {"transport": "TCP", "lr": None, "x": "A"}
    assert uri.headers == "subject=hi&to=x"
    assert (uri.secure, uri.host_port, uri.aor) == (True, "example.org:5071", "alice@example.org")
    assert (uri.param("lr"), uri.param("x"), uri.param("y")) == ("", "A", None)


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("sip:;a=b?c/d@host", ";a=b?c/d"),
        ("sip:+1-212-555-1212:1234@gateway.com;user=phone", "+1-212-555-1212"),
        ("sip:alice;day=tuesday@atlanta.com", "alice;day=tuesday"),
        ("sip:%40@host", "%40"),
        ("sip:j%C3%A4s@host", "j%C3%A4s"),
    ],
)
def test_the_user_part_may_hold_nearly_anything(text: str, user: str) -> None:
    assert sip(text).user == user
    assert sip(text).raw == text.encode()


@pytest.mark.parametrize(
    "text",
    [
        "sip:",
        "sip:@host",
        "sip:a@",
        "sip:a@b@c",
        "sip:a b@c",
        "sip:a@b c",
        "sip:a@b:",
        "sip:a@b:x",
        "sip:a@b:65536",
        "sip:a@b:-1",
        "sip:a@b:٣",
        "sip:a@[::1",
        "sip:a@::1",
        "sip:a@[::1]x",
        "sip:a@[1.2.3.4]",
        "sip:a@b<c",
        'sip:"a"@b',
        "sip:a@b\r\nc",
        "sip:a@b;=x",
        "sip:a@" + "b" * 256,
        "sip:{a}@b",
        "bob",
        "",
    ],
)
def test_broken_uris_are_refused_with_400(text: str) -> None:
    with pytest.raises(UriError) as caught:
        sip(text)
    assert caught.value.status == 400


@pytest.mark.parametrize("text", ["tel:+1", "http://x", "nobodyKnowsThisScheme:totallyopaque", "a+b-c.d:x"])
def test_other_schemes_are_refused_with_416(text: str) -> None:
    with pytest.raises(UriError) as caught:
        sip(text)
    assert caught.value.status == 416


def test_copies_with_changes_leave_the_rest() -> None:
    uri = sip("sip:alice@a.test:5070;transport=tcp;pn-tok=x?h=1")
    assert uri.with_params(transport=None, lr="", x="a b").raw == b"sip:alice@a.test:5070;pn-tok=x;lr;x=a%20b?h=1"
    assert uri.with_params(pn_tok=None).raw == b"sip:alice@a.test:5070;transport=tcp?h=1"
    assert uri.without_params(frozenset(("pn-tok", "zz"))).raw == b"sip:alice@a.test:5070;transport=tcp?h=1"
    assert uri.without_params(frozenset(("zz",))) is uri
    assert uri.with_address("2001:db8::1", None).raw == b"sip:alice@[2001:db8::1];transport=tcp;pn-tok=x?h=1"


def test_what_a_parameter_holds_cannot_break_out_of_it() -> None:
    assert sip("sip:a@b").with_params(x=";y=1>\r\n").raw == b"sip:a@b;x=%3By%3D1%3E%0D%0A"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a%41b", "aAb"),
        ("100%", "100%"),
        ("%4", "%4"),
        ("%zz", "%zz"),
        ("%+1%1_% 1", "%+1%1_% 1"),
        ("%C3%A4", "ä"),
        ("%00", "\x00"),
        ("", ""),
    ],
)
def test_escapes_are_resolved_and_nonsense_is_left(text: str, plain: str) -> None:
    assert unescape(text) == plain


def test_telephone_numbers_are_compared_by_their_digits() -> None:
    number = TelUri.parse(b"tel:+1-201-555-0123;phone-context=x")
    assert (number.digits, number.params) == ("+12015550123", {"phone-context": "x"})
    assert number.to_sip("gw.test").raw == b"sip:+12015550123@gw.test;user=phone"
    for broken in (b"tel:", b"tel:abcxyz", b"sip:1@b", b"tel:1 2"):
        with pytest.raises(UriError):
            TelUri.parse(broken)


def test_schemes_are_read_without_their_uri() -> None:
    assert [scheme_of(raw) for raw in (b"SIPS:x", b"tel:1", b"nothing", b"")] == ["sips", "tel", "", ""]


def test_uris_with_the_same_parameters_share_them() -> None:
    first, second = SipUri.parse(b"sip:a@192.0.2.1;transport=tcp"), SipUri.parse(b"sip:b@192.0.2.2;transport=tcp")
    assert first.params is second.params
    assert first.params == {"transport": "tcp"}
    assert SipUri.parse(b"sip:c@192.0.2.2;transport=%74cp").params == {"transport": "tcp"}
    changed = second.with_params(transport=None)
    assert first.params == {"transport": "tcp"}
    assert changed.params == {}
