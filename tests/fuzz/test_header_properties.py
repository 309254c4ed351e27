"""Properties of URIs, typed headers, parameters and digest headers, whatever is read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.sip.digest import (
    Authorization,
    Challenge,
    NonceSource,
    answer,
    compute_ha1,
    parse_authorization,
    parse_challenge,
    verify,
)
from flexipy.sip.errors import SipError
from flexipy.sip.headers import (
    Credentials,
    CSeq,
    MediaType,
    NameAddr,
    Via,
    address_uri,
    parse_seconds,
    parse_tokens,
    replace_uri,
)
from flexipy.sip.message import Request
from flexipy.sip.params import (
    decode,
    encode,
    find_param,
    parse_params,
    quote,
    split_quoted,
    split_values,
    unquote,
)
from flexipy.sip.shape import shape_of
from flexipy.sip.uri import SipUri, TelUri, scheme_of, unescape
from tests.fuzz.strategies import grammar_text, host, inline, raw_value, text, token, uri

READERS: tuple[Callable[[bytes], object], ...] = (
    SipUri.parse,
    TelUri.parse,
    scheme_of,
    NameAddr.parse,
    NameAddr.parse_all,
    Via.parse,
    CSeq.parse,
    MediaType.parse,
    Credentials.parse,
    parse_seconds,
    parse_tokens,
    parse_params,
    split_values,
    address_uri,
    parse_authorization,
    parse_challenge,
    lambda raw: split_quoted(raw, 0x3B),
    lambda raw: find_param(raw, b"branch"),
    lambda raw: unescape(decode(raw)),
    lambda raw: parse_authorization(b"Digest " + raw),
    lambda raw: parse_challenge(b"Digest " + raw),
    lambda raw: Via.parse(b"SIP/2.0/UDP " + raw),
    lambda raw: SipUri.parse(b"sip:" + raw),
    lambda raw: NameAddr.parse(b"<sip:" + raw),
    lambda raw: TelUri.parse(b"tel:+1" + raw),
)


@pytest.mark.parametrize("reader", READERS, ids=range(len(READERS)))
@given(raw=raw_value)
def test_anything_is_read_or_is_a_sip_error(reader: Callable[[bytes], object], raw: bytes) -> None:
    with contextlib.suppress(SipError):
        reader(raw)


@given(st.binary(max_size=50))
def test_bytes_survive_as_text(raw: bytes) -> None:
    assert encode(decode(raw)) == raw


@given(uri)
def test_a_good_uri_keeps_its_bytes_and_equals_what_it_composes(raw: bytes) -> None:
    found = SipUri.parse(raw)
    assert found.raw == raw
    composed = SipUri(found.scheme, found.user, found.host, found.port, found.params, found.headers, found.password)
    assert SipUri.parse(composed.raw).matches(found)
    assert found.matches(found)
    assert found.with_params(zz="1").without_params(frozenset(("zz",))).matches(found)


@given(st.one_of(uri, raw_value.map(b"sip:".__add__)))
def test_what_is_read_can_be_composed_and_read_again(raw: bytes) -> None:
    try:
        found = SipUri.parse(raw)
    except SipError:
        return
    assert found.raw == raw
    composed = found.with_params(**{"zz": "\x00 \r\n%;=é"})
    again = SipUri.parse(composed.raw)
    assert (again.user, again.host, again.port, again.params) == (found.user, found.host, found.port, composed.params)
    assert b"\r" not in composed.raw
    assert b"\n" not in composed.raw


@given(uri, uri)
def test_equality_of_uris_does_not_depend_on_the_side(one: bytes, other: bytes) -> None:
    assert SipUri.parse(one).matches(SipUri.parse(other)) == SipUri.parse(other).matches(SipUri.parse(one))


params = st.dictionaries(
    st.text("abcdef-", min_size=1, max_size=5), st.one_of(st.none(), text.map(str.strip).filter(bool)), max_size=4
)


@given(uri, text.map(str.strip), params)
def test_an_address_is_written_as_it_is_read(raw: bytes, display: str, values: dict[str, str | None]) -> None:
    address = NameAddr(raw, display, values)
    again = NameAddr.parse(bytes(address))
    assert (again.uri_raw, again.display, again.params) == (raw, display, values)


@given(uri, text, uri)
def test_another_uri_in_an_address_changes_only_that(raw: bytes, display: str, other: bytes) -> None:
    value = encode(quote(display)) + b" <" + raw + b'>;x="a;b"'
    assert replace_uri(value, raw, other) == encode(quote(display)) + b" <" + other + b'>;x="a;b"'


@given(text)
def test_a_quoted_text_is_unquoted(value: str) -> None:
    assert unquote(quote(value)) == value
    assert parse_params(encode(f"a={quote(value)};b"))["a"] == value


@given(
    st.lists(st.builds(lambda name, raw: encode(quote(name)) + b" <" + raw + b">", text, uri), min_size=1, max_size=4)
)
def test_values_of_one_line_are_taken_apart(values: list[bytes]) -> None:
    assert split_values(b" , ".join(values)) == values


@given(host, st.one_of(st.none(), st.integers(0, 65535)), token)
def test_a_via_is_read_as_it_is_written(name: str, port: int | None, branch: bytes) -> None:
    sent_by = name if port is None else f"{name}:{port}"
    via = Via.parse(f"SIP/2.0/UDP {sent_by};branch=".encode() + branch)
    assert (via.host, via.port, via.branch) == (name.strip("[]"), port, decode(branch))


@given(st.text(min_size=0, max_size=20).filter(lambda name: "\r" not in name and "\n" not in name), text, inline)
def test_credentials_are_read_as_they_are_written(user: str, realm: str, nonce: bytes) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        user.encode()
        challenge = parse_challenge(bytes(Challenge(realm, decode(nonce))))
        assert (challenge.realm, challenge.nonce) == (realm, decode(nonce))
        ha1 = compute_ha1("MD5", user, realm, "secret")
        credentials = parse_authorization(answer(challenge, user, ha1, "INVITE", "sip:a@b", "c"))
        assert (credentials.username, credentials.realm) == (user, realm)
        assert verify(credentials, ha1, "INVITE")
        assert not verify(credentials, ha1, "BYE")


@given(st.lists(text, min_size=10, max_size=10))
def test_made_up_credentials_are_refused_without_an_error(fields: list[str]) -> None:
    credentials = Authorization(*fields)
    assert verify(credentials, "0" * 32, "REGISTER") is False
    assert isinstance(credentials.nonce_count, int)


@given(
    st.one_of(st.text(max_size=40), st.text("0123456789abcdefABC_", min_size=54, max_size=54)), st.integers(-2, 2**32)
)
def test_no_made_up_nonce_is_taken(nonce: str, count: int) -> None:
    source = NonceSource(b"x" * 32)
    assert source.validate(nonce, 1000.0).value == "forged"
    assert source.use(nonce, count, 1000.0).value == "forged"
    assert len(source) == 0


heads = st.sampled_from(
    ["From: ", "f: ", "FROM:", "From : ", 'From: "Al" ', 'f: "<sip:x@y>" ', 'From:"a\\"b" ', "From: Al "]
)
addresses = ["alice@a.test", "a@b", "+1@b", "A@B", "a%41@b", "a@b:5060", "a@b;x=1", "@b", "a@", "a@" + "b" * 256]
inner = st.one_of(st.sampled_from(addresses), grammar_text)
tails = st.sampled_from(["", ";tag=1", ";tag=a;x", " ;tag=1", ">;tag=1", ", <sip:c@d>", ';x="<sip:c@d>"', "x"])


@given(heads, st.sampled_from(["<sip:", "<sips:", "<SIP:", "sip:", "<tel:"]), inner, st.sampled_from([">", ""]), tails)
def test_the_short_way_to_an_address_leads_where_the_long_one_does(
    head: str, scheme: str, address: str, end: str, tail: str
) -> None:
    line = encode(f"{head}{scheme}{address}{end}{tail}")
    found = Request(b"INVITE", b"sip:a@b", [line], shape_of((b"from",)))
    try:
        expected = found.from_uri.aor
    except SipError:
        expected = ""
    try:
        assert found.from_aor == expected
    except SipError:
        assert expected == ""


FIELDS = ('Digest username="a"', 'realm="r"', 'nonce="n"', 'uri="sip:x"', 'response="d"', "qop=auth", 'qop="auth"')
ODD = (
    "nc=00000001",
    'cnonce="c"',
    'opaque="',
    "algorithm=MD5",
    'algorithm="md5"',
    "username*=UTF-8''b",
    '"',
    "=",
    'x="y" z',
)
pieces = st.sampled_from(FIELDS + ODD)


@given(st.lists(pieces, min_size=5, max_size=12).map(", ".join))
def test_credentials_are_read_the_same_each_time(text: str) -> None:
    def read(raw: bytes) -> Authorization | None:
        try:
            return parse_authorization(raw)
        except SipError:
            return None

    raw = encode(text)
    first = read(raw)
    assert read(raw) == first
    # Escapes take the long way and mean nothing here.
    assert read(raw.replace(b'realm="r"', b'realm="\\r"')) == first
