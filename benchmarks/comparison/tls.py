"""Load over TLS, for which Debian's sipp is not built: a program of our own, and the certificate for the servers."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from pathlib import Path

from comparison.servers import Server
from comparison.sipp import LoadError, Outcome, Pace

_PROGRAM = "comparison.tls_phones"
_HERE = Path(__file__).resolve().parent.parent
_OPENING_S = 60.0


class TlsPhones:
    """Phones of one lane, which keep their connections from run to run.

    Args:
        server: where they connect.
        task: as `tls_phones.py` names it.
        users: who they are.
    """

    def __init__(self, server: Server, task: str, users: range) -> None:
        command = [sys.executable, "-m", _PROGRAM, "127.0.0.1", server.port, task, users.start, users.stop]
        self._errors = (server.directory / f"phones-{users.start}.errors").open("w+")
        self._process = subprocess.Popen(
            [str(part) for part in command],
            cwd=_HERE,
            env={**os.environ, "PYTHONPATH": str(_HERE)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            bufsize=1,
        )

    def await_open(self) -> None:
        """Wait until all are connected and registered.

        Raises:
            LoadError: they can't be.
        """
        if self._line(_OPENING_S) is None:
            self._errors.seek(0)
            raise LoadError(f"{_PROGRAM}: not connected\n{self._errors.read()[-1500:]}")

    def begin(self, pace: Pace, patience: float) -> None:
        """Start a run."""
        assert self._process.stdin is not None
        print(json.dumps({"count": pace.count, "rate": pace.rate, "patience": patience}), file=self._process.stdin)

    def outcome(self, count: int, seconds: float) -> Outcome:
        """Wait for the end of a run; how it went."""
        line = self._line(seconds)
        found = {"asked": count, "done": 0, "failed": count} if line is None else json.loads(line)
        return Outcome(0 if line is not None else -1, found["asked"], found["done"], found["failed"], 0)

    def stop(self) -> None:
        """End them."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _line(self, seconds: float) -> str | None:
        """The next line it prints; None where none comes."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return None
        return self._process.stdout.readline() or None
