"""The sockets between workers: order, and what waits where when one has more than it can deal with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from flexipy.workers.bus import Bus, Mailbox, make_mailboxes
from flexipy.workers.frames import MESSAGE, NUDGE

FRAME = bytes((MESSAGE,)) + b"x" * 49_999
MANY = 600  # 30 MB
PATIENCE = 20


class End:
    """One worker's bus and what came to it."""

    def __init__(self, index: int, mailboxes: list[Mailbox]) -> None:
        self.heard: list[bytes] = []
        self.news: list[bytes] = []
        self.made_room = asyncio.Event()
        self.complete = asyncio.Event()
        self.bus = Bus(index, mailboxes, lambda _, frame: self.news.append(frame), self.hear, self.made_room.set)

    def hear(self, _sender: int, frame: bytes) -> None:
        self.heard.append(frame)
        if len(self.heard) == MANY:
            self.complete.set()


@pytest.fixture
async def ends() -> AsyncIterator[tuple[End, End]]:
    mailboxes = make_mailboxes(2)
    ends = End(0, mailboxes), End(1, mailboxes)
    for end in ends:
        end.bus.start()
    yield ends
    for end in ends:
        end.bus.stop()
    for mailbox in mailboxes:
        for sock in (*mailbox.inbox, *mailbox.board):
            sock.close()


async def test_frames_come_in_the_order_in_which_they_were_sent(ends: tuple[End, End]) -> None:
    one, other = ends
    frames = [bytes((MESSAGE,)) + b"%d" % number for number in range(MANY)]
    for frame in frames:
        assert one.bus.post(1, frame)
    async with asyncio.timeout(PATIENCE):
        await other.complete.wait()
    assert other.heard == frames


async def test_what_a_busy_worker_cannot_take_waits_with_the_sender(ends: tuple[End, End]) -> None:
    one, other = ends
    for _ in range(MANY):
        assert one.bus.post(1, FRAME)
    while other.bus.unread == 0 or one.bus.waiting(1) == MANY * len(FRAME):
        await asyncio.sleep(0)
    most = 0
    async with asyncio.timeout(PATIENCE):
        while not other.complete.is_set():
            await asyncio.sleep(0)
            most = max(most, other.bus.unread)
    assert 0 < most < 5 << 20
    assert other.heard == [FRAME] * MANY
    assert one.bus.waiting(1) == 0


async def test_who_waits_for_room_is_told_of_it(ends: tuple[End, End]) -> None:
    one, other = ends
    for _ in range(MANY):
        one.bus.post(1, FRAME)
    assert one.bus.waiting(1) > 20 << 20
    async with asyncio.timeout(PATIENCE):
        while one.bus.waiting(1):
            one.made_room.clear()
            await one.made_room.wait()
        await other.complete.wait()


async def test_the_board_is_read_though_the_inbox_is_full(ends: tuple[End, End]) -> None:
    one, other = ends
    for _ in range(MANY):
        one.bus.post(1, FRAME)
    async with asyncio.timeout(PATIENCE):
        while not other.bus.unread:
            await asyncio.sleep(0)
    one.bus.pin(1, b"Bnews")
    other.bus.take_in()
    assert other.news == [b"Bnews"]
    async with asyncio.timeout(PATIENCE):
        await other.complete.wait()


async def test_what_was_pinned_is_known_at_once_and_nothing_new_asks_the_kernel_nothing(ends: tuple[End, End]) -> None:
    one, other = ends
    board = other.bus._board
    reads: list[int] = []

    class Counting:
        def recv_into(self, view: memoryview) -> int:
            reads.append(1)
            return board.recv_into(view)

    other.bus._board = Counting()  # type: ignore[assignment]
    other.bus.take_in()
    assert not reads
    for number in range(3):
        one.bus.pin(1, b"B%d" % number)
    other.bus.take_in()
    assert other.news == [b"B0", b"B1", b"B2"]
    assert len(reads) == 3
    other.bus.take_in()
    assert len(reads) == 3


async def test_who_takes_the_place_of_another_reads_what_stands_on_its_board() -> None:
    mailboxes = make_mailboxes(2)
    former, writer = End(1, mailboxes), End(0, mailboxes)
    writer.bus.pin(1, b"Bread")
    former.bus.take_in()
    writer.bus.pin(1, b"Bunread")
    again = End(1, mailboxes)
    writer.bus.pin(1, b"Blater")
    again.bus.take_in()
    assert again.news == [b"Bunread", b"Blater"]
    writer.bus.pin(1, b"Blast")
    again.bus.take_in()
    assert again.news == [b"Bunread", b"Blater", b"Blast"]


async def test_a_nudge_finds_what_its_writer_did_not_live_to_count(ends: tuple[End, End]) -> None:
    one, other = ends
    one.bus._boards[1]._tally = None
    one.bus.pin(1, b"Buncounted")
    other.bus.take_in()
    assert other.news == []
    one.bus.post(1, bytes((NUDGE,)))
    async with asyncio.timeout(PATIENCE):
        while not other.news:
            await asyncio.sleep(0)
    assert other.news == [b"Buncounted"]


async def test_what_answers_make_known_stands_on_the_boards_before_they_leave(ends: tuple[End, End]) -> None:
    one, other = ends
    one.bus.hold()
    one.bus.pin_all_in_time(b"Bfirst")
    one.bus.pin_all_in_time(b"Bsecond")
    other.bus.take_in()
    assert other.news == []
    one.bus.settle()
    other.bus.take_in()
    assert other.news == [b"Bfirst", b"Bsecond"]
    one.bus.pin_all_in_time(b"Bthird")
    other.bus.take_in()
    assert other.news[-1] == b"Bthird"
