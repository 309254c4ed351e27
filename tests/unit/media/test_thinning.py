"""Key frames alone, no digits, and sequence numbers without gaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flexipy.media.thinning import Thinner

H264, DIGITS, OTHER = 97, 101, 0
SLICE, KEY_FRAME, PARAMETERS = b"\x41x", b"\x65x", b"\x67x"
NONE: frozenset[int] = frozenset()


def rtp(sequence: int, payload: bytes, kind: int = H264, timestamp: int | None = None, ssrc: int = 7) -> bytes:
    stamp = sequence * 3000 if timestamp is None else timestamp
    head = bytes((0x80, kind)) + (sequence & 0xFFFF).to_bytes(2, "big") + (stamp & 0xFFFFFFFF).to_bytes(4, "big")
    return head + ssrc.to_bytes(4, "big") + payload


def passed(thinner: Thinner, packets: list[bytes]) -> list[tuple[int, bytes]]:
    """Sequence number and payload of what is left."""
    left = [less for packet in packets if (less := thinner.thin(packet)) is not None]
    return [(int.from_bytes(less[2:4], "big"), less[12:]) for less in left]


def test_only_key_frames_and_parameters_pass_and_leave_no_gap() -> None:
    packets = [rtp(10, PARAMETERS), rtp(11, KEY_FRAME), rtp(12, SLICE), rtp(13, SLICE), rtp(14, KEY_FRAME)]
    left = passed(Thinner(frozenset((H264,)), 1, NONE), packets)
    assert left == [(10, PARAMETERS), (11, KEY_FRAME), (12, KEY_FRAME)]


def test_every_second_key_frame_passes_whole() -> None:
    thinner = Thinner(frozenset((H264,)), 2, NONE)
    packets = [rtp(n, b"\x7c\x05" + bytes((n,)), timestamp=n // 2) for n in range(8)]  # FU-A, two to a picture
    assert [payload[2] for _, payload in passed(thinner, packets)] == [0, 1, 4, 5]


def test_aggregates_are_looked_into() -> None:
    thinner = Thinner(frozenset((H264,)), 1, NONE)
    with_key = b"\x78\x00\x02" + PARAMETERS[:2] + b"\x00\x02" + KEY_FRAME
    without = b"\x78\x00\x02" + SLICE + b"\x00\x02" + SLICE
    assert [payload for _, payload in passed(thinner, [rtp(1, with_key), rtp(2, without)])] == [with_key]


def test_digits_are_kept_back() -> None:
    thinner = Thinner(NONE, 1, frozenset((DIGITS,)))
    left = passed(thinner, [rtp(65535, b"a", OTHER), rtp(0, b"5", DIGITS), rtp(1, b"b", OTHER)])
    assert left == [(65535, b"a"), (0, b"b")]


def test_what_is_no_rtp_passes() -> None:
    thinner = Thinner(frozenset((H264,)), 1, frozenset((DIGITS,)))
    for packet in (b"", b"\x80\xc8\x00\x06" + bytes(24), b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12), b"\x16\xfe"):
        assert thinner.thin(packet) == packet


@given(st.binary(max_size=40), st.integers(0, 127))
def test_noise_never_surprises(payload: bytes, kind: int) -> None:
    thinner = Thinner(frozenset((kind,)), 2, NONE)
    for packet in (payload, rtp(1, payload, kind), b"\x9f" + rtp(2, payload, kind)[1:]):
        less = thinner.thin(packet)
        assert less is None or len(less) == len(packet)
