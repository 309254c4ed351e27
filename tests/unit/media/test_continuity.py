"""The caller hears one stream, whoever leads."""

from hypothesis import given, settings
from hypothesis import strategies as st

from flexipy.media.continuity import Continuity
from flexipy.media.statistics import Source

from . import packets


class Leader:
    """A branch's source and its packets, 20 ms of G.711 each."""

    def __init__(self, ssrc: int, sequence: int, timestamp: int) -> None:
        self.source = Source()
        self.ssrc, self.sequence, self.timestamp = ssrc, sequence, timestamp

    def packet(self, now: float = 0.0, step: int = 1) -> bytes:
        made = packets.rtp(self.sequence, self.timestamp, self.ssrc)
        if self.sequence & 0xFFFF != self.source.next:
            self.source.jump(made, self.sequence & 0xFFFF)
        self.source.next = self.sequence + 1 & 0xFFFF
        self.source.sample(made, now)
        self.sequence += step
        self.timestamp += 160 * step
        return made


def fields(packet: bytes | None) -> tuple[int, int, int, bool]:
    assert packet is not None
    return (
        int.from_bytes(packet[2:4], "big"),
        int.from_bytes(packet[4:8], "big"),
        int.from_bytes(packet[8:12], "big"),
        packet[1] > 127,
    )


def after_first(first: Leader, second: Leader, at: float = 0.0) -> Continuity:
    """`first` led and its packets passed as they are; `second` leads now."""
    continuity = Continuity()
    continuity.lead(first.source)
    first.packet(at)
    continuity.passed(first.source)
    continuity.lead(second.source)
    return continuity


def test_nobody_before_nothing_to_continue() -> None:
    continuity = Continuity()
    silent = Leader(1, 1, 1)
    continuity.lead(silent.source)
    continuity.passed(silent.source)
    continuity.lead(Leader(2, 2, 2).source)
    assert not continuity.rewriting


def test_the_next_leader_goes_on_where_the_first_ended() -> None:
    first, second = Leader(0xA, 65535, 2**32 - 160), Leader(0xB, 500, 9000)
    continuity = after_first(first, second, at=10.0)

    out = [fields(continuity.rewrite(second.packet(), 11.0 + number / 50)) for number in range(3)]

    assert out == [
        (0, 8000 - 160, 0xA, True),  # a second passed
        (1, 8000, 0xA, False),
        (2, 8160, 0xA, False),
    ]


def test_the_payload_is_left_alone() -> None:
    second = Leader(0xB, 500, 9000)
    out = after_first(Leader(0xA, 1, 1), second).rewrite(second.packet(), 1.0)
    assert out is not None
    assert out[0] == 0x80
    assert out[12:] == b"media"


def test_no_marker_in_video_where_it_would_end_a_frame() -> None:
    second = Leader(0xB, 500, 9000)
    continuity = after_first(Leader(0xA, 1, 1), second)
    continuity.video = True
    assert not fields(continuity.rewrite(second.packet(), 1.0))[3]


def test_late_packets_keep_their_place_unless_it_was_before_the_change() -> None:
    second = Leader(0xB, 500, 9000)
    continuity = after_first(Leader(0xA, 1, 1), second)
    continuity.rewrite(packets.rtp(500, 9000, 0xB), 1.0)
    assert fields(continuity.rewrite(packets.rtp(502, 9320, 0xB), 1.0))[0] == 4
    assert fields(continuity.rewrite(packets.rtp(501, 9160, 0xB), 1.0))[0] == 3
    assert continuity.rewrite(packets.rtp(499, 8840, 0xB), 1.0) is None


def test_a_source_that_starts_anew_goes_on_too() -> None:
    second = Leader(0xB, 500, 9000)
    continuity = after_first(Leader(0xA, 1, 1), second)
    numbers = [
        fields(continuity.rewrite(packets.rtp(sequence, 9000, ssrc), 1.0))[::2]
        for sequence, ssrc in ((500, 0xB), (501, 0xB), (30000, 0xB), (7, 0xC), (8, 0xC))
    ]
    assert numbers == [(2, 0xA), (3, 0xA), (4, 0xA), (5, 0xA), (6, 0xA)]


def test_a_leader_that_said_bye_is_not_continued() -> None:
    first, second = Leader(0xA, 1, 1), Leader(0xB, 500, 9000)
    continuity = Continuity()
    continuity.lead(first.source)
    first.packet()
    assert continuity.rewrite_rtcp(packets.bye(0xA), 0.0) == packets.bye(0xA)
    continuity.passed(first.source)
    continuity.lead(second.source)
    assert not continuity.rewriting


SEGMENT = st.tuples(
    st.integers(0, 2**32 - 1),  # SSRC
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 50), min_size=1, max_size=20),  # steps: 1 is no loss
    st.integers(0, 100),  # seconds of silence before
)


@settings(max_examples=200)
@given(st.lists(SEGMENT, min_size=1, max_size=6))
def test_sequence_is_continuous_and_time_never_goes_back(
    segments: list[tuple[int, int, int, list[int], int]],
) -> None:
    continuity = Continuity()
    now = 0.0
    last: tuple[int, int, int] | None = None
    previous: Leader | None = None
    for ssrc, sequence, timestamp, steps, silence in segments:
        leader = Leader(ssrc, sequence, timestamp)
        if previous is not None:
            continuity.passed(previous.source)
        continuity.lead(leader.source)
        previous = leader
        now += silence
        expected_step = 1
        for step in steps:
            made = leader.packet(now, step)
            out = continuity.rewrite(made, now) if continuity.rewriting else made
            number, time, source, _ = fields(out)
            if last is not None:
                assert source == last[2]
                assert number - last[0] & 0xFFFF == expected_step
                assert 0 < (time - last[1]) & 0xFFFFFFFF < 2**31
            last = (number, time, source)
            expected_step = step
            now += 0.02 * step


@given(st.lists(st.binary(min_size=12, max_size=40), max_size=30))
def test_any_packets_can_be_rewritten(sent: list[bytes]) -> None:
    second = Leader(0xB, 500, 9000)
    continuity = after_first(Leader(0xA, 1, 1), second)
    for moment, packet in enumerate(sent):
        out = continuity.rewrite(packet, float(moment))
        assert out is None or (len(out) == len(packet) and out[8:12] == b"\0\0\0\x0a")


VIDEO, REPAIR = 96, 97


def test_a_source_after_another_continues_it_and_late_packets_do_not_disturb() -> None:
    continuity = after_first(Leader(0xA, 1, 1), Leader(0xB, 500, 9000))
    assert fields(continuity.rewrite(packets.rtp(500, 9000, 0xB), 1.0))[::2] == (2, 0xA)
    assert fields(continuity.rewrite(packets.rtp(502, 9320, 0xB), 1.04))[::2] == (4, 0xA)
    assert fields(continuity.rewrite(packets.rtp(7, 50, 0xC), 1.06))[::2] == (5, 0xA)
    assert continuity.rewrite(packets.rtp(501, 9160, 0xB), 1.07) is None
    assert fields(continuity.rewrite(packets.rtp(8, 210, 0xC), 1.08))[::2] == (6, 0xA)


def test_two_that_speak_at_once_are_kept_apart() -> None:
    continuity = after_first(Leader(0xA, 1, 1), Leader(0xB, 500, 9000))
    out = [
        fields(continuity.rewrite(packets.rtp(sequence, sequence * 160, ssrc), 1.0 + number / 100))[::2]
        for number, (sequence, ssrc) in enumerate(
            ((500, 0xB), (7, 0xC), (501, 0xB), (8, 0xC), (502, 0xB), (9, 0xC)),
        )
    ]
    assert out == [(2, 0xA), (3, 0xA), (501, 0xB), (4, 0xA), (502, 0xB), (5, 0xA)]


def test_audio_of_another_format_beside_it_passes_as_it_is() -> None:
    continuity = after_first(Leader(0xA, 1, 1), Leader(0xB, 500, 9000))
    continuity.rewrite(packets.rtp(500, 9000, 0xB, kind=0), 1.0)
    beside = packets.rtp(7, 50, 0xC, kind=8)
    assert continuity.rewrite(beside, 1.01) == beside
    assert fields(continuity.rewrite(packets.rtp(501, 9160, 0xB, kind=0), 1.02))[::2] == (3, 0xA)


def test_nobody_beside_it_takes_the_name_of_the_stream() -> None:
    continuity = after_first(Leader(0xA, 1, 1), Leader(0xB, 500, 9000))
    continuity.rewrite(packets.rtp(500, 9000, 0xB, kind=0), 1.0)
    assert continuity.rewrite(packets.rtp(7, 50, 0xA, kind=8), 1.01) is None


def test_what_repairs_a_picture_is_left_out_and_leaves_no_gap() -> None:
    continuity = after_first(Leader(0xA, 1, 1), Leader(0xB, 500, 9000))
    continuity.video = True
    numbers = []
    for number in range(4):
        now = 1.0 + number / 50
        numbers.append(fields(continuity.rewrite(packets.rtp(500 + number, 9000, 0xB, kind=VIDEO), now))[::2])
        assert continuity.rewrite(packets.rtp(40 + number, 9000, 0xD, kind=REPAIR), now) is None
    assert numbers == [(2, 0xA), (3, 0xA), (4, 0xA), (5, 0xA)]


def test_another_format_goes_on_when_the_first_has_ended() -> None:
    continuity = after_first(Leader(0xA, 1, 1), Leader(0xB, 500, 9000))
    continuity.video = True
    continuity.rewrite(packets.rtp(500, 9000, 0xB, kind=VIDEO), 1.0)
    assert continuity.rewrite(packets.rtp(40, 9000, 0xD, kind=REPAIR), 1.4) is None
    assert fields(continuity.rewrite(packets.rtp(41, 9000, 0xD, kind=REPAIR), 1.6))[::2] == (3, 0xA)


def test_a_key_pressed_in_the_stream_is_a_part_of_it() -> None:
    continuity = after_first(Leader(0xA, 1, 1), Leader(0xB, 500, 9000))
    out = [
        fields(continuity.rewrite(packets.rtp(sequence, 9000, 0xB, kind=kind), 1.0))[::2]
        for sequence, kind in ((500, 0), (501, 101), (502, 0))
    ]
    assert out == [(2, 0xA), (3, 0xA), (4, 0xA)]
