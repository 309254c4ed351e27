"""SIPp: calls in numbers, and an opinion on each message."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from tests.harness.programs import Program, need
from tests.harness.rtp_end import alaw_tone
from tests.harness.server import DOMAIN, Server, password_of

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios" / "sipp"
_MODES = {"udp": "u1", "tcp": "t1"}


class Sipp:
    """One run of SIPp.

    Args:
        directory: for its files.
        scenario: name of a file in tests/scenarios/sipp, or of one built in, such as `uas`.
        users: who registers or calls, in turn.
        transport: udp or tcp.
        host: 127.0.0.1 or ::1.
        calls: how many.
        rate: new ones each second.
        service: who is called.
        contact_port: where the user registered is to be found.
        server: whom to talk to; None for a scenario that waits for calls.
        notes: a third field beside each user's name and password, for the scenario to act on.
        port: where to listen; 0 for any.
        patience: seconds after which it gives up.
        options: further ones of its own.

    Attributes:
        port: where it listens.
    """

    def __init__(
        self,
        directory: Path,
        scenario: str,
        users: Sequence[str] = (),
        *,
        server: Server | None = None,
        transport: str = "udp",
        host: str = "127.0.0.1",
        calls: int = 1,
        rate: int = 10,
        service: str = "nobody",
        contact_port: int = 0,
        notes: Sequence[str] = (),
        port: int = 0,
        patience: int = 30,
        options: Sequence[str] = (),
    ) -> None:
        need("sipp")
        self.port = port or _free_port(host)
        file = SCENARIOS / f"{scenario}.xml"
        command = ["sipp", *(("-sf", str(file)) if file.exists() else ("-sn", scenario))]
        if server is not None:
            bracketed = f"[{host}]" if ":" in host else host
            command.append(f"{bracketed}:{server.port(transport, host)}")
        if users:
            table = directory / f"users-{self.port}.csv"
            lines = [f"{user};[authentication username={user} password={password_of(user)}]" for user in users]
            lines = [f"{line};{note}" for line, note in zip(lines, notes, strict=True)] if notes else lines
            table.write_text("SEQUENTIAL\n" + "\n".join(lines) + "\n")
            command += ["-inf", str(table)]
        command += ["-key", "domain", DOMAIN, "-key", "contact_port", str(contact_port or self.port)]
        command += ["-s", service, "-t", _MODES[transport], "-i", host, "-p", str(self.port)]
        command += ["-mp", str(_free_port(host)), "-cp", str(_free_port(host))]
        command += ["-m", str(calls), "-r", str(rate), "-nostdin", "-timeout", str(patience), "-timeout_error"]
        command += options
        command += ["-trace_err", "-error_file", str(directory / f"errors-{self.port}.log")]
        self._patience = patience
        self.errors = directory / f"errors-{self.port}.log"
        self.program = Program(f"sipp {scenario}", command, directory)

    async def all_good(self) -> None:
        """Wait for its end; every call must have gone as the scenario says."""
        status = await asyncio.to_thread(self.program.finish, self._patience + 10)
        errors = self.errors.read_text() if self.errors.exists() else ""
        assert status == 0, f"{self.program.name} left with {status}: {errors[-2000:]}"

    async def stop(self) -> None:
        """End it."""
        await asyncio.to_thread(self.program.stop)

    async def crash(self) -> None:
        """End it without a word to anybody."""
        await asyncio.to_thread(self.program.stop, signal.SIGKILL)


def _free_port(host: str) -> int:
    """A port that is free for UDP and TCP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with socket.socket(family, socket.SOCK_DGRAM) as udp, socket.socket(family) as tcp:
            udp.bind((host, 0))
            port = int(udp.getsockname()[1])
            with contextlib.suppress(OSError):
                tcp.bind((host, port))
                return port


def write_sound(path: Path, tone: int = 400) -> None:
    """Write a second of a tone (Hz) as G.711 A-law, which `rtp_stream` can send."""
    path.write_bytes(alaw_tone(tone))
