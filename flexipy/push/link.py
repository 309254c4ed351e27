"""The server's end of the process that sends pushes: starts it, feeds it, starts it again when it dies.

Signalling never waits for it. What it was given and has not answered is kept here and given to the next one, so that
its death loses nothing; a push that was sent, but not yet reported, is then sent again. One that two processes died
with is given up. When it cannot keep up with what it is fed, the oldest are dropped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, Final, cast

from flexipy.push.provider import Pusher, Told
from flexipy.push.request import Outcome, PushRequest, PushResult
from flexipy.push.settings import PushSettings
from flexipy.push.wire import LONGEST, record, request_facts, result_from, settings_facts

_COMMAND: Final = (sys.executable, "-P", "-m", "flexipy.push.sender")
_FIRST_PAUSE: Final = 0.5  # seconds before the next is started; doubled each time
_LONGEST_PAUSE: Final = 30.0
_STEADY: Final = 60.0  # seconds of life after which a death is the first again
_DEATHS: Final = 2  # with which a push is given up
_PING: Final = 10.0  # seconds between two looks whether it still lives
_SILENCE: Final = 30.0  # seconds without a word after which it is ended
_BY_HAND: Final = 30.0  # seconds that somebody who tries a push waits
_TO_LEAVE: Final = 1.5  # seconds
_ROOM: Final = 256 << 10  # bytes on their way to it before the rest waits here


class _Pending:
    """A push that was given to the process, or will be.

    Attributes:
        deaths: processes that died with it.
    """

    __slots__ = ("answered", "deaths", "request", "told")

    def __init__(self, request: PushRequest, told: Told | None, answered: asyncio.Future[Any] | None) -> None:
        self.request = request
        self.told = told
        self.answered = answered
        self.deaths = 0


class PushLink(Pusher):
    """Sends pushes by a process of its own.

    Args:
        settings: which services.
        counters: numbers for operators.
        report: told what of the configuration cannot be used, a line each, whenever keys were read.
        logger: for the process's life.
        command: starts it.

    Attributes:
        ready: set once it has said what it can do.
    """

    def __init__(
        self,
        settings: PushSettings,
        counters: MutableMapping[str, int],
        report: Callable[[list[str]], None],
        logger: logging.Logger,
        command: tuple[str, ...] = _COMMAND,
    ) -> None:
        self.features = {}
        self.can_push = False
        self.ready = asyncio.Event()
        self._settings = settings
        self._counters = counters
        self._report = report
        self._logger = logger
        self._command = command
        self._number = 0
        self._given: dict[int, _Pending] = {}
        self._waiting: deque[int] = deque()  # those of them that have not been written, for lack of room
        self._unwritten: list[bytes] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: _Connection | None = None
        self._started_at = 0.0
        self._heard_at = 0.0
        self._pause = _FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None
        self._pulse: asyncio.TimerHandle | None = None
        self._launching: asyncio.Future[None] | None = None
        self._closed = False

    # --- its life ----------------------------------------------------------------------------------------

    async def start(self, patience: float) -> None:
        """Start the process and wait until it is ready, so many seconds at most."""
        await self._launch()
        try:
            await asyncio.wait_for(self.ready.wait(), patience)
        except TimeoutError:
            self._logger.warning("the process that sends pushes is not ready yet")

    @property
    def process_id(self) -> int:
        """Of the process; 0 where none runs."""
        return 0 if self._process is None else self._process.pid

    async def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own; it takes a few milliseconds, and once
                    self._command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environment
                )
        except OSError as error:
            ours.close()
            self._logger.error("cannot start the process that sends pushes: %s", error.strerror or error)
            self._launch_later()
            return
        self._started_at = self._heard_at = time.monotonic()
        loop = asyncio.get_running_loop()
        connection = _Connection(self)
        await loop.create_unix_connection(lambda: connection, sock=ours)
        if self._closed:
            connection.abort()
            self._reap()
            return
        self._connection = connection
        self._write(record("setup", settings_facts(self._settings)))
        self._waiting = deque(self._given)
        self.feed()
        self._pulse = loop.call_later(_PING, self._beat)

    def _launch_later(self) -> None:
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._pause, self._launch_again)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _launch_again(self) -> None:
        self._launching = asyncio.ensure_future(self._launch())

    def lost(self) -> None:
        """The process let go of the connection: it is dead, or will be."""
        self._connection = None
        self._unwritten.clear()
        if self._pulse is not None:
            self._pulse.cancel()
        if self._closed:
            return
        status = self._reap()
        self._counters["push_sender_deaths"] += 1
        self._logger.error("the process that sends pushes ended (%s): another is started", status)
        if time.monotonic() - self._started_at > _STEADY:
            self._pause = _FIRST_PAUSE
        unwritten = set(self._waiting)
        for number, pending in list(self._given.items()):
            if number not in unwritten:
                pending.deaths += 1
            if pending.deaths >= _DEATHS:
                self._end(number, "", PushResult(Outcome.DROPPED, "", "the process that sends pushes died with it"))
        self._launch_later()

    def _reap(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return "gone"
        process.kill()
        status = process.wait()
        return f"signal {-status}" if status < 0 else f"status {status}"

    def _beat(self) -> None:
        """It is asked for a sign of life as long as it has work."""
        if self._given and time.monotonic() - self._heard_at > _SILENCE:
            self._logger.error("the process that sends pushes does not answer")
            if self._process is not None:
                self._process.kill()
            return
        if self._given:
            self._write(record("ping"))
        else:
            self._heard_at = time.monotonic()
        self._pulse = asyncio.get_running_loop().call_later(_PING, self._beat)

    def reload(self) -> None:
        """Have it read its keys anew."""
        self._write(record("reload"))

    async def close(self) -> None:
        """Let the process go, which forgets what waits."""
        self._closed = True
        for timer in (self._timer, self._pulse):
            if timer is not None:
                timer.cancel()
        for number, pending in list(self._given.items()):
            pending.told = None
            self._end(number, "", PushResult(Outcome.DROPPED, "", "the server leaves"))
        if self._connection is not None:
            self._connection.abort()
        if self._launching is not None:
            await self._launching
        process, self._process = self._process, None
        if process is None:
            return
        deadline = time.monotonic() + _TO_LEAVE
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            await asyncio.sleep(0.01)

    # --- pushes ------------------------------------------------------------------------------------------

    def submit(self, request: PushRequest, told: Told) -> None:
        """Send a push when its turn comes."""
        if not self._closed:
            self._give("push", _Pending(request, told, None))

    async def send(self, request: PushRequest) -> tuple[str, PushResult]:
        """Send one push at once and wait for the answer: by hand."""
        answered: asyncio.Future[tuple[str, PushResult]] = asyncio.get_running_loop().create_future()
        self._give("try", _Pending(request, None, answered))
        try:
            return await asyncio.wait_for(answered, _BY_HAND)
        except TimeoutError:
            return "", PushResult(Outcome.LATER, "", "the process that sends pushes does not answer")

    def _give(self, kind: str, pending: _Pending) -> None:
        self._number += 1
        self._given[self._number] = pending
        if len(self._waiting) >= self._settings.limit:
            self._counters["push_dropped"] += 1
            self._end(self._waiting.popleft(), "", PushResult(Outcome.DROPPED, "", "too many pushes wait to be sent"))
        self._waiting.append(self._number)
        if len(self._waiting) == 1:
            self.feed()

    def feed(self) -> None:
        """Write what waits, as far as there is room."""
        connection = self._connection
        while self._waiting and connection is not None and connection.has_room:
            number = self._waiting.popleft()
            pending = self._given.get(number)
            if pending is None:
                continue
            if time.time() >= pending.request.expires_at:
                self._end(number, "", PushResult(Outcome.DROPPED, "", "it came too late to be of use"))
                continue
            kind = "push" if pending.answered is None else "try"
            self._write(record(kind, number, request_facts(pending.request)))

    def _write(self, data: bytes) -> None:
        """All that is written in one round of the event loop goes in one call of the system."""
        if self._connection is None:
            return
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten.append(data)

    def _flush(self) -> None:
        if self._connection is not None:
            self._connection.write(b"".join(self._unwritten))
        self._unwritten.clear()

    # --- what it says ------------------------------------------------------------------------------------

    def take(self, kind: str, *facts: Any) -> None:
        """A record of the process's."""
        self._heard_at = time.monotonic()
        match kind:
            case "result":
                self._end(facts[0], facts[1], result_from(facts[2]))
            case "counters":
                for name, increment in facts[0].items():
                    self._counters[name] = self._counters.get(name, 0) + increment
            case "ready":
                self.can_push, self.features, notes = facts
                self._report(notes)
                self.ready.set()

    def _end(self, number: int, service: str, result: PushResult) -> None:
        pending = self._given.pop(number, None)
        if pending is None:
            return
        if pending.told is not None:
            pending.told(pending.request, result)
        elif pending.answered is not None and not pending.answered.done():
            pending.answered.set_result((service, result))


class _Connection(asyncio.Protocol):
    """Lines to and from the process."""

    def __init__(self, link: PushLink) -> None:
        self._transport: asyncio.Transport | None = None
        self.has_room = True
        self._link = link
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's classes
        self._transport.set_write_buffer_limits(_ROOM)

    def write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            kind, *facts = json.loads(line)
            self._link.take(kind, *facts)
        if len(self._received) > LONGEST:
            self.abort()

    def pause_writing(self) -> None:
        self.has_room = False

    def resume_writing(self) -> None:
        self.has_room = True
        self._link.feed()

    def connection_lost(self, error: Exception | None) -> None:
        self.has_room = False
        self._link.lost()
