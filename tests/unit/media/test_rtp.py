"""Reading what arrives on a media port."""

from hypothesis import given
from hypothesis import strategies as st

from flexipy.media import rtp

from . import packets


def test_protocols_on_one_port_are_told_apart() -> None:
    assert rtp.classify(packets.rtp()) == rtp.RTP
    assert rtp.classify(packets.rtp(kind=96 | 0x80)) == rtp.RTP
    assert rtp.classify(packets.sender_report(1)) == rtp.RTCP
    assert rtp.classify(packets.feedback(206, 1, 1, 2)) == rtp.RTCP
    assert rtp.classify(packets.check("a:b")) == rtp.OTHER
    assert rtp.classify(packets.DTLS) == rtp.OTHER
    assert rtp.classify(packets.ZRTP) == rtp.OTHER


def test_truncated_and_foreign_datagrams_are_malformed() -> None:
    for datagram in (
        b"",
        b"\x80",
        packets.rtp()[:11],
        packets.sender_report(1)[:7],
        bytes(1) + packets.rtp()[1:],  # version 0
        packets.rtp().replace(b"\x80", b"\x40", 1),  # version 1
        packets.check("a:b")[:12],
        b"\xff" * 40,
        b"\r\n\r\n",
    ):
        assert rtp.classify(datagram) == rtp.MALFORMED


@given(st.binary(max_size=200))
def test_any_datagram_can_be_read(datagram: bytes) -> None:
    assert rtp.classify(datagram) in (rtp.RTP, rtp.RTCP, rtp.OTHER, rtp.MALFORMED)
    rtp.stun_check(datagram)
    last = 0
    for kind, start, end in rtp.rtcp_packets(datagram):
        assert start == last
        assert start + 4 <= end <= len(datagram)
        assert kind == datagram[start + 1]
        last = end


@given(st.lists(st.tuples(st.integers(192, 223), st.integers(0, 31), st.binary(max_size=15).map(lambda b: b * 4))))
def test_compounds_are_read_packet_by_packet(parts: list[tuple[int, int, bytes]]) -> None:
    whole = [packets.rtcp(kind, body, count) for kind, count, body in parts]

    found = [(kind, b"".join(whole)[start:end]) for kind, start, end in rtp.rtcp_packets(b"".join(whole))]

    assert found == [(kind, packet) for (kind, _, _), packet in zip(parts, whole, strict=True)]


@given(st.text(min_size=1, max_size=60), st.booleans())
def test_checks_give_username_and_nomination(username: str, nominated: bool) -> None:
    assert rtp.stun_check(packets.check(username, nominated)) == (username, nominated)


@given(st.binary(max_size=80))
def test_any_stun_body_can_be_read(body: bytes) -> None:
    body += bytes(-len(body) % 4)
    header = b"\x00\x01" + len(body).to_bytes(2, "big") + bytes.fromhex("2112a442") + bytes(12)

    rtp.stun_check(header + body)


def test_responses_and_indications_are_no_checks() -> None:
    assert rtp.stun_check(b"\x01\x01" + packets.check("a:b")[2:]) is None
    assert rtp.stun_check(b"\x00\x11" + packets.check("a:b")[2:]) is None


@given(st.binary(max_size=40))
def test_key_frame_requests_are_whole_compounds(name: bytes) -> None:
    request = rtp.picture_loss(b"ours", b"vide", name)

    found = list(rtp.rtcp_packets(request))
    assert [kind for kind, _, _ in found] == [rtp.RR, rtp.SDES, rtp.PSFB]
    assert found[-1][2] == len(request)
    assert request.endswith(b"ours" + b"vide")


def test_clock_rates_without_description() -> None:
    assert rtp.clock_rate(0, "audio") == 8000
    assert rtp.clock_rate(9, "audio") == 8000
    assert rtp.clock_rate(10, "audio") == 44100
    assert rtp.clock_rate(96, "audio") == 48000
    assert rtp.clock_rate(96, "video") == 90000
