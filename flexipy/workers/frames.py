"""What goes between workers, as bytes: frames, packed into datagrams of a Unix socket.

A datagram is the number of its sender and any number of pieces, each a length and a part of a frame. A frame is a
letter and what that letter stands for. Datagrams of one sender arrive in the order in which they were sent.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

LARGEST: Final = 100_000
"""Bytes of a datagram: what a Unix socket with the usual buffer takes, with room to spare."""

# Kinds of frames in an inbox.
MESSAGE: Final = 0x4D  # a SIP message that belongs to the receiver, and the flow that it came by
SEND: Final = 0x53  # bytes to be sent on a connection of the receiver's
SHUT: Final = 0x58  # a connection of the receiver's is to be closed
CLOSED: Final = 0x43  # a connection of the sender's is gone
HELLO: Final = 0x48  # the sender has just started and knows nothing
QUESTION: Final = 0x51  # a command of the control socket
ANSWER: Final = 0x41  # its result
IDLE: Final = 0x49  # the sender is leaving and has nothing more to do
GONE: Final = 0x47  # the sender has closed its sockets and changes nothing any more
NUDGE: Final = 0x4E  # there is something on the receiver's board
# Kinds of frames on a board.
OPENED: Final = 0x4F  # the sender has a connection
CHANGES: Final = 0x42  # lines of the journal: bindings that came, were renewed or went
SUBJECT: Final = 0x54  # what one module has to say to the same module elsewhere
KNOWN: Final = 0x4B  # all that was asked for by HELLO has been told

_HEAD: Final = 4  # octets of a piece that tell its length
_MORE: Final = 1 << 31  # the frame goes on in the next piece


class Packer:
    """Frames for one receiver, waiting to be sent.

    Args:
        sender: the number of this worker.
        limit: bytes that may wait.

    Attributes:
        waiting: how many bytes wait.
    """

    __slots__ = ("_first", "_limit", "_offered", "_pieces", "waiting")

    def __init__(self, sender: int, limit: int) -> None:
        self._first = bytes((sender,))
        self._limit = limit
        self._pieces: list[bytes] = []
        self._offered = 0  # how many of them the last datagram held
        self.waiting = 0

    def add(self, frame: bytes) -> bool:
        """Let a frame wait; False where too many wait already."""
        size = len(frame)
        if self.waiting + size > self._limit:
            return False
        self.waiting += size + _HEAD * (1 + size // LARGEST)
        if size <= LARGEST:
            self._pieces.append(size.to_bytes(_HEAD, "big") + frame)
            return True
        for start in range(0, size, LARGEST):
            part = frame[start : start + LARGEST]
            more = _MORE if start + LARGEST < size else 0
            self._pieces.append((len(part) | more).to_bytes(_HEAD, "big") + part)
        return True

    def datagram(self) -> bytes:
        """The next datagram, which still waits until it is `sent`; empty for nothing."""
        pieces = self._pieces
        if not pieces:
            return b""
        if self.waiting <= LARGEST:  # nearly always
            self._offered = len(pieces)
            return self._first + (pieces[0] if self._offered == 1 else b"".join(pieces))
        size = count = 0
        for piece in pieces:
            size += len(piece)
            if count and size > LARGEST:
                break
            count += 1
        if count > 1:
            pieces[:count] = [b"".join(pieces[:count])]
        self._offered = 1
        return self._first + pieces[0]

    def sent(self) -> None:
        """The kernel took the datagram that `datagram` returned."""
        if self._offered == len(self._pieces):
            self.clear()
        else:
            self.waiting -= len(self._pieces.pop(0))

    def clear(self) -> None:
        """Forget what waits."""
        self._pieces.clear()
        self.waiting = 0


class Unpacker:
    """Datagrams of all senders, taken apart."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: dict[int, bytes] = {}

    def frames(self, datagram: bytes) -> list[tuple[int, bytes]]:
        """The frames that a datagram completes, each with the number of its sender."""
        found: list[tuple[int, bytes]] = []
        sender = datagram[0]
        size: i64 = len(datagram)
        at: i64 = 1
        while at < size:
            head: i64 = datagram[at] << 24 | datagram[at + 1] << 16 | datagram[at + 2] << 8 | datagram[at + 3]
            at += _HEAD
            length = head & ~_MORE
            part = datagram[at : at + length]
            at += length
            if head & _MORE:
                self._begun[sender] = self._begun.get(sender, b"") + part
            elif self._begun:
                found.append((sender, self._begun.pop(sender, b"") + part))
            else:
                found.append((sender, part))
        return found

    def forget(self, sender: int) -> None:
        """A worker has started anew: what its former life began to say will not be completed."""
        self._begun.pop(sender, None)
