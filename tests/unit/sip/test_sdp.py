"""Session descriptions leave as they came but for what was edited."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.sip.errors import SipError
from flexipy.sip.sdp import Candidate, Sdp, SdpError, is_address
from tests.harness.garbage import cycles_of

CAMERA = (
    b"v=0\r\no=door 1 2 IN IP4 192.0.2.7\r\ns=Talk\r\nc=IN IP4 192.0.2.7\r\nb=AS:380\r\nt=0 0\r\n"
    b"m=audio 7078 RTP/AVP 96 0 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n"
    b"m=video 9078/2 RTP/AVPF 97\r\nc=IN IP6 2001:db8::7\r\na=rtpmap:97 H264/90000\r\na=sendonly\r\na=rtcp:9100\r\n"
)
BROWSER = (
    b"v=0\r\no=- 4 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
    b"m=audio 50000 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 192.0.2.9\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
    b"a=candidate:1 1 udp 2113937151 6f3b.local 50000 typ host generation 0\r\n"
    b"a=candidate:2 1 udp 1677729535 192.0.2.9 50000 typ srflx raddr 0.0.0.0 rport 0\r\n"
    b"a=ice-ufrag:ab\r\na=ice-pwd:cd\r\na=fingerprint:sha-256 00\r\na=mid:0\r\na=rtcp-mux\r\n"
    b"m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=bundle-only\r\na=mid:1\r\na=rtcp-mux\r\n"
)


@pytest.mark.parametrize("body", [CAMERA, BROWSER, CAMERA.replace(b"\r\n", b"\n"), b"v=0\r\n"])
def test_what_is_not_edited_stays_byte_for_byte(body: bytes) -> None:
    assert bytes(Sdp.parse(body)) == body
    assert bytes(Sdp.parse(body).copy()) == body


def test_sections_are_read() -> None:
    audio, video = Sdp.parse(CAMERA).media
    assert (audio.kind, audio.port, audio.count, audio.protocol) == (b"audio", 7078, 1, b"RTP/AVP")
    assert audio.formats == [b"96", b"0", b"101"]
    assert (video.port, video.count, video.address, audio.address) == (9078, 2, "2001:db8::7", "192.0.2.7")
    assert (audio.rtcp_port, video.rtcp_port) == (7079, 9100)
    assert audio.encoding(b"96") == b"opus/48000/2"
    assert audio.encoding(b"0") == b""
    assert video.is_held
    assert not audio.is_held
    assert audio.is_rtp
    assert not audio.is_secure


def test_ice_bundles_and_security_are_seen() -> None:
    described = Sdp.parse(BROWSER)
    audio, video = described.media
    assert audio.uses_ice
    assert audio.is_secure
    assert (audio.rtcp_port, audio.has(b"rtcp-mux")) == (50000, True)
    assert described.bundle_of(video) == [b"0", b"1"]
    assert video.is_active
    first, second = audio.candidates
    assert (first.address, first.kind, second.address, second.kind) == ("6f3b.local", "host", "192.0.2.9", "srflx")
    assert not is_address(first.address)


def test_edits_touch_their_own_line_only() -> None:
    described = Sdp.parse(CAMERA)
    audio, video = described.media
    audio.set_port(30000)
    video.set_port(30002)
    described.set_connection("198.51.100.1")
    video.set_connection("2001:db8::1")
    video.set_attribute(b"rtcp", b"30003")
    expected = (
        CAMERA.replace(b"audio 7078", b"audio 30000")
        .replace(b"video 9078/2", b"video 30002")
        .replace(b"c=IN IP4 192.0.2.7", b"c=IN IP4 198.51.100.1")
        .replace(b"2001:db8::7", b"2001:db8::1")
        .replace(b"rtcp:9100", b"rtcp:30003")
    )
    assert bytes(described) == expected


def test_a_section_gets_an_address_of_its_own_before_its_attributes() -> None:
    described = Sdp.parse(CAMERA)
    described.media[0].set_address("203.0.113.5")
    assert described.media[0].lines[1] == b"c=IN IP4 203.0.113.5"
    assert described.media[0].address == "203.0.113.5"
    assert described.connection == "192.0.2.7"


def test_attributes_are_added_replaced_and_removed() -> None:
    media = Sdp.parse(BROWSER).media[0]
    media.add_attribute(b"candidate", b"3 1 udp 1 198.51.100.1 30000 typ relay")
    assert len(media.candidates) == 3
    assert media.remove_attribute(b"candidate") == 3
    assert media.remove_attribute(b"rtcp-mux") == 1
    assert not media.has(b"rtcp-mux")
    media.set_attribute(b"x-new", b"1")
    assert media.attribute(b"x-new") == b"1"


def test_the_zero_address_is_an_old_way_to_hold() -> None:
    assert Sdp.parse(CAMERA.replace(b"IP4 192.0.2.7\r\nb", b"IP4 0.0.0.0\r\nb")).media[0].is_held


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"v=1\r\n",
        b"v=0\r\nm=audio\r\n",
        b"v=0\r\nm=audio x RTP/AVP 0\r\n",
        b"v=0\r\nm=audio 65536 RTP/AVP 0\r\n",
        b"v=0\r\nm=audio 10/0 RTP/AVP 0\r\n",
        b"v=0\r\nm=audio " + b"9" * 5000 + b" RTP/AVP 0\r\n",
        b"v=0\r\nm=audio 10/" + b"9" * 5000 + b" RTP/AVP 0\r\n",
        b"v=0\r\nnonsense\r\n",
        b"v=0\r\n" + b"a=x\r\n" * 5000,
    ],
)
def test_what_is_no_description_is_refused(body: bytes) -> None:
    with pytest.raises(SdpError):
        Sdp.parse(body)


@given(st.lists(st.sampled_from(CAMERA.split(b"\r\n") + BROWSER.split(b"\r\n") + [b"m=", b"c=", b"a=candidate:1 1"])))
def test_shuffled_lines_never_surprise(lines: list[bytes]) -> None:
    try:
        described = Sdp.parse(b"v=0\r\n" + b"\r\n".join(lines))
    except SipError:
        return
    for media in described.media:
        assert media.rtcp_port >= 0
        _ = media.address, media.rtcp_address, media.candidates, media.is_held, media.mid, media.uses_ice
        media.set_port(1000)
        media.set_address("192.0.2.1")
    again = Sdp.parse(bytes(described))
    assert all(media.port == 1000 and media.address == "192.0.2.1" for media in again.media)


def test_a_description_is_freed_without_the_collector_of_cycles() -> None:
    assert cycles_of(lambda: Sdp.parse(CAMERA).copy()) == set()


def test_sections_see_what_the_session_level_loses() -> None:
    described = Sdp.parse(b"v=0\r\na=ice-ufrag:x\r\nm=audio 1 RTP/AVP 0\r\n")
    assert described.media[0].uses_ice
    described.remove_attribute(b"ice-ufrag")
    assert not described.media[0].uses_ice


@given(st.binary(max_size=60))
def test_candidates_are_read_or_left(value: bytes) -> None:
    found = Candidate.parse(value)
    assert found is None or 0 <= found.port <= 65535


def test_numbers_that_are_none_or_too_large_are_left() -> None:
    endless = b"9" * 5000
    text = b"v=0\r\nm=audio 10 RTP/AVP 0 128 %b \xc2\xb2\r\na=rtpmap:%b H264/90000\r\na=rtcp:%b\r\n" % ((endless,) * 3)
    (media,) = Sdp.parse(text).media
    assert media.payload_types == {b"0": 0}
    assert media.types_of(b"H264") == frozenset()
    assert media.rtcp_port == 11
    assert Candidate.parse("1 1 UDP 1 192.0.2.1 \u00b2 typ host".encode()) is None
    assert Candidate.parse(b"1 1 UDP %b 192.0.2.1 1 typ host" % endless) is None
