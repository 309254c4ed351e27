"""linphone-daemon, driven over its Unix socket."""

from __future__ import annotations

import asyncio
import copy
import itertools
import re
import shlex
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.events import PATIENCE, Events, until
from tests.harness.linphone_settings import write_settings
from tests.harness.programs import Program, need
from tests.harness.server import DOMAIN, Server, password_of
from tests.harness.tone import write_tone

_POLL = 0.05  # seconds between two questions for events; the daemon looks at its socket every 20 ms
_DEBUG_LINE = re.compile(r"^\d{4}-\d\d-\d\d ")
_numbers = itertools.count()


class Linphone:
    """One running linphone-daemon with one account.

    Args:
        server: to register with.
        directory: for its files; a folder of its own is made there.
        user: an account of the server.
        transport: udp, tcp or tls.
        host: 127.0.0.1 or ::1, the server's address.
        auto_answer: whether it takes calls by itself.
        tone: frequency in Hz of what it says.
        video: whether it shows a still picture, and shows while it rings what the caller sends.
        encryption: of media: none, srtp or dtls.
        domain: of the account.
        contact_parameters: of its contact URI, without a `;` before the first.

    Attributes:
        events: what it tells by itself, as the lines of each event in one text.
    """

    def __init__(
        self,
        server: Server,
        directory: Path,
        user: str,
        transport: str = "udp",
        host: str = "127.0.0.1",
        auto_answer: bool = False,
        tone: int = 600,
        password: str | None = None,
        video: bool = False,
        encryption: str = "none",
        domain: str = DOMAIN,
        contact_parameters: str = "",
    ) -> None:
        need("linphone-daemon")
        self.user = user
        self.uri = f"sip:{user}@{domain}"
        self._domain = domain
        self.directory = directory / f"linphone-{user}-{next(_numbers)}"
        self.tone = tone
        self.events: Events[str] = Events(f"linphone of {user}")
        self._server = server
        self._transport = transport
        self._host = host
        self._auto_answer = auto_answer
        self._video = video
        self._encryption = encryption
        self._contact_parameters = contact_parameters
        self._password = password_of(user) if password is None else password
        # In /tmp: the path of a socket may not be long.
        self._pipe = f"scenario-{uuid.uuid4().hex[:12]}"
        self._asking = asyncio.Lock()
        self._poller: asyncio.Task[None] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.program: Program | None = None

    # --- life --------------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Start it and open its control connection; it registers by itself meanwhile."""
        if not self.directory.exists():
            media = (self._video, self._encryption, self._domain)
            place = (self._transport, self._host)
            own = (*media, self._contact_parameters)
            write_settings(self._server, self.directory, self.user, self._password, *place, *own)
            write_tone(self.directory / "tone.wav", self.tone)
        pipe = f"/../tmp/{self._pipe}"  # also the same file for Debian 12's, which puts /tmp/ before it
        command = ["linphone-daemon", "--config", "rc", "--log", "log", "--pipe", pipe, "--disable-stats-events"]
        command += ["--auto-answer"] if self._auto_answer else []
        command += ["-C", "-D"] if self._video else []
        log = self.directory / "log"
        self.program = Program(f"linphone-{self.user}", command, self.directory, {"HOME": str(self.directory)}, log)
        self._reader, self._writer = await self._connect()
        self._poller = asyncio.create_task(self._poll())
        return self

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await asyncio.open_unix_connection(f"/tmp/{self._pipe}")
                except OSError:  # not there yet, or nobody listens on it yet
                    await asyncio.sleep(_POLL)

    async def _poll(self) -> None:
        while True:
            answer = await self.command("pop-event")
            if "Event-type" in answer:
                self.events.add(answer)
            else:
                await asyncio.sleep(_POLL)

    async def command(self, *words: str) -> str:
        """Give a command; all that it answers, which comes in one piece."""
        assert self._reader is not None
        assert self._writer is not None
        async with self._asking:
            self._writer.write(shlex.join(words).encode() + b"\n" if len(words) > 1 else words[0].encode() + b"\n")
            async with asyncio.timeout(PATIENCE):
                data = await self._reader.read(65536)
        assert data, f"linphone of {self.user} is gone"
        return data.decode("utf-8", "replace")

    async def let_go(self) -> None:
        """Leave it to another program: it listens to one at a time."""
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
            self._poller = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def stop(self) -> None:
        """End it; its registration stays behind."""
        await self.let_go()
        if self.program is not None:
            await asyncio.to_thread(self.program.stop)
        (Path("/tmp") / self._pipe).unlink(missing_ok=True)

    def again(self) -> Linphone:
        """The same app once more, after it was ended: the same files and the same device."""
        fresh = copy.copy(self)
        fresh.events = Events(f"linphone of {self.user}")
        fresh._asking = asyncio.Lock()
        fresh._pipe = f"scenario-{uuid.uuid4().hex[:12]}"
        return fresh

    async def __aenter__(self) -> Self:
        try:
            await self.start()
            await self.registered()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def remote_control(self) -> str:
        """Where a bell's program reaches it."""
        return f"linphone:/tmp/{self._pipe}"

    # --- what one does with a telephone ------------------------------------------------------------------

    async def registered(self) -> None:
        """Wait until the server has accepted its registration."""
        await self._registration("LinphoneRegistrationOk")

    async def refused(self) -> None:
        """Wait until the server has refused its registration."""
        await self._registration("LinphoneRegistrationFailed")

    async def _registration(self, wanted: str) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        answer = ""
        while wanted not in answer:
            assert asyncio.get_running_loop().time() < deadline, f"linphone of {self.user}: {answer}"
            answer = await self.command("register-status ALL")
            await asyncio.sleep(_POLL)

    async def event(self, pattern: str, timeout: float = PATIENCE) -> str:
        """Wait for an event in which a regular expression is found; each counts once."""
        return await self.events.take(lambda event: re.search(pattern, event) is not None, pattern, timeout)

    async def call(self, uri: str) -> None:
        """Call somebody."""
        assert "Status: Ok" in await self.command(f"call {uri}")

    async def incoming(self) -> None:
        """Wait until it rings."""
        await self.event("LinphoneCallIncomingReceived")

    async def answer(self) -> None:
        """Take the call."""
        assert "Status: Ok" in await self.command("answer")

    async def established(self) -> None:
        """Wait until the call is answered and audio runs."""
        await self.event("LinphoneCallStreamsRunning")

    async def ended(self) -> None:
        """Wait until the call is over."""
        await self.event("LinphoneCallEnd|LinphoneCallError")

    async def talk(self, call: int = 1) -> None:
        """Say its tone into the call."""
        assert "Status: Ok" in await self.command(f"incall-player-start {self.directory}/tone.wav {call}")

    async def message(self, uri: str, text: str) -> None:
        """Send a text."""
        assert "Status: Ok" in await self.command(f"message {uri} {text}")

    async def receives_audio(self) -> None:
        """Wait until RTP comes in, by the bandwidth that it logs each second (kbit/s down)."""
        log = self.directory / "log"
        pattern = re.compile(rb"\(audio\).*?\[d=(\d+[.,]\d+)")

        def some() -> bool:
            found = pattern.findall(log.read_bytes()) if log.exists() else []
            return any(float(value.replace(b",", b".")) > 10 for value in found)

        await until(some, f"linphone of {self.user} receives audio")

    async def sees(self) -> None:
        """Wait until it has decoded a picture of the other side; once in its life."""
        log = self.directory / "log"
        await until(
            lambda: log.exists() and b"First video frame decoded successfully" in log.read_bytes(),
            f"linphone of {self.user} sees",
        )
