"""linphonec, the console linphone, driven by its standard input: the one that records what it hears."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.events import until
from tests.harness.linphone_settings import write_settings
from tests.harness.programs import Program, need
from tests.harness.server import DOMAIN, Server, password_of
from tests.harness.tone import is_tone, write_tone

_numbers = itertools.count()


class Linphonec:
    """One running linphonec with one account.

    Args:
        server: to register with.
        directory: for its files; a folder of its own is made there.
        user: an account of the server.
        transport: udp, tcp or tls.
        tone: frequency in Hz of what it says from the beginning of each call.
        encryption: of media: none, srtp or dtls.
        early: whether it describes its media while it rings.
        domain: of the account.
    """

    def __init__(
        self,
        server: Server,
        directory: Path,
        user: str,
        transport: str = "udp",
        tone: int = 600,
        encryption: str = "none",
        early: bool = False,
        domain: str = DOMAIN,
    ) -> None:
        need("linphonec")
        self.user = user
        self.uri = f"sip:{user}@{domain}"
        self._domain = domain
        self.tone = tone
        self.directory = directory / f"linphonec-{user}-{next(_numbers)}"
        self._server = server
        self._transport = transport
        self._encryption = encryption
        self._early = early
        self.program: Program | None = None

    async def start(self) -> Self:
        """Start it; it registers by itself meanwhile."""
        write_settings(
            self._server,
            self.directory,
            self.user,
            password_of(self.user),
            self._transport,
            encryption=self._encryption,
            domain=self._domain,
            early=self._early,
            one_codec=True,  # a recording that is not finished does not tell its sampling rate
        )
        write_tone(self.directory / "tone.wav", self.tone)
        command = ["linphonec", "-c", "rc"]
        self.program = Program(f"linphonec-{self.user}", command, self.directory, {"HOME": str(self.directory)})
        self.say("soundcard use files")
        self.say(f"record {self.directory}/heard.wav")
        return self

    async def stop(self) -> None:
        """End it; its registration stays behind."""
        if self.program is not None:
            await asyncio.to_thread(self.program.stop)

    def say(self, command: str) -> None:
        """Give a command."""
        assert self.program is not None
        assert self.program.process.stdin is not None
        self.program.process.stdin.write(command.encode() + b"\n")
        self.program.process.stdin.flush()

    async def __aenter__(self) -> Self:
        aor = self.uri.removeprefix("sip:")
        try:
            await self.start()
            await until(lambda: f'"{aor}"' in self._server.cli("REGISTRAR_DUMP"), f"linphonec of {self.user} registers")
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _prints(self, pattern: str) -> None:
        assert self.program is not None
        await self.program.prints(pattern)

    # --- what one does with a telephone ------------------------------------------------------------------

    def call(self, uri: str) -> None:
        """Call somebody."""
        self.say(f"call {uri}")

    async def dial(self, uri: str) -> None:
        """Call somebody."""
        self.call(uri)

    async def answer(self) -> None:
        """Take the call."""
        self.say("answer")

    async def hang_up(self) -> None:
        """End the call."""
        self.say("terminate")

    async def incoming(self) -> None:
        """Wait until it rings."""
        await self._prints("Receiving new incoming call")

    async def established(self) -> None:
        """Wait until audio runs, and begin to say the tone."""
        await self._prints("Media streams established")
        self.say(f"play {self.directory}/tone.wav")

    async def hears(self, frequency: int) -> None:
        """Wait until the tone of another is in its ear."""
        await until(lambda: is_tone(self.directory / "heard.wav", frequency), f"{self.user} hears {frequency} Hz")

    async def ended(self) -> None:
        """Wait until the call is over."""
        await self._prints(r"Call \d+ with .* ended")
