"""What is measured of a server: the cost of an operation, memory, start time, and what it does when idle."""

from __future__ import annotations

import time
from collections.abc import Callable
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
_ATTEMPTS = 3


@dataclass(slots=True, frozen=True)
class Plan:
    """What to do in a round.

    Attributes:
        paces: of each operation to be measured.
        memory: whether to measure memory and start time.
        warm_s: seconds of the same load before what is counted. After 32 s the transactions of RFC 3261 end (timers
            B, F, H and J), so that from then on each operation is counted with the clearing away of an earlier one,
            and memory that a server touches for the first time isn't counted.
    """

    paces: dict[str, Pace]
    memory: bool
    warm_s: float

    def warming(self, pace: Pace) -> Pace:
        """The load before the one that is counted; of a closed loop the duration can't be told."""
        return Pace(round(pace.rate * self.warm_s) or pace.count, pace.rate)


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
    """Collects the samples of all rounds. Each operation is measured on a server started for it.

    Attributes:
        samples: in the order of measuring.
        load_averages: of the machine, at first and before each counted load.
    """

    def __init__(self, plan: Plan, report: Callable[[str], None]) -> None:
        self._plan = plan
        self._report = report
        self.samples: list[Sample] = []
        self.load_averages = [load_average()]

    def figures(self, server: str, what: str) -> list[float]:
        """A figure of all the rounds."""
        return [sample.figure for sample in self.samples if (sample.server, sample.what) == (server, what)]

    def figure(self, server: str, what: str) -> float | None:
        """The median of a figure over the rounds; None if it wasn't measured."""
        found = self.figures(server, what)
        return median(found) if found else None

    def round(self, first: int) -> None:
        """Measure all that is planned once, beginning with the server of that index."""
        order = SERVERS[first:] + SERVERS[:first]
        for what, pace in self._plan.paces.items():
            for name in order:
                self._operation(name, what, pace)
        if self._plan.memory:
            for name in order:
                self._memory(name)
            self._add(*[Sample("flexipy", "help", time_of_help()) for _ in range(_HELP_RUNS)])

    def _add(self, *samples: Sample) -> None:
        self.samples += samples
        for sample in samples:
            again = f", {sample.retransmissions} sent again" if sample.retransmissions else ""
            self._report(f"  {sample.server:9}{sample.what:18}{sample.figure:10.2f}{again}")

    def _memory(self, name: str) -> None:
        """Measure start time, idleness, and memory with more and more bindings."""
        server = Server(name)
        try:
            time.sleep(1)
            before = server.usage()
            time.sleep(_IDLE_S)
            after = server.usage()
            idle = (after.cpu_us - before.cpu_us) / (after.at - before.at)
            self._add(Sample(name, "idle-cpu", idle), Sample(name, "start", server.start_s))
            self._add_memory(server.name, "idle", after)
            contact = free_ports(1)[0]
            sipp.register(server, Pace(1000, 0), range(1000), contact)
            time.sleep(1)
            self._add_memory(server.name, "1k", server.usage())
            sipp.register(server, Pace(USERS - 1000, 0), range(1000, USERS), contact)
            time.sleep(1)
            self._add_memory(server.name, "10k", server.usage())
        finally:
            server.stop()

    def _add_memory(self, name: str, when: str, usage: Usage) -> None:
        self._add(Sample(name, f"rss-{when}", usage.rss_kib / 1024), Sample(name, f"pss-{when}", usage.pss_kib / 1024))

    def _operation(self, name: str, what: str, pace: Pace) -> None:
        """Measure an operation; a run that something failed in is repeated."""
        for attempt in range(_ATTEMPTS):
            try:
                self._add(*self._attempt(name, what, pace))
                return
            except sipp.LoadError as error:
                self._report(f"  {name} {what}: doesn't count, {error}")
                if attempt == _ATTEMPTS - 1:
                    raise

    def _attempt(self, name: str, what: str, pace: Pace) -> list[Sample]:
        load = OPERATIONS[what]
        users = _REGISTERING if what == "registration" else _CALLED
        server = Server(name)
        try:
            contact = free_ports(1)[0]
            sipp.register(server, Pace(len(users), 0), users, contact)
            load(server, self._plan.warming(pace), users, contact)
            before = server.usage()
            self.load_averages.append(load_average())
            sent_again = load(server, pace, users, contact)
            after = server.usage()
        finally:
            server.stop()
        if after.processes != before.processes:
            raise sipp.LoadError("its processes were not the same before and after")
        cost = (after.cpu_us - before.cpu_us) / pace.count
        return [Sample(name, what, cost, sent_again), Sample(name, f"pss-{what}", after.pss_kib / 1024)]
