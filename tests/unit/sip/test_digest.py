"""Digest authentication, checked against the examples of the RFCs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.sip.digest import (
    ALGORITHMS,
    Challenge,
    answer,
    compute_ha1,
    compute_response,
    parse_authorization,
    parse_challenge,
    verify,
)
from flexipy.sip.digest_header import usual_credentials
from flexipy.sip.errors import HeaderError
from flexipy.sip.nonce import Freshness, NonceSource

RFC7616 = {"realm": "http-auth@example.org", "user": "Mufasa", "password": "Circle of Life"}
RFC7616_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC7616_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_response_is_that_of_rfc_7616(algorithm: str, expected: str) -> None:
    ha1 = compute_ha1(algorithm, RFC7616["user"], RFC7616["realm"], RFC7616["password"])
    response = compute_response(
        algorithm, ha1, "GET", "/dir/index.html", RFC7616_NONCE, "auth", "00000001", RFC7616_CNONCE
    )
    assert response == expected


def test_response_without_qop_is_that_of_rfc_2069() -> None:
    ha1 = compute_ha1("MD5", "Mufasa", "testrealm@host.com", "CircleOfLife")
    response = compute_response("MD5", ha1, "GET", "/dir/index.html", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
    assert response == "1949323746fe6a43ef61f9606e7febea"


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@pytest.mark.parametrize("qop", [("auth",), ()])
def test_an_answer_is_verified_and_another_password_is_not(algorithm: str, qop: tuple[str, ...]) -> None:
    challenge = parse_challenge(bytes(Challenge("r", "n", algorithm, qop, opaque="o")))
    ha1 = compute_ha1(algorithm, "alice", "r", "secret")
    credentials = parse_authorization(answer(challenge, "alice", ha1, "REGISTER", "sip:r", "c"))
    assert verify(credentials, ha1, "REGISTER")
    assert not verify(credentials, ha1, "INVITE")
    assert not verify(credentials, compute_ha1(algorithm, "alice", "r", "Secret"), "REGISTER")


def test_session_variant_is_verified() -> None:
    challenge = Challenge("r", "n", "MD5-SESS")
    ha1 = compute_ha1("MD5", "alice", "r", "secret")
    credentials = parse_authorization(answer(challenge, "alice", ha1, "REGISTER", "sip:r", "c"))
    assert credentials.algorithm == "MD5-SESS"
    assert verify(credentials, ha1, "REGISTER")


def test_unknown_algorithm_and_qop_are_not_verified() -> None:
    base = b'Digest username="a", realm="r", nonce="n", uri="sip:r", response="00"'
    assert not verify(parse_authorization(base + b", algorithm=MD6"), "0" * 32, "REGISTER")
    assert not verify(parse_authorization(base + b", qop=auth-int"), "0" * 32, "REGISTER")


def test_credentials_are_read_in_all_shapes() -> None:
    found = parse_authorization(
        b'digest  Username = "a, b=c" ,realm="", nonce="x\\"y", uri="sip:r;a=b,c",'
        b'\tresponse="ABC",algorithm="md5",nc=0000000a,qop="Auth", cnonce=zz, opaque='
    )
    assert found.username == "a, b=c"
    assert (found.realm, found.nonce, found.uri) == ("", 'x"y', "sip:r;a=b,c")
    assert (found.algorithm, found.qop, found.nonce_count, found.cnonce) == ("MD5", "auth", 10, "zz")
    assert found.opaque == ""


def test_a_name_in_a_quoted_string_is_not_taken_for_a_parameter() -> None:
    found = parse_authorization(
        b'Digest username="x, response=1, nonce=2", realm="r", cnonce="c", nonce="n", uri="u", response="3"'
    )
    assert (found.nonce, found.response, found.cnonce) == ("n", "3", "c")


def test_of_duplicate_parameters_the_first_counts() -> None:
    found = parse_authorization(
        b'Digest username="a", username="b", realm="r", nonce="n", uri="u", response="3", nc=00000001, nc=00000002'
    )
    assert (found.username, found.nc) == ("a", "00000001")


def test_user_name_in_utf_8_is_decoded() -> None:
    found = parse_authorization(
        b'Digest username*=UTF-8\'\'J%C3%A4s%C3%B8n, realm="r", nonce="n", uri="u", response="3"'
    )
    assert found.username == "Jäsøn"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"Basic abc",
        b"Digest",
        b'Digest username="a',
        b'Digest username="a", realm="r", nonce="n", uri="u"',
        b'Digest "a", realm="r", nonce="n", uri="u", response="1"',
        b'Digest junk, realm="r", nonce="n", uri="u", response="1"',
    ],
)
def test_broken_credentials_are_refused(raw: bytes) -> None:
    with pytest.raises(HeaderError):
        parse_authorization(raw)


@pytest.mark.parametrize("nc", ["1", "0000000g", "0x000001", "-0000001", " 0000001", "000000001"])
def test_a_nonce_count_has_eight_hexadecimal_digits(nc: str) -> None:
    raw = f'Digest username="a", realm="r", nonce="n", uri="u", response="1", nc="{nc}"'
    assert parse_authorization(raw.encode()).nonce_count == -1


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for read in (parse_authorization, parse_challenge):
        with contextlib.suppress(HeaderError):
            read(b"Digest " + raw)


@given(*[st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20) for _ in range(3)])
def test_what_a_client_writes_a_server_reads(username: str, realm: str, opaque: str) -> None:
    challenge = Challenge(realm, "nonce", opaque=opaque)
    assert parse_challenge(bytes(challenge)) == challenge
    credentials = parse_authorization(answer(challenge, username, "0" * 32, "REGISTER", "sip:x", "c"))
    assert (credentials.username, credentials.realm, credentials.opaque) == (username, realm, opaque)


def test_stale_challenge_says_so() -> None:
    assert bytes(Challenge("r", "n", stale=True)).endswith(b"stale=true")
    assert parse_challenge(bytes(Challenge("r", "n", stale=True))).stale


# --- nonces ----------------------------------------------------------------------------------------------


def test_a_nonce_is_fresh_for_its_lifetime() -> None:
    source = NonceSource(b"key", lifetime=60)
    nonce = source.make(1000.0)
    assert source.validate(nonce, 1000.0) is Freshness.FRESH
    assert source.validate(nonce, 1060.0) is Freshness.FRESH
    assert source.validate(nonce, 1061.0) is Freshness.STALE


def test_nonces_of_one_moment_differ() -> None:
    source = NonceSource(b"key")
    assert len({source.make(5.0) for _ in range(100)}) == 100


def test_another_secret_makes_a_nonce_forged_and_the_same_one_does_not() -> None:
    nonce = NonceSource(b"key").make(5.0)
    assert NonceSource(b"key").validate(nonce, 5.0) is Freshness.FRESH
    assert NonceSource(b"other").validate(nonce, 5.0) is Freshness.FORGED
    assert NonceSource(b"other").use(nonce, 1, 5.0) is Freshness.FORGED


@given(st.text(max_size=40))
def test_made_up_nonces_are_forged(nonce: str) -> None:
    assert NonceSource().validate(nonce, 5.0) is Freshness.FORGED


def test_a_nonce_count_is_good_once() -> None:
    source = NonceSource()
    nonce = source.make(5.0)
    assert source.use(nonce, 1, 5.0) is Freshness.FRESH
    assert source.use(nonce, 1, 5.0) is Freshness.STALE
    assert source.use(nonce, 2, 5.0) is Freshness.FRESH
    assert source.use(nonce, 1, 5.0) is Freshness.STALE


def test_counts_that_overtook_each_other_are_each_good_once() -> None:
    source = NonceSource()
    nonce = source.make(5.0)
    order = [1, 4, 3, 2, 40, 39, 9, 8]
    assert [source.use(nonce, count, 5.0) for count in order][:-1] == [Freshness.FRESH] * 7
    assert source.use(nonce, 3, 5.0) is Freshness.STALE  # out of the window
    assert source.use(nonce, 39, 5.0) is Freshness.STALE
    assert source.use(nonce, -1, 5.0) is Freshness.STALE


@given(st.lists(st.integers(1, 80), max_size=60))
def test_no_count_is_good_twice(counts: list[int]) -> None:
    source = NonceSource()
    nonce = source.make(5.0)
    good = [count for count in counts if source.use(nonce, count, 5.0) is Freshness.FRESH]
    assert len(good) == len(set(good))


def test_memory_is_bounded_and_a_forgotten_nonce_is_stale() -> None:
    source = NonceSource(capacity=2)
    nonces = [source.make(5.0 + index) for index in range(3)]
    for nonce in nonces:
        assert source.use(nonce, 1, 8.0) is Freshness.FRESH
    assert len(source) == 2
    assert source.use(nonces[0], 1, 8.0) is Freshness.STALE
    assert source.use(nonces[0], 2, 8.0) is Freshness.STALE
    assert source.use(nonces[2], 2, 8.0) is Freshness.FRESH


def test_lapsed_nonces_leave_the_memory_when_others_come() -> None:
    source = NonceSource(lifetime=10)
    for index in range(1000):
        now = 5.0 + index
        assert source.use(source.make(now), 1, now) is Freshness.FRESH
    assert len(source) < 100


def test_an_old_nonce_leaves_the_memory_when_it_comes_again() -> None:
    source = NonceSource(lifetime=10)
    nonce = source.make(5.0)
    source.use(nonce, 1, 5.0)
    assert source.use(nonce, 2, 16.0) is Freshness.STALE
    assert len(source) == 0


def test_a_quote_too_many_is_refused_also_in_a_form_that_is_known() -> None:
    good = b'Digest username="a", realm="r", nonce="n", uri="u", response="d", algorithm=MD5, qop=auth, cnonce="c"'
    for _ in range(2):
        assert parse_authorization(good).algorithm == "MD5"
    for extra in (b'"', b'"x', b'"SHA-256'):
        with pytest.raises(HeaderError):
            parse_authorization(good + extra)


def test_an_answer_that_another_server_accepted_does_not_count_here() -> None:
    here, there = NonceSource(b"s" * 32), NonceSource(b"s" * 32)
    nonce = there.make(1000.0)
    assert there.use(nonce, 1, 1000.0) is Freshness.FRESH
    here.note(nonce, 1)
    assert here.use(nonce, 1, 1000.0) is Freshness.STALE
    assert here.use(nonce, 2, 1000.0) is Freshness.FRESH
    here.note(nonce, 2)
    here.note(nonce, 4)
    assert [here.use(nonce, count, 1000.0) for count in (4, 3)] == [Freshness.STALE, Freshness.FRESH]


PIECES = st.lists(
    st.sampled_from(
        [
            'username="al"',
            'realm="a.test"',
            'nonce="n"',
            'uri="sip:a"',
            'response="r"',
            "algorithm=MD5",
            "algorithm=sha-256",
            'algorithm="MD5"',
            "qop=auth",
            'qop="AUTH"',
            "nc=00000002",
            'cnonce="c"',
            'opaque=""',
            "opaque",
            'auts="x"',
            "username*=UTF-8''x",
            'user="x"',
            'nonce="n\\""',
            "nonce=n",
            "Realm=x",
            "uri=",
            '"',
            "",
        ]
    ),
    max_size=12,
)


@given(PIECES, st.sampled_from([",", ", ", " , ", ",,", " "]), st.sampled_from(["Digest ", "digest ", "Basic ", ""]))
def test_credentials_in_the_usual_form_are_read_as_in_any_form(pieces: list[str], between: str, scheme: str) -> None:
    raw = (scheme + between.join(pieces)).encode()
    usual = usual_credentials(raw)
    if usual is not None:
        assert usual.fields() == parse_authorization(raw).fields()


def test_what_clients_write_is_the_usual_form() -> None:
    challenge = parse_challenge(b'Digest realm="a.test", nonce="n", algorithm=MD5, qop="auth"')
    assert usual_credentials(answer(challenge, "al", "0" * 32, "REGISTER", "sip:a.test", "c")) is not None
