"""Load: sipp with the scenarios beside compare.py. A run in which anything failed is an error, never a figure."""

from __future__ import annotations

import csv
import subprocess
from dataclasses import dataclass
from pathlib import Path

from comparison.servers import PASSWORD, Server, free_ports, user

_SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
_HOST = "127.0.0.1"
_IN_FLIGHT = 50
"""Operations open at once in a closed loop, where each waits for the server and nothing else."""
_RING_MS, _TALK_MS = 20, 100
_SAID = 1500  # characters


class LoadError(Exception):
    """Not every operation succeeded."""


@dataclass(slots=True, frozen=True)
class Pace:
    """How much is asked, and how fast.

    Attributes:
        count: operations.
        rate: begun each second; 0 is as many as the server can do with 50 open at once.
    """

    count: int
    rate: int


@dataclass(slots=True, frozen=True)
class Outcome:
    """How a load went.

    Attributes:
        status: sipp's; 0 where all succeeded.
        asked: operations that were to be done.
        done: operations that succeeded.
        failed: those that did not.
        retransmissions: messages that were sent again.
        said: the beginning of what sipp had to say of failures.
    """

    status: int
    asked: int
    done: int
    failed: int
    retransmissions: int
    said: str = ""


class Sipp:
    """One sipp process at a port of its own."""

    def __init__(self, scenario: str, count: int, directory: Path, port: int, *extra: object) -> None:
        self._name = scenario
        self._count = count
        self._statistics = directory / f"{scenario}-{port}.csv"
        self._errors = directory / f"{scenario}-{port}.errors"
        control, media = free_ports(2)
        command = ["sipp", "-sf", _SCENARIOS / f"{scenario}.xml", "-nostdin", "-timer_resol", 1, "-m", count]
        command += ["-i", _HOST, "-p", port, "-mp", media, "-cp", control, "-buff_size", 4_000_000]
        command += ["-trace_stat", "-stf", self._statistics, "-fd", 1, "-recv_timeout", 20_000]
        command += ["-trace_err", "-error_file", self._errors, *extra]
        self._process = subprocess.Popen(
            [str(part) for part in command],
            cwd=directory,
            env={"TERM": "dumb", "PATH": "/usr/local/bin:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self, seconds: float) -> int:
        """Wait for its end; returns how many messages it had to send again.

        Raises:
            LoadError: when one operation failed, or not all were done.
        """
        outcome = self.outcome(seconds)
        if outcome.status or outcome.failed or outcome.done != self._count:
            raise LoadError(
                f"{self._name}: status {outcome.status}, {outcome.done} of {self._count} done, "
                f"{outcome.failed} failed\n{outcome.said}"
            )
        return outcome.retransmissions

    def outcome(self, seconds: float) -> Outcome:
        """Wait for its end, or end it; how it went."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            status = -1
        row = self._last_row()
        done, failed = int(row.get("SuccessfulCall(C)", 0)), int(row.get("FailedCall(C)", 0))
        said = self._errors.read_text(errors="replace")[:_SAID] if status and self._errors.exists() else ""
        return Outcome(status, self._count, done, failed, int(row.get("Retransmissions(C)", 0)), said)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _last_row(self) -> dict[str, str]:
        if not self._statistics.exists():
            return {}
        with self._statistics.open(newline="") as file:
            rows = list(csv.reader(file, delimiter=";"))
        return dict(zip(rows[0], rows[-1], strict=False)) if len(rows) > 1 else {}


def register(server: Server, pace: Pace, users: range, contact: int) -> int:
    """Register users in turn, each with its password, from their contact's port; returns the retransmissions."""
    fields = [registration(n, n, f"{_HOST}:{contact}", "udp") for n in users]
    inject = _injection(server, "register", fields)
    extra = [*_pacing(pace), "-inf", inject, "-auth_uri", "bench.test", f"{_HOST}:{server.port}"]
    return Sipp("register", pace.count, server.directory, contact, *extra).wait(_patience(pace))


def registration(number: int, device: int, address: str, transport: str) -> str:
    """The fields of the scenario register: user, credentials, device, where its contact is."""
    name = user(number)
    return f"{name};[authentication username={name} password={PASSWORD}];{device:012x};{address};{transport}"


def call(server: Server, pace: Pace, users: range, contact: int) -> int:
    """Call registered users in turn; they ring, answer, and the caller hangs up. Returns the retransmissions."""
    callee = Sipp("callee", pace.count, server.directory, contact, "-d", _RING_MS)
    return _through(server, pace, users, callee, "caller", "-d", _TALK_MS)


def message(server: Server, pace: Pace, users: range, contact: int) -> int:
    """Send registered users a text message each in turn; returns the retransmissions."""
    reader = Sipp("reader", pace.count, server.directory, contact)
    return _through(server, pace, users, reader, "sender")


def _through(server: Server, pace: Pace, users: range, receiver: Sipp, scenario: str, *extra: object) -> int:
    """Run a scenario through the server to a receiver that is the contact of all the users."""
    try:
        inject = _injection(server, scenario, [user(n) for n in users])
        extra = (*extra, *_pacing(pace), "-inf", inject, f"{_HOST}:{server.port}")
        sender = Sipp(scenario, pace.count, server.directory, free_ports(1)[0], *extra)
        return sender.wait(_patience(pace)) + receiver.wait(10)
    finally:
        receiver.stop()


def _injection(server: Server, name: str, fields: list[str]) -> Path:
    path = server.directory / f"{name}.fields"
    path.write_text("\n".join(["SEQUENTIAL", *fields]) + "\n")
    return path


def _pacing(pace: Pace) -> list[object]:
    if pace.rate:
        return ["-r", pace.rate, "-l", pace.rate * 4]
    return ["-r", 100_000, "-l", _IN_FLIGHT]


def _patience(pace: Pace) -> float:
    return 60 + pace.count / (pace.rate or 100)
