"""Programs that tests run: their output, their end, and what of it is shown when a test fails."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.harness.events import PATIENCE, Events

running: list[Program] = []
"""Everything started by this test session, for the report of a failure."""


def need(program: str) -> str:
    """The path of a client program.

    Where it is missing the test is skipped; in CI, where everything must be there, it fails.
    """
    path = shutil.which(program)
    if path is None:
        missing(f"{program} is not installed; see tests/install-clients.sh")
    assert path is not None
    return path


def missing(what: str) -> None:
    """End the test because something that it needs is not here."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


class Program:
    """A process and what it prints.

    Args:
        name: for reports.
        command: program and arguments.
        directory: where it runs.
        environment: variables added to those of the tests.
        log: a file in which it tells more than in its output.

    Attributes:
        output: the lines it has printed, standard output and error together.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.name = name
        self._log = log
        self.output: Events[str] = Events(name)
        self.process = subprocess.Popen(
            list(command),
            cwd=directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()
        running.append(self)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.add(line.decode("utf-8", "replace").rstrip())

    async def prints(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """Wait for a line in which a regular expression is found; each line counts once."""
        line = await self.output.take(lambda text: re.search(pattern, text) is not None, f"line '{pattern}'", timeout)
        return _match(pattern, line)

    def prints_now(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """Like `prints`, for code that is not asynchronous."""
        line = self.output.take_now(lambda text: re.search(pattern, text) is not None, f"line '{pattern}'", timeout)
        return _match(pattern, line)

    def has_printed(self, pattern: str) -> bool:
        """Whether such a line was printed, taken or not."""
        return self.output.any(lambda text: re.search(pattern, text) is not None)

    def told(self, since: int, limit: int) -> str:
        """The last lines that it printed since a place in its output, or logged, for the report of a failure."""
        lines = self.output.seen[since:][-limit:]
        if self._log is not None and self._log.exists():
            lines += self._log.read_text("utf-8", "replace").splitlines()[-limit:]
        return "\n".join(lines)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 5.0) -> int:
        """Tell it to leave, make it leave when it does not; returns the exit status, negative for a signal."""
        if self.alive:
            self.process.send_signal(number)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.finish()

    def finish(self, timeout: float = PATIENCE) -> int:
        """Wait until it has left by itself; returns the exit status."""
        status = self.process.wait(timeout)
        self._reader.join(timeout)
        if self.process.stdin is not None:
            self.process.stdin.close()
        return status


def _match(pattern: str, line: str) -> re.Match[str]:
    match = re.search(pattern, line)
    assert match is not None
    return match
