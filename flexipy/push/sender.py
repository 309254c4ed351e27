"""The process that sends pushes, `python -m flexipy.push.sender`: started by `link.py`, spoken to by standard input.

What costs time (TLS, HTTP/2, signatures, sealing) and memory (the libraries for it) is here, so that signalling has
none of it. It leaves when the server closes the connection, whatever the reason, and takes no signals: those of a
terminal or a service manager go to the whole group, and the server still has pushes to send while it leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
from collections import defaultdict
from collections.abc import Awaitable
from typing import Any, Final

from flexipy.push.http import TIMEOUT
from flexipy.push.provider import Provider
from flexipy.push.request import PushRequest, PushResult
from flexipy.push.service import PushService
from flexipy.push.settings import PushSettings
from flexipy.push.setup import Setup, make_service
from flexipy.push.wire import LONGEST, record, request_from, result_facts, settings_from

_GATHERING: Final = 0.005  # seconds that an answer waits for others to go with
_NICENESS: Final = 5  # signalling goes first where there are fewer processors than work
_MOST_MEMORY: Final = 512 << 20  # bytes of data; ten times what ten thousand waiting pushes take
_MOST_PENDING: Final = 4 << 20  # bytes of answers that the server has not read


class Sender:
    """The work of the process.

    Args:
        settings: which services.
        write: sends bytes to the server.
    """

    def __init__(self, settings: PushSettings, writer: asyncio.StreamWriter) -> None:
        self._settings = settings
        self._writer = writer
        self._counters: dict[str, int] = defaultdict(int)
        self._tasks: set[asyncio.Future[None]] = set()
        self._unwritten: list[bytes] = []
        self.service: PushService = make_service(settings, self._spawn, self._counters)
        self._tell_ready()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what the server says ----------------------------------------------------------------------------

    def take(self, kind: str, *facts: Any) -> None:
        """A record of the server's."""
        match kind:
            case "push":
                number = facts[0]
                self.service.submit(request_from(facts[1]), lambda _, result: self._tell_result(number, "", result))
            case "try":
                self._spawn(self._try(facts[0], request_from(facts[1])))
            case "reload":
                self._reload()
            case "ping":
                self._tell("pong")

    async def _try(self, number: int, request: PushRequest) -> None:
        self._tell_result(number, *await self.service.send(request))

    def _reload(self) -> None:
        setup = Setup(self._settings, self.service.providers)
        setup.make()
        for provider in self.service.renew(setup.providers):
            self._spawn(_close_later(provider))
        self.service.notes = setup.notes
        self._tell_ready()

    # --- what the server hears ---------------------------------------------------------------------------

    def _tell_ready(self) -> None:
        self._tell("ready", self.service.can_push, dict(self.service.features), self.service.notes)

    def _tell_result(self, number: int, service: str, result: PushResult) -> None:
        self._tell("result", number, service, result_facts(result))

    def _tell(self, kind: str, *facts: object) -> None:
        if not self._unwritten:
            asyncio.get_running_loop().call_later(_GATHERING, self._write)
        self._unwritten.append(record(kind, *facts))

    def _write(self) -> None:
        """Everything that was told since the first, in one go: the server is woken once for it."""
        if self._counters:
            self._unwritten.append(record("counters", dict(self._counters)))
            self._counters.clear()
        self._writer.write(b"".join(self._unwritten))
        self._unwritten.clear()
        if self._writer.transport.get_write_buffer_size() > _MOST_PENDING:
            self._writer.transport.abort()  # the server hangs: whoever restarts it starts another of us


async def _close_later(provider: Provider) -> None:
    await asyncio.sleep(TIMEOUT)  # what it is sending may still be answered
    await provider.close()


async def serve(connection: socket.socket) -> None:
    """Send what the server asks for until it closes the connection."""
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LONGEST)
    sender: Sender | None = None
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            kind, *facts = json.loads(line)
            if sender is None:
                sender = Sender(settings_from(facts[0]), writer)
            else:
                sender.take(kind, *facts)
    if sender is not None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(sender.service.close(), 1.0)
    writer.close()


def main() -> None:
    """Run until the server lets go."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    os.environ.pop("NOTIFY_SOCKET", None)
    connection = socket.socket(fileno=os.dup(0))
    connection.setblocking(False)
    asyncio.run(serve(connection))


if __name__ == "__main__":
    main()
