"""What is measured of a server: the cost of an operation, memory, start time, and what it does when idle."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

from comparison import sipp
from comparison.accounting import Usage, load_average
from comparison.servers import USERS, Server, free_ports, time_of_help
from comparison.sipp import Pace

SERVERS = ("flexipy", "kamailio")
OPERATIONS: dict[str, Callable[[Server, Pace, range, int], int]] = {
    "registration": sipp.register,
    "call": sipp.call,
    "message": sipp.message,
}
_CALLED = range(100)
_REGISTERING = range(1000)
_IDLE_S = 5.0
_HELP_RUNS = 5


@dataclass(slots=True, frozen=True)
class Plan:
    """What to do in a round.

    Attributes:
        paces: of each operation to be measured.
        memory: whether to measure memory and start time.
        settle_s: seconds after the last operation that still count. Transactions live up to 32 s (RFC 3261 timers
            B, F, H and J) and to clear them is work, too.
    """

    paces: dict[str, Pace]
    memory: bool
    settle_s: float


@dataclass(slots=True, frozen=True)
class Sample:
    """One figure of one server in one round.

    Attributes:
        what: an operation, in microseconds of processor time each; or one of the other names in the table.
        retransmissions: of the load, which disturb its figure.
    """

    server: str
    what: str
    figure: float
    retransmissions: int = 0


class Measuring:
    """Collects the samples of all rounds.

    Each operation is measured on a server started for it. Only one load runs at a time, but servers that have had
    theirs settle while others work: what a server uses is counted by its processes and not by the machine.
    """

    def __init__(self, plan: Plan, report: Callable[[str], None]) -> None:
        self._plan = plan
        self._report = report
        self.samples: list[Sample] = []
        self.load_averages: list[float] = []

    def figure(self, server: str, what: str) -> float | None:
        """The median of a figure over the rounds; None if it wasn't measured."""
        found = [sample.figure for sample in self.samples if (sample.server, sample.what) == (server, what)]
        return median(found) if found else None

    def round(self, first: int) -> None:
        """Measure all that is planned once, beginning with the server of that index."""
        order = SERVERS[first:] + SERVERS[:first]
        idle = {name: self._idle(name) for name in order}
        with ThreadPoolExecutor() as settling:
            pending: list[Future[Sample]] = []
            for what, pace in self._plan.paces.items():
                for name in order:
                    pending.append(self._operation(name, what, pace, idle[name], settling))
                    self.load_averages.append(load_average())
            for future in pending:
                self._add(future.result())
        if self._plan.memory:
            for _ in range(_HELP_RUNS):
                self.samples.append(Sample("flexipy", "help", time_of_help()))

    def _add(self, *samples: Sample) -> None:
        self.samples += samples
        for sample in samples:
            again = f", {sample.retransmissions} sent again" if sample.retransmissions else ""
            self._report(f"  {sample.server:9}{sample.what:14}{sample.figure:10.2f}{again}")

    def _idle(self, name: str) -> float:
        """Measure start time and memory; returns the microseconds of processor time used in a second of idleness."""
        server = Server(name)
        try:
            time.sleep(1)
            before = server.usage()
            time.sleep(_IDLE_S)
            after = server.usage()
            idle = (after.cpu_us - before.cpu_us) / (after.at - before.at)
            self._add(Sample(name, "idle-cpu", idle), Sample(name, "start", server.start_s))
            if self._plan.memory:
                self._memory(server, after)
        finally:
            server.stop()
        return idle

    def _memory(self, server: Server, idle: Usage) -> None:
        contact = free_ports(1)[0]
        self._add_memory(server.name, "idle", idle)
        sipp.register(server, Pace(1000, 0), range(1000), contact)
        time.sleep(1)
        self._add_memory(server.name, "1k", server.usage())
        sipp.register(server, Pace(USERS - 1000, 0), range(1000, USERS), contact)
        time.sleep(1)
        self._add_memory(server.name, "10k", server.usage())

    def _add_memory(self, name: str, when: str, usage: Usage) -> None:
        self._add(Sample(name, f"rss-{when}", usage.rss_kib / 1024), Sample(name, f"pss-{when}", usage.pss_kib / 1024))

    def _operation(
        self, name: str, what: str, pace: Pace, idle_us: float, settling: ThreadPoolExecutor
    ) -> Future[Sample]:
        """Put the load on; the sample follows when the server has settled."""
        server = Server(name)
        try:
            users = _REGISTERING if what == "registration" else _CALLED
            contact = free_ports(1)[0]
            sipp.register(server, Pace(len(users), 0), users, contact)  # not counted: what follows is everyday work
            before = server.usage()
            retransmissions = OPERATIONS[what](server, pace, users, contact)
        except BaseException:
            server.stop()
            raise
        return settling.submit(self._settled, server, what, pace, before, idle_us, retransmissions)

    def _settled(
        self, server: Server, what: str, pace: Pace, before: Usage, idle_us: float, retransmissions: int
    ) -> Sample:
        try:
            time.sleep(self._plan.settle_s)
            after = server.usage()
        finally:
            server.stop()
        if after.processes != before.processes:
            raise sipp.LoadError(f"{server.name} has not the same processes as before the load")
        used = after.cpu_us - before.cpu_us - idle_us * (after.at - before.at)
        return Sample(server.name, what, used / pace.count, retransmissions)
