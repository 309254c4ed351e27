"""One of several processes that are one server: hands over what belongs to others, takes what belongs to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from flexipy.transport.flow import Flow
from flexipy.transport.stream import StreamFlow
from flexipy.workers.bus import Bus, Mailbox
from flexipy.workers.flows import NAME_SIZE, DistantFlow, DistantFlows, FlowFacts, name_of, number_of
from flexipy.workers.frames import (
    ANSWER,
    CHANGES,
    CLOSED,
    GONE,
    HELLO,
    IDLE,
    KNOWN,
    MESSAGE,
    OPENED,
    QUESTION,
    SEND,
    SHUT,
    SUBJECT,
)
from flexipy.workers.ownership import owner_of
from flexipy.workers.replication import Replication
from flexipy.workers.share import Share

if TYPE_CHECKING:
    from flexipy.transport.transports import Transports

logger = logging.getLogger(__name__)

_LEARNING: Final = 10.0  # seconds for the others to tell a new worker what they know
_OUTLIVING: Final = 3.0  # seconds
_ANSWERING: Final = 5.0  # seconds for a command of the control socket
_WAYS_KEPT: Final = 65536
# Bytes that wait for a worker: from which on nobody's connection is read who sends more, until when, and from which on
# datagrams are dropped, as the kernel does where a socket has no room.
_MUCH: Final = 1 << 20
_LITTLE: Final = 1 << 19
_MOST_OF_DATAGRAMS: Final = 4 << 20
_ID: Final = struct.Struct("!I")
_CHANGES: Final = bytes((CHANGES,))
_SUBJECT: Final = bytes((SUBJECT,))
_CONNECTION: Final = b"s"
_DATAGRAM: Final = b"u"

Spawn = Callable[[Coroutine[Any, Any, None]], object]
Answerer = Callable[[str], Awaitable[str]]


class Worker:
    """One process among several.

    Args:
        index: its number, from 0.
        mailboxes: of all workers, as the parent made them.
        branch_prefix: what the branches of all workers begin with.
        alive: the others that work already.
        sockets: gives those of the UDP listening points, as `Transports.start` takes them.

    Attributes:
        handed_over: messages that belonged to other workers.
        taken_over: messages that others handed over.
        lost: messages whose flow was gone, or that their owner had no room for.
    """

    def __init__(
        self,
        index: int,
        mailboxes: Sequence[Mailbox],
        branch_prefix: bytes,
        alive: frozenset[int],
        sockets: Callable[[], Awaitable[Sequence[socket.socket]]],
    ) -> None:
        self.index = index
        self.sockets = sockets
        self.count = len(mailboxes)
        self.share = Share(index, self.count, self._say, self._take_in)
        self.life = os.urandom(4)
        self.handed_over = self.taken_over = self.lost = 0
        self.bus = Bus(index, mailboxes, self._on_news, self._on_frame, self._on_room)
        self.replication = Replication(index, self._publish, self.bus.take_in, _soon)
        self._prefix = branch_prefix
        self._alive = alive
        self._take: Callable[[bytes, Flow, float], None] = _not_yet
        self._admits: Callable[[Flow, float], bool] = _everybody
        self._spawn: Spawn | None = None
        self._answer: Answerer | None = None
        self._transports: Transports | None = None
        self._flows: DistantFlows | None = None
        self._ways_out: dict[int, bytes] = {}  # how a flow is named to others, with the frame's letter before it
        self._ways_in: dict[bytes, Flow] = {}
        self._held: dict[StreamFlow, int] = {}  # connections that are not read -> the worker that has enough to do
        self._early_news: list[tuple[int, bytes]] = []
        self._early: list[tuple[int, bytes]] = []
        self._learning: set[int] = set()
        self._learned = asyncio.Event()
        self._present = set(alive)  # the others that have begun and not left
        self._idle: set[int] = set()  # those that have nothing more to do
        self._said_idle = False
        self._alone = asyncio.Event()
        self._questions: dict[int, asyncio.Future[str]] = {}
        self._asked = int.from_bytes(self.life, "big") >> 1  # answers to a former life find nobody

    # --- life --------------------------------------------------------------------------------------------

    def use(
        self,
        take: Callable[[bytes, Flow, float], None],
        admits: Callable[[Flow, float], bool],
        spawn: Spawn,
        answer: Answerer,
    ) -> None:
        """Set what works here.

        Args:
            take: deals with a message that belongs to this worker.
            admits: whether a message from a flow is to be looked at.
            spawn: runs something in the background.
            answer: carries out a command of the control socket.
        """
        self._take = take
        self._admits = admits
        self._spawn = spawn
        self._answer = answer

    async def learn(self) -> None:
        """Begin to hear from the others, and wait until those that work already have told what they know."""
        self.bus.start()
        hello = bytes((HELLO,)) + self.life + bytes(sorted(self._alive))
        self._learning = set(self._alive)
        if self._learning:
            self.replication.begin_learning()
        self.bus.post_all(hello)
        if not self._learning:
            return
        try:
            async with asyncio.timeout(_LEARNING):
                await self._learned.wait()
                self.replication.end_learning()
        except TimeoutError:
            logger.warning("workers %s did not tell what they know", sorted(self._learning))

    def join(self, transports: Transports) -> None:
        """From now on take part: the listening points are bound."""
        self._transports = transports
        self._flows = DistantFlows(transports.listeners, self._send, self._shut)
        transports.share(self._flows, self, self.bus)
        for flow in transports.connections():
            self.opened(flow)
        for sender, frame in self._early_news:
            self._on_news(sender, frame)
        for sender, frame in self._early:
            self._on_frame(sender, frame)
        self._early_news = []
        self._early = []

    def is_needed(self, busy: bool) -> bool:
        """Whether to stay when all are told to leave: until nobody has calls that wait for an answer.

        Args:
            busy: whether this worker has.
        """
        if not busy and not self._said_idle:
            self._said_idle = True
            self.bus.post_all(bytes((IDLE,)))
        return busy or not self._present <= self._idle

    async def outlive_others(self) -> None:
        """As the one that writes the journal, wait until the others change nothing any more; then know all they did."""
        if self.replication.writes_journal:
            if not self._present:
                self._alone.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_OUTLIVING):
                    await self._alone.wait()
            self.replication.catch_up()

    def stop(self) -> None:
        """Hear no more, and let that be known."""
        self.bus.post_all(bytes((GONE,)))
        self.bus.stop()

    # --- messages ----------------------------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """A message from one of this worker's own flows: deal with it, or hand it to its owner."""
        if not self._admits(flow, now):
            return
        owner = owner_of(data, self._prefix, self.count)
        if owner < 0 or owner == self.index:
            self._begin(data, flow, now)
            return
        way = self._ways_out.get(flow.id) or self._way_of(flow)
        waiting = self.bus.waiting(owner)
        if (waiting < _MOST_OF_DATAGRAMS or flow.reliable) and self.bus.post(owner, way + data):
            self.handed_over += 1
        else:
            self.lost += 1
        if waiting > _MUCH and isinstance(flow, StreamFlow) and not flow.closed:
            self._held[flow] = owner
            flow.hold()

    def _on_room(self) -> None:
        """Read on from those who sent more to a worker than it could deal with."""
        if self._held:
            for flow in [flow for flow, owner in self._held.items() if self.bus.waiting(owner) < _LITTLE]:
                del self._held[flow]
                flow.release()

    def _begin(self, data: bytes, flow: Flow, now: float) -> None:
        if data.startswith(b"MESSAGE "):
            # Whoever has registered elsewhere meanwhile gets first what waited for him.
            self.replication.catch_up()
        self._take(data, flow, now)

    def _way_of(self, flow: Flow) -> bytes:
        assert self._transports is not None
        if flow.reliable:
            way = _CONNECTION + name_of(self.life, flow.id)
        else:
            assert flow.listener is not None
            place = self._transports.listeners.index(flow.listener)
            way = _DATAGRAM + bytes((place,)) + flow.remote_host_port
        way = bytes((MESSAGE, len(way))) + way
        if len(self._ways_out) >= _WAYS_KEPT:
            self._ways_out.clear()
        self._ways_out[flow.id] = way
        return way

    def _taken_over(self, sender: int, frame: bytes) -> None:
        length = frame[1]
        way = frame[2 : 2 + length]
        flow = self._ways_in.get(way)
        if flow is None or flow.closed:
            flow = self._find(way)
            if flow is None:
                self.lost += 1
                return
        self.taken_over += 1
        self._begin(frame[2 + length :], flow, time.monotonic())

    def _find(self, way: bytes) -> Flow | None:
        assert self._transports is not None
        assert self._flows is not None
        flow: Flow | None
        if way.startswith(_CONNECTION):
            flow = self._flows.get(way[1:])
            if flow is None:  # a new one, of which nobody has read yet
                self.bus.take_in()
                flow = self._flows.get(way[1:])
        else:
            ip, _, port = way[2:].decode().rpartition(":")
            flow = self._transports.udp_flow(way[1], ip.strip("[]"), int(port))
        if flow is not None:
            if len(self._ways_in) >= _WAYS_KEPT:
                self._ways_in.clear()
            self._ways_in[way] = flow
        return flow

    # --- connections -------------------------------------------------------------------------------------

    def opened(self, flow: StreamFlow) -> None:
        """One of this worker's connections is up."""
        if self._transports is not None:
            facts = FlowFacts.of(flow, self.life, self._transports.listeners)
            self.bus.pin_all(bytes((OPENED,)) + bytes(facts))

    def closed(self, flow: StreamFlow) -> None:
        """It is gone."""
        self._ways_out.pop(flow.id, None)
        self._held.pop(flow, None)
        self.bus.post_all(bytes((CLOSED,)) + name_of(self.life, flow.id))

    def _send(self, flow: DistantFlow, data: bytes) -> bool:
        return self.bus.post(flow.owner, bytes((SEND,)) + flow.name + data)

    def _shut(self, flow: DistantFlow) -> None:
        self.bus.post(flow.owner, bytes((SHUT,)) + flow.name)

    def _own(self, frame: bytes) -> Flow | None:
        assert self._transports is not None
        number = number_of(frame[1 : 1 + NAME_SIZE], self.life)
        return self._transports.flow_by_id(number) if number else None

    def _send_for(self, sender: int, frame: bytes) -> None:
        flow = self._own(frame)
        if flow is None:
            self.bus.post(sender, bytes((CLOSED,)) + frame[1 : 1 + NAME_SIZE])
        else:
            flow.send(frame[1 + NAME_SIZE :])

    # --- what others say ---------------------------------------------------------------------------------

    def _publish(self, lines: bytes) -> None:
        self.bus.pin_all_in_time(_CHANGES + lines)

    def _take_in(self) -> None:
        self.bus.take_in()

    def _say(self, name: bytes, what: bytes) -> None:
        self.bus.pin_all_soon(b"%b%b%b" % (_SUBJECT, name, what))

    def _on_news(self, sender: int, frame: bytes) -> None:
        kind = frame[0]
        if kind == CHANGES:
            self.replication.apply(frame[1:])
        elif kind == SUBJECT:
            self.share.hear(frame[1:2], frame[2:])
        elif kind == KNOWN:
            if frame[1:] == self.life:
                self._learning.discard(sender)
                if not self._learning:
                    self._learned.set()
        elif self._flows is None:
            self._early_news.append((sender, frame))
        else:
            self._flows.opened(sender, FlowFacts.read(frame[1:]))

    def _on_frame(self, sender: int, frame: bytes) -> None:
        if frame[0] == HELLO:
            self._greet(sender, frame)
        elif self._flows is None:
            self._early.append((sender, frame))
        else:
            self._dispatch(sender, frame)

    def _dispatch(self, sender: int, frame: bytes) -> None:
        assert self._flows is not None
        kind = frame[0]
        if kind == MESSAGE:
            self._taken_over(sender, frame)
        elif kind == SEND:
            self._send_for(sender, frame)
        elif kind == CLOSED:
            self.bus.take_in()  # where it may still stand as opened
            self._flows.closed(frame[1 : 1 + NAME_SIZE])
        elif kind == SHUT:
            flow = self._own(frame)
            if flow is not None:
                flow.close()
        elif kind == GONE:
            self._present.discard(sender)
            if not self._present:
                self._alone.set()
        elif kind == IDLE:
            self._idle.add(sender)
        elif kind == QUESTION and self._spawn is not None:
            self._spawn(self._answer_question(sender, frame))
        elif kind == ANSWER:
            asked = self._questions.pop(_ID.unpack_from(frame, 1)[0], None)
            if asked is not None and not asked.done():
                asked.set_result(frame[1 + _ID.size :].decode("utf-8", "surrogateescape"))

    def _greet(self, sender: int, frame: bytes) -> None:
        """A worker begins, perhaps anew: tell it what it asks for."""
        self.bus.forget(sender)
        self._present.add(sender)
        self._idle.discard(sender)
        self._alone.clear()
        if self._flows is not None:
            self._flows.forget(sender)
        if self._transports is not None:
            for flow in self._transports.connections():
                facts = FlowFacts.of(flow, self.life, self._transports.listeners)
                self.bus.pin(sender, bytes((OPENED,)) + bytes(facts))
        life, alive = frame[1:5], frozenset(frame[5:])
        if self.index in alive and self._spawn is not None:
            self._spawn(self._tell_all_we_know(sender, life, alive))

    async def _tell_all_we_know(self, sender: int, life: bytes, alive: frozenset[int]) -> None:
        if self.index == min(alive):
            for lines in self.replication.tell():
                self.bus.pin(sender, bytes((CHANGES,)) + lines)
                await asyncio.sleep(0)
        self.bus.pin(sender, bytes((KNOWN,)) + life)

    # --- commands ----------------------------------------------------------------------------------------

    async def ask(self, number: int, command: str) -> str:
        """Have another worker carry out a command of the control socket.

        Raises:
            TimeoutError: it did not answer.
        """
        asked = self._asked = (self._asked + 1) & 0xFFFFFFFF
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._questions[asked] = future
        text = command.encode("utf-8", "surrogateescape")
        self.bus.post(number, bytes((QUESTION,)) + _ID.pack(asked) + text)
        try:
            async with asyncio.timeout(_ANSWERING):
                return await future
        finally:
            self._questions.pop(asked, None)

    async def _answer_question(self, sender: int, frame: bytes) -> None:
        assert self._answer is not None
        result = await self._answer(frame[1 + _ID.size :].decode("utf-8", "surrogateescape"))
        text = result.encode("utf-8", "surrogateescape")
        self.bus.post(sender, bytes((ANSWER,)) + frame[1 : 1 + _ID.size] + text)

    def counters(self) -> dict[str, int]:
        """Numbers for operators."""
        return {
            "workers_handed_over": self.handed_over,
            "workers_taken_over": self.taken_over,
            "workers_messages_lost": self.lost + self.bus.dropped,
        }


def _not_yet(data: bytes, flow: Flow, now: float) -> None:
    pass


def _everybody(flow: Flow, now: float) -> bool:
    return True


def _soon(action: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_soon(action)
