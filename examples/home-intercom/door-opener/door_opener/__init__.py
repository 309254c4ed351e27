"""DoorOpener: a message that says `open`, from somebody who may, runs a command or fetches a URL.

Its section in the configuration:

    [module::DoorOpener]
    enabled=true
    door=sip:door@myhouse
    users=sip:alice@myhouse sip:bob@myhouse
    command=/usr/local/bin/open-the-door
"""

from __future__ import annotations

import asyncio
import shlex
import urllib.request
from collections.abc import Awaitable

from flexipy.proxy.api import Module, ModuleContext, ModuleError, RequestEvent, string, string_list

_PATIENCE = 10.0  # seconds


class DoorOpener(Module):
    """Open the door."""

    name = "DoorOpener"
    help = "Runs a command or fetches a URL when somebody who may sends the word to the door's address."
    position = "Router"  # after authentication, before the message goes to a telephone
    methods = frozenset((b"MESSAGE",))
    parameters = (
        string("door", "", "The address that is written to."),
        string("word", "open", "What is written."),
        string_list("users", "", "Addresses of those who may, and have logged in."),
        string("command", "", "A program and its arguments; the door is open when it ends with 0."),
        string("url", "", "Fetched instead of running a command, such as that of a relay in the house's network."),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        values = context.values
        self._door = values.string("door").removeprefix("sip:")
        self._word = values.string("word").lower()
        self._users = frozenset(user.removeprefix("sip:") for user in values.strings("users"))
        self._command = shlex.split(values.string("command"))
        self._url = values.string("url")
        if not self._door or not (self._command or self._url.startswith(("http:", "https:"))):
            raise ModuleError("[module::DoorOpener] door, and command or url (http or https), must be set")

    def on_request(self, event: RequestEvent) -> Awaitable[None] | None:
        """Answer a message that is for the door itself; let others pass."""
        request = event.request
        if request.uri.aor != self._door or request.body.decode("utf-8", "replace").strip().lower() != self._word:
            return None
        if event.identity not in self._users:
            event.reply(403, "Not yours to open")
            return None
        return self._open(event)

    async def _open(self, event: RequestEvent) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                opened = await (self._run() if self._command else asyncio.to_thread(self._fetch))
        except (OSError, TimeoutError) as error:
            self.context.logger.warning("the door does not open: %s", error)
            opened = False
        self.context.counters["door_opened" if opened else "door_stuck"] += 1
        event.reply(200 if opened else 500, "Open" if opened else "The door is stuck")

    async def _run(self) -> bool:
        process = await asyncio.create_subprocess_exec(*self._command, stdin=asyncio.subprocess.DEVNULL)
        try:
            return await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()

    def _fetch(self) -> bool:
        with urllib.request.urlopen(self._url, timeout=_PATIENCE) as answer:  # noqa: S310  checked at the start
            return 200 <= int(answer.status) < 300
