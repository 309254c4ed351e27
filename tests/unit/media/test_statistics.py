"""Loss and jitter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.media.statistics import Source

from . import packets


def feed(source: Source, packet: bytes, now: float = 0.0) -> None:
    """As the hot path does."""
    sequence = packet[2] << 8 | packet[3]
    if sequence == source.next:
        source.next = sequence + 1 & 0xFFFF
    else:
        source.jump(packet, sequence)
    source.sample(packet, now)


def test_missing_packets_are_counted_and_late_ones_taken_off() -> None:
    source = Source()
    for sequence in (65534, 65535, 2, 3):
        feed(source, packets.rtp(sequence))
    assert source.lost == 2

    feed(source, packets.rtp(0))

    assert source.lost == 1
    assert source.next == 4


def test_a_new_source_or_a_wild_jump_is_no_loss() -> None:
    source = Source()
    feed(source, packets.rtp(10))
    feed(source, packets.rtp(30000, ssrc=0xB))
    feed(source, packets.rtp(100, ssrc=0xB))
    assert source.lost == 0
    assert source.next == 101


def test_even_packets_have_no_jitter_and_uneven_ones_have() -> None:
    source = Source()
    for number in range(100):
        feed(source, packets.rtp(number, 160 * number), number * 0.02)
    assert source.jitter == pytest.approx(0, abs=0.001)

    for number in range(100, 400):
        feed(source, packets.rtp(number, 160 * number), number * 0.02 + number % 2 * 0.01)
    assert source.jitter == pytest.approx(10, rel=0.05)  # milliseconds


def test_jitter_uses_the_clock_that_was_described() -> None:
    source = Source()
    source.describe("audio", {96: 16000})
    for number in range(100):
        feed(source, packets.rtp(number, 320 * number, kind=96), number * 0.02)
    assert source.jitter == pytest.approx(0, abs=0.001)


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(1, 3)), max_size=50))
def test_any_packets_leave_sane_figures(sent: list[tuple[int, int, int]]) -> None:
    source = Source()
    for moment, (sequence, timestamp, ssrc) in enumerate(sent):
        feed(source, packets.rtp(sequence, timestamp, ssrc), float(moment))
    assert source.lost >= 0
    assert source.jitter >= 0
    if sent:
        assert source.ssrc == sent[-1][2].to_bytes(4, "big")


def test_only_the_near_future_of_the_same_source_continues_it() -> None:
    source = Source()
    feed(source, packets.rtp(65530))
    assert source.continues(packets.rtp(65531), 100)
    assert source.continues(packets.rtp(20), 100)
    assert not source.continues(packets.rtp(65530), 100)
    assert not source.continues(packets.rtp(200), 100)
    assert not source.continues(packets.rtp(65531, ssrc=0xB), 100)
