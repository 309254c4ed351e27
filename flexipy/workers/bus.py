"""The sockets between workers: each has an inbox, a Unix datagram socket that all the others write to.

The parent makes the inboxes and keeps both ends open, so that what was sent to a worker that died is still there for
the one that takes its place. Sending never waits: what the kernel does not take waits in the sender, up to a limit.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from flexipy.transport.load import Queue
from flexipy.workers.frames import CHANGES, LARGEST, OPENED, Packer, Unpacker

logger = logging.getLogger(__name__)

_BUFFER: Final = 4 << 20  # bytes asked of the kernel; it may give less
_SO_SNDBUFFORCE: Final = getattr(socket, "SO_SNDBUFFORCE", 32)
_LIMIT: Final = 64 << 20  # bytes that wait for one worker that does not read
_BATCH: Final = 64  # frames dealt with before the sockets have their turn
_AT_ONCE: Final = (CHANGES, OPENED)

Inbox = tuple[socket.socket, socket.socket]
"""The end that the worker reads, and the one that the others write to."""
OnFrame = Callable[[int, bytes], None]


def make_inboxes(count: int) -> list[Inbox]:
    """One for each worker; to be made before they are forked."""
    inboxes: list[Inbox] = []
    for _ in range(count):
        read, write = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (read, write):
            end.setblocking(False)
        try:
            write.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
        except OSError:  # not allowed: as much as everybody may
            write.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        inboxes.append((read, write))
    return inboxes


class Bus:
    """One worker's end of all inboxes.

    Args:
        index: the number of this worker.
        inboxes: of all workers.
        at_once: called with the sender and a frame that is to be known as soon as it is read: bindings, connections.
        in_turn: called with the others, never from within `take_in`.

    Attributes:
        dropped: frames that were not sent because too many waited.
    """

    def __init__(self, index: int, inboxes: Sequence[Inbox], at_once: OnFrame, in_turn: OnFrame) -> None:
        self.index = index
        self.dropped = 0
        self._inbox = inboxes[index][0]
        self._at_once = at_once
        self._in_turn = in_turn
        self._outlets = [write for _, write in inboxes]
        self._packers = [Packer(index, _LIMIT) for _ in inboxes]
        self._others = tuple(number for number in range(len(inboxes)) if number != index)
        self._unpacker = Unpacker()
        self._room = bytearray(2 * LARGEST)
        self._view = memoryview(self._room)
        self._turns: deque[tuple[int, bytes]] = deque()
        self._due: list[int] = []
        self._blocked: set[int] = set()
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: Queue | None = None

    def watch(self, queue: Queue) -> None:
        """Let it be known how long what was handed over waits here."""
        self._queue = queue

    def start(self) -> None:
        """Begin to read."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._inbox.fileno(), self._on_readable)

    def stop(self) -> None:
        """Send what waits, as far as the kernel takes it, and look away."""
        if self._loop is None:
            return
        self.flush()
        self._loop.remove_reader(self._inbox.fileno())
        for number in self._blocked:
            self._loop.remove_writer(self._outlets[number].fileno())
        self._blocked.clear()
        self._loop = None

    # --- sending -----------------------------------------------------------------------------------------

    def post(self, number: int, frame: bytes) -> bool:
        """Send a frame with all others of this turn of the loop; False where too many wait.

        Args:
            number: of the worker it is for.
            frame: its letter and the rest.
        """
        packer = self._packers[number]
        if not packer.add(frame):
            self.dropped += 1
            return False
        if number not in self._due and number not in self._blocked:
            self._due.append(number)
            if len(self._due) == 1 and self._loop is not None:
                self._loop.call_soon(self.flush)
        return True

    def post_all(self, frame: bytes) -> None:
        """Send a frame to all others with what else is said in this turn of the loop."""
        for number in self._others:
            self.post(number, frame)

    def tell_all(self, frame: bytes) -> None:
        """Send a frame to all others, in order with what was posted before, before this returns."""
        self.post_all(frame)
        self.flush()

    def flush(self) -> None:
        """Send what waits now."""
        due, self._due = self._due, []
        for number in due:
            self._send(number)

    def _send(self, number: int) -> None:
        packer = self._packers[number]
        outlet = self._outlets[number]
        while datagram := packer.datagram():
            try:
                outlet.send(datagram)
            except (BlockingIOError, InterruptedError):
                if number not in self._blocked and self._loop is not None:
                    self._blocked.add(number)
                    self._loop.add_writer(outlet.fileno(), self._on_writable, number)
                return
            except OSError as error:
                logger.error("worker %d cannot be told anything: %s", number, error)
                packer.clear()
                return
            packer.sent()

    def _on_writable(self, number: int) -> None:
        if self._loop is not None:
            self._loop.remove_writer(self._outlets[number].fileno())
        self._blocked.discard(number)
        self._send(number)

    # --- receiving ---------------------------------------------------------------------------------------

    def take_in(self) -> None:
        """Read what has arrived. What others said before this moment about bindings and connections is then known.

        All else waits for its turn: this may be called while a message is being dealt with.
        """
        self._read()
        if self._turns and not self._scheduled and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._take_turns)

    def _read(self) -> None:
        receive = self._inbox.recv_into
        view = self._view
        while True:
            try:
                size = receive(view)
            except (BlockingIOError, InterruptedError):
                return
            for sender, frame in self._unpacker.frames(bytes(view[:size])):
                if frame[0] in _AT_ONCE:
                    self._guarded(self._at_once, sender, frame)
                else:
                    self._turns.append((sender, frame))

    def _on_readable(self) -> None:
        self._read()
        if not self._scheduled:
            self._take_turns()

    def _take_turns(self) -> None:
        self._scheduled = False
        turns = self._turns
        for _ in range(_BATCH):
            if not turns:
                break
            self._guarded(self._in_turn, *turns.popleft())
        if self._queue is not None:
            if turns:
                self._queue.left_some(time.monotonic())
            else:
                self._queue.emptied()
        if turns and not self._scheduled and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._take_turns)

    def _guarded(self, action: OnFrame, sender: int, frame: bytes) -> None:
        try:
            action(sender, frame)
        except Exception:
            logger.exception("what worker %d said could not be dealt with", sender)

    def forget(self, number: int) -> None:
        """A worker has started anew."""
        self._unpacker.forget(number)
