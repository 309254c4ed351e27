"""Which form of a codec takes which other, and what an offer and an answer become."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.modules.media_relay.forms import (
    Form,
    forms_of,
    keep_simplest,
    keep_simplest_of,
    may_renumber,
    name_simplest_first,
    renumbering,
)
from flexipy.sip.errors import SipError
from flexipy.sip.sdp import Media, Sdp

LIKE_BARESIP = [
    (96, "packetization-mode=0;profile-level-id=42801f"),
    (97, "packetization-mode=1;profile-level-id=42801f"),
]


def section(
    forms: list[tuple[int, str]], extra: str = "", protocol: str = "RTP/AVP", name: str = "H264/90000"
) -> Media:
    """A video section that has H.264 in these forms."""
    numbers = " ".join(str(number) for number, _ in forms)
    lines = [f"m=video 5000 {protocol} {numbers}"]
    for number, parameters in forms:
        lines += [f"a=rtpmap:{number} {name}", f"a=rtcp-fb:{number} nack pli"]
        lines += [f"a=fmtp:{number} {parameters}"] if parameters else []
    text = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n" + "\r\n".join(lines) + "\r\n" + extra
    return Sdp.parse(text.encode()).media[0]


def form(mode: str = "", profile: str = "") -> Form:
    """A form of H.264."""
    said = {b"packetization-mode": mode.encode(), b"profile-level-id": profile.encode()}
    return Form(b"H264/90000", {name: value for name, value in said.items() if value})


@pytest.mark.parametrize(
    ("agreed", "sent", "takes"),
    [
        (form("1", "42801f"), form("0", "42801f"), True),
        (form("0", "42801f"), form("1", "42801f"), False),
        (form("0", "42801f"), form("", "42801f"), True),
        (form("1", "42801f"), form("2", "42801f"), False),
        (form("2", "42801f"), form("0", "42801f"), False),
        (form("1", "64001f"), form("0", "42E01F"), True),
        (form("1", "42e01f"), form("1", "64001f"), False),
        (form("1", "42e00d"), form("1", "42e01f"), True),
        (form("1", "4d001f"), form("1"), True),
        (form("1", "58a01f"), form("1", "58a00d"), True),
        (form("1", "64001f"), form("1", "58a01f"), False),
        (form("1", "zz"), form("1", "zz"), True),
        (form("1", "42801f"), Form(b"VP8/90000", {}), False),
        (Form(b"VP8/90000", {b"max-fr": b"30"}), Form(b"VP8/90000", {}), True),
        (Form(b"VP9/90000", {b"profile-id": b"2"}), Form(b"VP9/90000", {b"profile-id": b"0"}), False),
        (Form(b"VP9/90000", {b"profile-id": b"0"}), Form(b"VP9/90000", {b"profile-id": b"0"}), True),
    ],
)
def test_a_form_takes_the_simpler_ones(agreed: Form, sent: Form, takes: bool) -> None:
    assert agreed.takes(sent) is takes


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ([(96, "packetization-mode=0;profile-level-id=42801f")], {}),
        ([(97, "packetization-mode=1;profile-level-id=42801f")], {96: 97}),
        ([(97, "")], {96: 97}),  # what it does not say is as it was offered
        ([(97, "packetization-mode=1;profile-level-id=64000d")], {96: 97}),
        ([(120, "packetization-mode=0;profile-level-id=42801f")], {96: 120}),
        ([(120, "packetization-mode=1;profile-level-id=42801f")], {96: 120, 97: 120}),
        (LIKE_BARESIP, {}),
    ],
)
def test_a_receiver_gets_what_it_takes_by_its_own_number(
    answer: list[tuple[int, str]], numbers: dict[int, int]
) -> None:
    assert renumbering(section(LIKE_BARESIP), section(answer)) == numbers


def test_another_codec_of_the_same_number_is_no_form() -> None:
    assert renumbering(section(LIKE_BARESIP), section([(97, "")], name="VP8/90000")) == {}


def test_the_offerer_is_told_the_simplest_form_first() -> None:
    limits = "max-fs=1620;sprop-parameter-sets=Z0IAH5WoFAFuQA==,aM48gA=="
    answer = section([(97, f"packetization-mode=1;profile-level-id=42800d;{limits}")])
    before = answer.lines[1:]
    name_simplest_first(section(LIKE_BARESIP), answer)
    assert answer.lines == [
        b"m=video 5000 RTP/AVP 96 97",
        *before,
        b"a=rtpmap:96 H264/90000",
        b"a=fmtp:96 max-fs=1620;packetization-mode=0;profile-level-id=42800d",
        b"a=rtcp-fb:96 nack pli",
    ]
    assert forms_of(answer)[96].mode == b"0"


def test_of_several_profiles_the_one_that_most_decode_comes_first() -> None:
    offer = section([(99, "packetization-mode=1;profile-level-id=640028"), *reversed(LIKE_BARESIP)])
    answer = section([(99, "packetization-mode=1;profile-level-id=640016")])
    name_simplest_first(offer, answer)
    assert answer.formats == [b"96", b"99"]
    assert forms_of(answer)[96].profile == b"428016"
    assert renumbering(offer, section([(97, "packetization-mode=1;profile-level-id=42801f")])) == {96: 97}


def test_an_answer_with_both_forms_has_the_simplest_put_first() -> None:
    answer = section(LIKE_BARESIP[::-1])
    before = answer.lines[1:]
    name_simplest_first(section(LIKE_BARESIP), answer)
    assert answer.lines == [b"m=video 5000 RTP/AVP 96 97", *before]


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        (LIKE_BARESIP, LIKE_BARESIP[:1]),  # it likes the simplest
        (LIKE_BARESIP[1:], LIKE_BARESIP[1:]),  # there is one form only
        (LIKE_BARESIP[1:], LIKE_BARESIP[:1]),  # it takes none of those that were offered
    ],
)
def test_an_answer_that_needs_no_other_form_stays(offer: list[tuple[int, str]], answer: list[tuple[int, str]]) -> None:
    given = section(answer)
    before = given.lines[:]
    name_simplest_first(section(offer), given)
    assert given.lines == before


def test_a_static_payload_type_stays_first() -> None:
    answer = Sdp.parse(b"v=0\r\nm=video 5000 RTP/AVP 34 97\r\na=rtpmap:97 H264/90000\r\n").media[0]
    name_simplest_first(section(LIKE_BARESIP), answer)
    assert answer.formats == [b"34", b"97"]


def test_an_encrypted_offer_keeps_the_simplest_form_alone() -> None:
    repairs = "".join(f"a=rtpmap:{98 + n} rtx/90000\r\na=fmtp:{98 + n} apt={96 + n}\r\n" for n in (0, 1))
    vp8 = "a=rtpmap:100 VP8/90000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\na=rtcp-fb:* ccm fir\r\n"
    offer = section(LIKE_BARESIP[::-1], repairs + vp8)
    offer.set_formats([b"97", b"99", b"96", b"98", b"100"])
    assert keep_simplest(offer)
    assert offer.formats == [b"96", b"98", b"100"]
    assert offer.lines == [
        b"m=video 5000 RTP/AVP 96 98 100",
        b"a=rtpmap:96 H264/90000",
        b"a=rtcp-fb:96 nack pli",
        b"a=fmtp:96 packetization-mode=0;profile-level-id=42801f",
        b"a=rtpmap:98 rtx/90000",
        b"a=fmtp:98 apt=96",
        *vp8.encode().splitlines(),
    ]
    assert not keep_simplest(offer)


def test_only_sections_of_the_kind_asked_for_are_cut() -> None:
    both = Sdp.parse(b"v=0\r\n" + b"\r\n".join([*section(LIKE_BARESIP).lines, *section(LIKE_BARESIP).lines]))
    both.media[1].add_attribute(b"crypto", b"1 AES_CM_128_HMAC_SHA1_80 inline:x")
    assert keep_simplest_of(both, secure=True)
    assert [len(media.formats) for media in both.media] == [2, 1]


def test_what_others_vouch_for_keeps_its_numbers() -> None:
    assert may_renumber(section(LIKE_BARESIP))
    assert not may_renumber(section(LIKE_BARESIP, "a=zrtp-hash:1.10 fe30\r\n"))
    assert not may_renumber(section(LIKE_BARESIP, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n"))
    assert not may_renumber(section(LIKE_BARESIP, protocol="RTP/SAVP"))


NUMBERS = ["96", "97", "097", "999", "-1", "²", "*"]
ENCODINGS = ["H264/90000", "h264", "VP8/90000", "rtx/90000"]
PARAMETERS = ["packetization-mode=1", "profile-level-id=42801f", "profile-level-id=+_", "apt=96", ";", "="]
word = st.sampled_from(NUMBERS + ENCODINGS + PARAMETERS)
line = st.builds(
    lambda name, words: f"a={name}:{' '.join(words)}",
    st.sampled_from(["rtpmap", "fmtp", "rtcp-fb"]),
    st.lists(word, max_size=4),
)
hostile = st.builds(
    lambda formats, lines: "\n".join(["v=0", f"m=video 5000 RTP/AVP {' '.join(formats)}", *lines]).encode(),
    st.lists(word, min_size=1, max_size=4),
    st.lists(line, max_size=8),
)


@given(hostile, hostile)
def test_nothing_in_a_description_breaks_it(one: bytes, other: bytes) -> None:
    try:
        offer, answer = Sdp.parse(one).media[0], Sdp.parse(other).media[0]
    except SipError:
        return
    assert all(0 <= old < 128 and 0 <= new < 128 for old, new in renumbering(offer, answer).items())
    name_simplest_first(offer, answer)
    Sdp.parse(b"v=0\n" + b"\n".join(answer.lines))
    keep_simplest(offer)
    Sdp.parse(b"v=0\n" + b"\n".join(offer.lines))
    assert offer.formats
