"""The sockets between workers: each has an inbox and a board, Unix datagram sockets that all the others write to.

The inbox wakes its worker up. The board does not: what stands there (bindings and connections that came or went) is
read whenever somebody is about to look for one, so that it costs no wake-up of its own. It is there before whoever
wrote it goes on; memory that all share tells whether there is anything, since to ask the kernel each time would cost
more than what is learned. The parent makes the sockets and keeps them open, so that what was sent to a worker that died
is still there for the one that takes its place. Sending never waits: what the kernel does not take waits in the sender,
up to a limit. A worker that has more than it can deal with leaves the rest in the kernel, so that those who send notice
it.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from flexipy.transport.load import Queue
from flexipy.workers.frames import LARGEST, NUDGE, Packer, Unpacker

logger = logging.getLogger(__name__)

_BUFFER: Final = 4 << 20  # bytes asked of the kernel; it may give less
_SO_SNDBUFFORCE: Final = getattr(socket, "SO_SNDBUFFORCE", 32)
_LIMIT: Final = 64 << 20  # bytes that wait for one worker that does not read
_BATCH: Final = 64  # frames dealt with before the sockets have their turn
_ENOUGH: Final = 4 << 20  # bytes of frames that have been read and not dealt with; the inbox is left alone meanwhile
_NUDGE_AFTER: Final = 0.02  # seconds that something may stand on a board which nobody looks at
_NUMBER: Final = 8  # octets
_ALL: Final = 1 << 30

OnFrame = Callable[[int, bytes], None]
Loop = Any
"""An event loop or None. Untyped: uvloop returns other things than asyncio declares, which compiled code refuses."""


class Mailbox:
    """One worker's sockets: of each pair the first end is read by that worker, the other written to by the rest.

    Attributes:
        inbox: wakes it up.
        board: does not.
        pinned: for each worker, how many datagrams it has put on the board, in memory that all share. A number is
            written by one worker alone, after it has sent: who finds a number unchanged has missed nothing of which he
            can know, since what makes it known, a 200 for instance, is sent later still.
    """

    __slots__ = ("board", "inbox", "pinned")

    def __init__(self, pinned: memoryview) -> None:
        self.inbox = _pair()
        self.board = _pair()
        self.pinned = pinned


def make_mailboxes(count: int) -> list[Mailbox]:
    """One for each worker; to be made before they are forked."""
    numbers = memoryview(mmap.mmap(-1, _NUMBER * count * count)).cast("Q")
    return [Mailbox(numbers[place * count : (place + 1) * count]) for place in range(count)]


def _pair() -> tuple[socket.socket, socket.socket]:
    read, write = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in (read, write):
        end.setblocking(False)
    try:
        write.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
    except OSError:  # not allowed: as much as everybody may
        write.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return read, write


class Outlet:
    """The way to one socket of another worker.

    Args:
        index: the number of this worker.
        sock: that socket's other end.
        on_room: called when less waits than before.
        tally: where to count what was sent, at the place of this worker; None for nowhere.
    """

    __slots__ = ("_blocked", "_index", "_on_room", "_packer", "_socket", "_tally")

    def __init__(
        self, index: int, sock: socket.socket, on_room: Callable[[], None], tally: memoryview | None = None
    ) -> None:
        self._index = index
        self._socket = sock
        self._on_room = on_room
        self._tally = tally
        self._packer = Packer(index, _LIMIT)
        self._blocked = False

    @property
    def waiting(self) -> int:
        """How many bytes wait."""
        return self._packer.waiting

    def add(self, frame: bytes) -> bool:
        """Let a frame wait for `flush`; False where too many wait already."""
        return self._packer.add(frame)

    def flush(self, loop: Loop) -> None:
        """Send what waits, now or when there is room."""
        if self._blocked:
            return
        packer = self._packer
        while datagram := packer.datagram():
            try:
                self._socket.send(datagram)
            except (BlockingIOError, InterruptedError):
                if loop is not None:
                    self._blocked = True
                    loop.add_writer(self._socket.fileno(), self._on_writable, loop)
                return
            except OSError as error:
                logger.error("a worker cannot be told anything: %s", error)
                packer.clear()
                return
            packer.sent()
            if self._tally is not None:
                self._tally[self._index] += 1

    def _on_writable(self, loop: Loop) -> None:
        self.close(loop)
        self.flush(loop)
        self._on_room()

    def close(self, loop: Loop) -> None:
        """Wait for room no longer."""
        if self._blocked:
            self._blocked = False
            loop.remove_writer(self._socket.fileno())


class Bus:
    """One worker's end of all sockets.

    Args:
        index: the number of this worker.
        mailboxes: of all workers.
        on_news: called with the sender and a frame from the board; perhaps in the middle of something else.
        on_frame: called with those from the inbox, one after the other.
        on_room: called when less waits for some worker's inbox than before.

    Attributes:
        dropped: frames that were not sent because too many waited.
        unread: bytes of the frames that came and have not been dealt with.
    """

    def __init__(
        self,
        index: int,
        mailboxes: Sequence[Mailbox],
        on_news: OnFrame,
        on_frame: OnFrame,
        on_room: Callable[[], None],
    ) -> None:
        self.dropped = 0
        self.unread = 0
        self._inbox = mailboxes[index].inbox[0]
        self._board = mailboxes[index].board[0]
        self._on_news = on_news
        self._on_frame = on_frame
        self._on_room = on_room
        self._inboxes = [Outlet(index, mailbox.inbox[1], on_room) for mailbox in mailboxes]
        self._boards = [Outlet(index, box.board[1], _nobody_waits, box.pinned) for box in mailboxes]
        self._pinned = mailboxes[index].pinned
        self._taken = [0] * len(mailboxes)  # as of when the board was last looked at; whose place we take left some
        self._others = [number for number in range(len(mailboxes)) if number != index]
        self._inbox_unpacker = Unpacker()
        self._board_unpacker = Unpacker()
        self._view = memoryview(bytearray(2 * LARGEST))
        self._turns: deque[tuple[int, bytes, float]] = deque()
        self._reading = False
        self._due: list[int] = []
        self._read_at = 0.0
        self._nudging = False
        self._pinning = False
        self._held = False
        self._scheduled = False
        self._loop: Loop = None
        self._queue: Queue | None = None

    def watch(self, queue: Queue) -> None:
        """Let it be known how long what was handed over waits here."""
        self._queue = queue

    def start(self) -> None:
        """Begin to read."""
        self._loop = asyncio.get_running_loop()
        self._read_on()

    def stop(self) -> None:
        """Send what waits, as far as the kernel takes it, and look away."""
        if self._loop is None:
            return
        self._flush()
        self._flush_boards()
        self._look_away()
        for outlet in (*self._inboxes, *self._boards):
            outlet.close(self._loop)
        self._loop = None

    # --- sending -----------------------------------------------------------------------------------------

    def post(self, number: int, frame: bytes) -> bool:
        """Put a frame in a worker's inbox, with all others of this turn of the loop; False where too many wait.

        Args:
            number: of that worker.
            frame: its letter and the rest.
        """
        if not self._inboxes[number].add(frame):
            self.dropped += 1
            return False
        if number not in self._due:
            self._due.append(number)
            if len(self._due) == 1 and self._loop is not None:
                self._loop.call_soon(self._flush)
        return True

    def waiting(self, number: int) -> int:
        """How many bytes wait for a worker's inbox."""
        return self._inboxes[number].waiting

    def post_all(self, frame: bytes) -> None:
        """Put a frame in the inbox of all others."""
        for number in self._others:
            self.post(number, frame)

    def _flush(self) -> None:
        due, self._due = self._due, []
        for number in due:
            self._inboxes[number].flush(self._loop)
        self._on_room()

    def pin(self, number: int, frame: bytes) -> None:
        """Put a frame on a worker's board before this returns."""
        self._write_down(number, frame)
        self._boards[number].flush(self._loop)

    def _write_down(self, number: int, frame: bytes) -> None:
        if not self._boards[number].add(frame):
            self.dropped += 1
        if not self._nudging and self._loop is not None:
            self._nudging = True
            self._loop.call_later(_NUDGE_AFTER, self._nudge)

    def pin_all_soon(self, frame: bytes) -> None:
        """Put a frame on the board of all others, together with the next one or when this turn of the loop ends."""
        for number in self._others:
            self._write_down(number, frame)
        if not self._pinning and not self._held and self._loop is not None:
            self._pinning = True
            self._loop.call_soon(self._flush_boards)

    def _flush_boards(self) -> None:
        self._pinning = False  # if it was to be done soon, there will be nothing left to do
        for number in self._others:
            self._boards[number].flush(self._loop)

    def hold(self) -> None:
        """From now until `settle` nothing leaves that could make known what `pin_all_in_time` is given."""
        self._held = True

    def settle(self) -> None:
        """Put on the boards what waits for that."""
        self._held = False
        self._flush_boards()

    def pin_all_in_time(self, frame: bytes) -> None:
        """Put a frame on the board of all others before anybody can know of it by an answer."""
        for number in self._others:
            self._write_down(number, frame)
        if not self._held:
            self._flush_boards()

    def pin_all(self, frame: bytes) -> None:
        """Put a frame on the board of all others before this returns."""
        for number in self._others:
            self.pin(number, frame)

    def _nudge(self) -> None:
        """Who waits for a device shall hear of it soon, and boards must not become full."""
        self._nudging = False
        self.post_all(bytes((NUDGE,)))

    # --- receiving ---------------------------------------------------------------------------------------

    def take_in(self) -> None:
        """Read the board: what others said before this moment about bindings and connections is then known."""
        news = 0
        taken = self._taken
        for number in self._others:
            pinned: int = self._pinned[number]
            if pinned != taken[number]:
                news += pinned - taken[number]
                taken[number] = pinned
        if news:
            self._read_board(news)

    def _read_board(self, most: int) -> None:
        """Read so many datagrams, or as many as there are."""
        view = self._view
        for _ in range(most):
            try:
                size = self._board.recv_into(view)
            except (BlockingIOError, InterruptedError):
                return
            for sender, frame in self._board_unpacker.frames(bytes(view[:size])):
                self._guarded(self._on_news, sender, frame)

    def _read_inbox(self) -> None:
        view = self._view
        while self.unread < _ENOUGH:
            try:
                size = self._inbox.recv_into(view)
            except (BlockingIOError, InterruptedError):
                return
            for sender, frame in self._inbox_unpacker.frames(bytes(view[:size])):
                self._turns.append((sender, frame, self._read_at))
                self.unread += len(frame)

    def _read_on(self) -> None:
        if not self._reading and self._loop is not None:
            self._reading = True
            self._loop.add_reader(self._inbox.fileno(), self._on_readable)

    def _look_away(self) -> None:
        if self._reading and self._loop is not None:
            self._reading = False
            self._loop.remove_reader(self._inbox.fileno())

    def _on_readable(self) -> None:
        self._read_at = time.monotonic()
        self._read_inbox()
        if self.unread >= _ENOUGH:
            self._look_away()
        if not self._scheduled:
            self._take_turns()

    def _take_turns(self) -> None:
        self._scheduled = False
        turns = self._turns
        for _ in range(_BATCH):
            if not turns:
                break
            sender, frame, _ = turns.popleft()
            self.unread -= len(frame)
            if frame[0] == NUDGE:
                self._read_board(_ALL)  # also what nobody lived to count
            else:
                self._guarded(self._on_frame, sender, frame)
        if self._queue is not None:
            if turns:
                now = time.monotonic()
                self._queue.waited(now - turns[0][2], now)
            else:
                self._queue.emptied()
        if self.unread < _ENOUGH:
            self._read_on()
        if turns and not self._scheduled and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._take_turns)

    @staticmethod
    def _guarded(action: OnFrame, sender: int, frame: bytes) -> None:
        try:
            action(sender, frame)
        except Exception:
            logger.exception("what worker %d said could not be dealt with", sender)

    def forget(self, number: int) -> None:
        """A worker has started anew: what its former life began to say will not be completed."""
        self._inbox_unpacker.forget(number)
        self._board_unpacker.forget(number)


def _nobody_waits() -> None:
    """Boards are written to by nobody who could wait."""
