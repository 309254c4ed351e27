"""Frames are packed into datagrams and come out again as they were."""

from __future__ import annotations

from flexipy.workers.frames import LARGEST, Packer, Unpacker


def _through(packer: Packer, unpacker: Unpacker) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while datagram := packer.datagram():
        assert len(datagram) <= LARGEST + 8
        packer.sent()
        found += unpacker.frames(datagram)
    return found


def test_small_frames_share_a_datagram() -> None:
    packer = Packer(3, 1000)
    for frame in (b"Mone", b"Btwo", b"Sthree"):
        assert packer.add(frame)
    datagram = packer.datagram()
    packer.sent()
    assert packer.datagram() == b""
    assert list(Unpacker().frames(datagram)) == [(3, b"Mone"), (3, b"Btwo"), (3, b"Sthree")]


def test_a_datagram_that_could_not_be_sent_comes_again_with_what_was_added() -> None:
    packer = Packer(0, 1000)
    packer.add(b"Mone")
    packer.datagram()
    packer.add(b"Mtwo")
    assert _through(packer, Unpacker()) == [(0, b"Mone"), (0, b"Mtwo")]


def test_large_frames_are_cut_and_joined() -> None:
    packer = Packer(1, 10 * LARGEST)
    frames = [b"M" + bytes(LARGEST * 3), b"Mshort", b"M" + bytes(LARGEST - 1), b"M" + bytes(LARGEST)]
    for frame in frames:
        packer.add(frame)
    assert _through(packer, Unpacker()) == [(1, frame) for frame in frames]


def test_pieces_of_different_senders_do_not_mix() -> None:
    first, second, unpacker = Packer(1, 10 * LARGEST), Packer(2, 10 * LARGEST), Unpacker()
    large = b"M" + bytes(2 * LARGEST)
    first.add(large)
    second.add(b"Mother")
    assert list(unpacker.frames(first.datagram())) == []
    first.sent()
    assert list(unpacker.frames(second.datagram())) == [(2, b"Mother")]
    assert _through(first, unpacker) == [(1, large)]


def test_what_a_dead_worker_began_is_forgotten() -> None:
    first, unpacker = Packer(1, 10 * LARGEST), Unpacker()
    first.add(b"M" + bytes(2 * LARGEST))
    list(unpacker.frames(first.datagram()))
    unpacker.forget(1)
    again = Packer(1, 1000)
    again.add(b"Mnew")
    assert _through(again, unpacker) == [(1, b"Mnew")]


def test_no_more_waits_than_the_limit() -> None:
    packer = Packer(0, 100)
    assert packer.add(bytes(60))
    assert not packer.add(bytes(60))
    packer.datagram()
    packer.sent()
    assert packer.add(bytes(60))
