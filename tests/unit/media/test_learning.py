"""Whose packets are taken, and where media are sent to."""

from dataclasses import replace

import pytest

from flexipy.media.learning import GRACE, LOCK, PASS, STRANGER, RtcpLearner, RtpLearner
from flexipy.media.relay import Expected
from flexipy.media.statistics import Source

from . import packets

SDP = Expected("10.0.0.5", 5000, "10.0.0.5", 5001, False, frozenset({0, 96}), False, "198.51.100.7")
ANNOUNCED = ("10.0.0.5", 5000)
SIGNALLING = ("198.51.100.7", 40000)
ELSEWHERE = ("203.0.113.9", 666)
OWN = ("192.0.2.2", 30000)


class Side:
    """A learner with a source; `packet` does what a channel does."""

    def __init__(self, expected: Expected = SDP) -> None:
        self.source = Source()
        self.rtp = RtpLearner(lambda ip, port: (ip, port) == OWN)
        self.rtcp = RtcpLearner(self.rtp, lambda ip, port: (ip, port) == OWN)
        self.heard = 0.0
        self.expect(expected, 0.0)

    def expect(self, expected: Expected, now: float) -> None:
        self.rtp.expect(expected, now)
        self.rtcp.expect(expected)

    def packet(self, packet: bytes, address: tuple[str, int], now: float = 0.0) -> int:
        verdict = LOCK
        if address != self.rtp.locked:
            verdict = self.rtp.judge(packet, address, self.source, self.heard, now)
        if verdict != STRANGER and packet[0] >> 6 == 2:
            self.source.jump(packet, packet[2] << 8 | packet[3])
            self.source.sample(packet, now)
        if address == self.rtp.locked:
            self.heard = now
        return verdict


def test_sends_to_the_announced_address_until_learnt() -> None:
    side = Side()
    assert side.rtp.destination == ANNOUNCED
    assert side.packet(packets.rtp(), SIGNALLING) == LOCK
    assert side.rtp.destination == SIGNALLING


def test_who_is_on_this_host_gets_media_by_the_loopback() -> None:
    side = Side(replace(SDP, ip="127.0.0.1", rtcp_ip="127.0.0.1", signalling_ip="127.0.0.1"))
    assert side.rtp.destination == ("127.0.0.1", 5000)
    assert side.rtcp.destination == ("127.0.0.1", 5001)


@pytest.mark.parametrize("ip", [None, "0.0.0.0", "::", "not an address", "127.0.0.1", "::1", "239.1.2.3", "ff02::1"])
def test_unknown_addresses_are_not_sent_to(ip: str | None) -> None:
    side = Side(replace(SDP, ip=ip))
    assert side.rtp.destination is None
    assert side.packet(packets.rtp(), SIGNALLING) == LOCK
    assert side.rtp.destination == SIGNALLING


def test_announced_address_locks_with_anything_valid() -> None:
    for packet in (packets.rtp(kind=13), packets.sender_report(1), packets.DTLS, packets.check("a:b")):
        assert Side().packet(packet, ANNOUNCED) == LOCK
    assert Side().packet(b"\0\0\0\0", ANNOUNCED) == STRANGER


def test_strangers_wait_for_the_announced_address() -> None:
    side = Side()
    assert side.packet(packets.rtp(), ELSEWHERE, GRACE - 0.01) == STRANGER
    assert side.packet(packets.rtp(), ELSEWHERE, GRACE) == LOCK


@pytest.mark.parametrize(
    "packet", [packets.rtp(kind=8), packets.sender_report(1), packets.DTLS, packets.check("a:b"), b"\0" * 20]
)
def test_strangers_must_send_plausible_media(packet: bytes) -> None:
    assert Side().packet(packet, ELSEWHERE, 10) == STRANGER


def test_a_lock_is_kept_against_strangers() -> None:
    side = Side()
    side.packet(packets.rtp(1), SIGNALLING)
    for address in (ELSEWHERE, ("198.51.100.7", 40002)):
        assert side.packet(packets.rtp(2, ssrc=0xB), address, 100) == STRANGER
    assert side.rtp.locked == SIGNALLING


@pytest.mark.parametrize("better", [SIGNALLING, ANNOUNCED])
def test_a_guess_yields_to_a_better_founded_address(better: tuple[str, int]) -> None:
    side = Side()
    side.packet(packets.rtp(ssrc=0xE), ELSEWHERE, 1)
    assert side.packet(packets.rtp(), better, 2) == LOCK
    assert side.packet(packets.rtp(2, ssrc=0xE), ELSEWHERE, 3) == STRANGER


def test_the_signalling_host_yields_to_the_announced_address_but_not_back() -> None:
    side = Side()
    side.packet(packets.rtp(ssrc=0xE), SIGNALLING)
    assert side.packet(packets.rtp(), ANNOUNCED, 2) == LOCK
    assert side.packet(packets.rtp(2, ssrc=0xE), SIGNALLING, 3) == STRANGER


def test_the_locked_source_may_go_on_from_another_address() -> None:
    side = Side()
    side.packet(packets.rtp(10), ANNOUNCED)
    assert side.packet(packets.rtp(10), ELSEWHERE, 1) == STRANGER  # said already
    assert side.packet(packets.rtp(5000), ELSEWHERE, 1) == STRANGER
    assert side.packet(packets.rtp(11, ssrc=0xB), ELSEWHERE, 1) == STRANGER
    assert side.packet(packets.rtp(14), ELSEWHERE, 1) == LOCK
    assert side.rtp.destination == ELSEWHERE
    assert side.packet(packets.rtp(12), ANNOUNCED, 1) == STRANGER  # still on its way


def test_another_announced_address_is_learnt_anew() -> None:
    side = Side()
    side.packet(packets.rtp(1), ANNOUNCED)
    side.expect(replace(SDP, port=6000), 10)
    assert side.rtp.destination == ("10.0.0.5", 6000)
    assert side.packet(packets.rtp(1, ssrc=0xB), ("10.0.0.5", 6000), 10) == LOCK


def test_the_same_description_keeps_the_lock() -> None:
    side = Side()
    side.packet(packets.rtp(1), SIGNALLING)
    side.expect(replace(SDP, payload_types=frozenset({8})), 10)
    assert side.rtp.locked == SIGNALLING


def test_the_former_address_goes_on_for_a_moment_without_locking() -> None:
    side = Side()
    side.packet(packets.rtp(1), SIGNALLING)
    side.expect(replace(SDP, port=6000), 10)
    assert side.packet(packets.rtp(2), SIGNALLING, 10) == PASS
    assert side.rtp.destination == ("10.0.0.5", 6000)
    assert side.packet(packets.rtp(3), SIGNALLING, 10 + GRACE) == LOCK


def test_a_stream_without_port_takes_nothing() -> None:
    side = Side()
    side.packet(packets.rtp(1), ANNOUNCED)
    side.expect(replace(SDP, port=0), 1)
    assert side.rtp.destination is None
    for address in (ANNOUNCED, SIGNALLING, ELSEWHERE):
        assert side.packet(packets.rtp(2), address, 10) == STRANGER


def test_nothing_is_taken_before_a_description() -> None:
    learner = RtpLearner(lambda ip, port: False)
    assert learner.judge(packets.rtp(), ANNOUNCED, Source(), 0, 100) == STRANGER
    assert RtcpLearner(learner, lambda ip, port: False).judge(packets.bye(1), ANNOUNCED, Source()) == STRANGER


def test_our_own_ports_are_never_learnt() -> None:
    side = Side(replace(SDP, ip=OWN[0], port=OWN[1], rtcp_ip=OWN[0], rtcp_port=OWN[1]))
    assert side.packet(packets.rtp(), OWN, 10) == STRANGER
    assert side.rtcp.judge(packets.bye(1), OWN, side.source) == STRANGER


# -- ICE -----------------------------------------------------------------------------------------------


ICE = replace(SDP, ice_ufrag="mine")


def test_a_check_with_the_right_username_locks_at_once() -> None:
    side = Side(ICE)
    assert side.packet(packets.check("yours:other"), ELSEWHERE) == STRANGER
    assert side.packet(packets.check("mine:yours"), ELSEWHERE) == STRANGER
    assert side.packet(packets.check("yours:mine"), ELSEWHERE) == LOCK


def test_checks_of_other_paths_pass_while_the_path_in_use_speaks() -> None:
    side = Side(ICE)
    side.packet(packets.rtp(1), ANNOUNCED, 1)
    assert side.packet(packets.check("yours:mine"), ELSEWHERE, 1) == PASS
    assert side.rtp.locked == ANNOUNCED


def test_a_nominated_path_and_the_successor_of_a_silent_one_are_used() -> None:
    side = Side(ICE)
    side.packet(packets.rtp(1), ANNOUNCED, 1)
    assert side.packet(packets.check("yours:mine", nominated=True), ELSEWHERE, 1) == LOCK
    assert side.packet(packets.check("yours:mine"), SIGNALLING, 1 + GRACE) == LOCK


# -- RTCP ----------------------------------------------------------------------------------------------


def rtcp(side: Side, packet: bytes, address: tuple[str, int]) -> int:
    return side.rtcp.judge(packet, address, side.source)


def test_rtcp_follows_the_host_of_rtp() -> None:
    side = Side()
    assert side.rtcp.destination == ("10.0.0.5", 5001)
    side.packet(packets.rtp(), ELSEWHERE, 1)
    assert side.rtcp.destination is None
    assert rtcp(side, packets.receiver_report(0xA), SIGNALLING) == STRANGER
    assert rtcp(side, packets.receiver_report(0xA), ("203.0.113.9", 777)) == LOCK
    assert side.rtcp.destination == ("203.0.113.9", 777)


def test_rtcp_is_guessed_behind_a_nat_that_keeps_ports() -> None:
    side = Side()
    side.packet(packets.rtp(), ("198.51.100.7", 5000))
    assert side.rtcp.destination == ("198.51.100.7", 5001)


def test_rtcp_before_rtp_comes_from_announced_or_signalling_host_only() -> None:
    assert rtcp(Side(), packets.receiver_report(1), ("10.0.0.5", 5001)) == LOCK
    assert rtcp(Side(), packets.receiver_report(1), SIGNALLING) == LOCK
    assert rtcp(Side(), packets.receiver_report(1), ELSEWHERE) == STRANGER
    assert rtcp(Side(), packets.rtp(), ("10.0.0.5", 5001)) == STRANGER


def test_rtcp_of_the_same_source_may_change_its_port() -> None:
    side = Side()
    side.packet(packets.rtp(ssrc=0xA), SIGNALLING)
    rtcp(side, packets.receiver_report(0xA), ("198.51.100.7", 1))
    assert rtcp(side, packets.receiver_report(0xB), ("198.51.100.7", 2)) == STRANGER
    assert rtcp(side, packets.receiver_report(0xA), ("198.51.100.7", 2)) == LOCK


def test_rtcp_of_another_host_is_forgotten_when_rtp_moves() -> None:
    side = Side()
    side.packet(packets.rtp(1), SIGNALLING)
    rtcp(side, packets.receiver_report(0xA), SIGNALLING)
    side.packet(packets.rtp(2), ELSEWHERE)
    side.rtcp.rtp_moved()
    assert side.rtcp.locked is None


def test_with_rtcp_mux_the_second_port_takes_nothing() -> None:
    side = Side(replace(SDP, rtcp_port=5000, rtcp_mux=True))
    assert rtcp(side, packets.receiver_report(1), ANNOUNCED) == STRANGER
