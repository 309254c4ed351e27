"""RTCP between a leader and the caller who knows it by other numbers."""

from hypothesis import given
from hypothesis import strategies as st

from flexipy.media import rtcp, rtp
from flexipy.media.rtcp import Translation

from . import packets

OURS = b"\0\0\0\x0a"
CALLER = 0xCC


def translation() -> Translation:
    """The leader's 0xB is the caller's 0xA; 100..109 are 5100..5109 there, timestamps 1000 more."""
    return Translation(b"\0\0\0\x0b", sequence_offset=5000, timestamp_offset=1000, next=110, span=10)


def toward_caller(compound: bytes, final: bool = False) -> bytes | None:
    return rtcp.toward_caller(compound, OURS, translation(), final)


def test_reports_and_descriptions_get_the_known_source() -> None:
    blocks = packets.block(CALLER, 77)
    assert toward_caller(packets.sender_report(0xB, 2**32 - 1, blocks) + packets.description(0xB)) == (
        packets.sender_report(0xA, 999, blocks) + packets.description(0xA)
    )
    assert toward_caller(packets.receiver_report(0xB, blocks)) == packets.receiver_report(0xA, blocks)


def test_feedback_on_the_callers_media_keeps_their_source() -> None:
    assert toward_caller(packets.feedback(206, 1, 0xB, CALLER)) == packets.feedback(206, 1, 0xA, CALLER)


def test_what_cannot_be_translated_is_left_out() -> None:
    report, told = packets.receiver_report(0xB), packets.receiver_report(0xA)
    for unknown in (packets.feedback(206, 1, 0xD, CALLER), packets.description(0xD), packets.rtcp(222, b"1234")):
        assert toward_caller(report + unknown) == told
    assert toward_caller(packets.sender_report(0xD) + packets.description(0xB)) is None
    assert toward_caller(b"") is None


def test_bye_is_kept_from_the_caller_until_the_winner_says_it() -> None:
    compound = packets.receiver_report(0xB) + packets.bye(0xB)
    assert toward_caller(compound) == packets.receiver_report(0xA)
    assert toward_caller(compound, final=True) == packets.receiver_report(0xA) + packets.bye(0xA)


def test_before_any_media_receiver_reports_pass_and_sender_reports_do_not() -> None:
    assert rtcp.toward_caller(packets.receiver_report(0xB), OURS, None, False) == packets.receiver_report(0xA)
    assert rtcp.toward_caller(packets.sender_report(0xB), OURS, None, False) is None


def toward_leader(compound: bytes) -> bytes:
    return rtcp.toward_leader(compound, OURS, translation())


def test_the_callers_reports_are_told_in_the_leaders_numbers() -> None:
    for make in (packets.receiver_report, lambda ssrc, blocks: packets.sender_report(ssrc, 5, blocks)):
        assert toward_leader(make(CALLER, packets.block(0xA, 5109) + packets.block(0xF, 1))) == make(
            CALLER, packets.block(0xB, 109) + packets.block(0xF, 1)
        )


def test_reports_on_a_former_leader_are_left_out() -> None:
    assert toward_leader(packets.receiver_report(CALLER, packets.block(0xA, 5099))) == packets.receiver_report(CALLER)


def test_requests_reach_the_leaders_source() -> None:
    lost = (5104).to_bytes(2, "big") + b"\0\1"
    found = (104).to_bytes(2, "big") + b"\0\1"
    fir = b"\0\0\0\x0a\1\0\0\0"
    remb = b"REMB\1\0\0\0" + OURS
    for asked, told in (
        (packets.feedback(206, 1, CALLER, 0xA), packets.feedback(206, 1, CALLER, 0xB)),
        (packets.feedback(205, 1, CALLER, 0xA, lost), packets.feedback(205, 1, CALLER, 0xB, found)),
        (packets.feedback(206, 4, CALLER, 0, fir), packets.feedback(206, 4, CALLER, 0, b"\0\0\0\x0b\1\0\0\0")),
        (packets.feedback(205, 3, CALLER, 0, fir), packets.feedback(205, 3, CALLER, 0, b"\0\0\0\x0b\1\0\0\0")),
        (packets.feedback(206, 15, CALLER, 0, remb), packets.feedback(206, 15, CALLER, 0, remb[:8] + b"\0\0\0\x0b")),
    ):
        assert toward_leader(asked) == told


def test_the_rest_of_the_callers_rtcp_is_untouched() -> None:
    compound = packets.sender_report(CALLER) + packets.description(CALLER) + packets.bye(CALLER) + b"\x80trailing"
    assert toward_leader(compound) == compound


COMPOUNDS = st.lists(
    st.builds(packets.rtcp, st.integers(198, 208), st.binary(max_size=15).map(lambda b: b * 4), st.integers(0, 31))
).map(b"".join) | st.binary(max_size=100)


@given(COMPOUNDS, st.booleans())
def test_any_compound_stays_one(compound: bytes, final: bool) -> None:
    for made in (toward_caller(compound, final), rtcp.toward_caller(compound, OURS, None, final)):
        if made is not None:
            found = list(rtp.rtcp_packets(made))
            assert found
            assert found[-1][2] == len(made)
    read = [kind for kind, _, _ in rtp.rtcp_packets(compound)]
    assert [kind for kind, _, _ in rtp.rtcp_packets(toward_leader(compound))] == read
