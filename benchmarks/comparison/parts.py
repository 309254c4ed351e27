"""The parts of the suite: what is found out about one server and one operation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from comparison.accounting import stolen_ms
from comparison.lanes import OPERATIONS, Lanes, Operation
from comparison.probe import Probe
from comparison.servers import VARIANTS, Server
from comparison.sipp import LoadError, Outcome

_CALLED = range(400)
_FAILURES = 0.001  # share of operations that may fail
_KEPT = 0.97  # share of the rate that the generators must have kept
_COARSE = 1.6
_BISECTIONS = 3
_LOWEST = 20.0

Report = Callable[[str, float], None]
"""Takes the name of a figure and the figure."""


@dataclass(slots=True, frozen=True)
class Scale:
    """How thoroughly to measure.

    Attributes:
        rate: operations a second where the cost of one is measured.
        each: operations a second for each process of the server, where those of several are compared with one.
        warm_s: seconds of that before what is counted.
        counted_s: seconds that are counted.
        step_s: seconds for which a rate must be borne.
        bindings: numbers of bindings at which growth is looked at.
    """

    rate: float = 1000
    each: float = 1000
    warm_s: float = 34
    counted_s: float = 10
    step_s: float = 6
    bindings: tuple[int, ...] = (1_000, 10_000, 100_000)


FULL = Scale()
QUICK = Scale(rate=500, warm_s=3, counted_s=4, step_s=3, bindings=(1_000, 10_000))


def cost(name: str, operation: Operation, scale: Scale, report: Report) -> None:
    """Processor time of one operation, in microseconds, and memory with that load."""
    with _Started(name, operation, _CALLED) as (server, lanes):
        rate = scale.rate * operation.share
        lanes.run(rate, scale.warm_s)
        report("cost", _cost(server, lanes, rate, scale))
        report("load-pss", server.usage().pss_kib / 1024)


def each(name: str, operation: Operation, scale: Scale, report: Report) -> None:
    """Processor time of one operation where each process of the server is asked as much as a single one would be."""
    with _Started(name, operation, _CALLED) as (server, lanes):
        rate = scale.each * VARIANTS[name].processes
        lanes.run(rate, scale.warm_s)
        report("each", _cost(server, lanes, rate, scale))


def rates(name: str, operation: Operation, scale: Scale, report: Report) -> None:
    """The highest rate that is borne; delays at half of it; what is left at twice as much, and right afterwards."""
    with _Started(name, operation, _CALLED, refusals=True) as (server, lanes):
        most = _most(lanes, scale)
        report("rate", most)
        with Probe(server.port) as probe:
            lanes.run(most / 2, scale.step_s)
        report("p50", probe.percentile(0.5))
        report("p99", probe.percentile(0.99))
        flooded = lanes.run(most * 2, 2 * scale.step_s)
        report("goodput", 100 * flooded.done / (most * 2 * scale.step_s))
        report("recovery", 100 * _share_done(lanes.run(most / 2, scale.step_s)))


def growth(name: str, operation: Operation, scale: Scale, report: Report) -> None:
    """Cost and memory with more and more bindings."""
    for count in scale.bindings:
        with _Started(name, operation, range(count)) as (server, lanes):
            if not operation.receivers:
                lanes.enrol()
            usage = server.usage()
            report(f"rss-{count}", usage.rss_kib / 1024)
            report(f"pss-{count}", usage.pss_kib / 1024)
            lanes.run(scale.rate, 2)
            report(f"cost-{count}", _cost(server, lanes, scale.rate, scale))


PARTS: dict[str, Callable[[str, Operation, Scale, Report], None]] = {
    "cost": cost,
    "each": each,
    "rates": rates,
    "growth": growth,
}
WITH: dict[str, tuple[str, ...]] = {
    "cost": tuple(OPERATIONS),
    "each": ("registration", "call", "message"),
    "rates": ("registration", "call"),
    "growth": ("registration",),
}


class _Started:
    """A server with all users registered, for as long as the block lasts."""

    def __init__(self, name: str, operation: Operation, users: range, *, refusals: bool = False) -> None:
        needs = replace(operation.needs, users=max(len(users), 1000), refusals=refusals)
        self._server = Server(name, needs)
        self._lanes = Lanes(self._server, operation, users)
        self._operation = operation

    def __enter__(self) -> tuple[Server, Lanes]:
        try:
            if self._operation.receivers:
                self._lanes.enrol()
        except BaseException:
            self._server.stop()
            raise
        return self._server, self._lanes

    def __exit__(self, *_: object) -> None:
        self._lanes.close()
        self._server.stop()


def _cost(server: Server, lanes: Lanes, rate: float, scale: Scale) -> float:
    before, stolen = server.usage(), stolen_ms()
    outcome = lanes.run(rate, scale.counted_s)
    after = server.usage()
    if outcome.done != outcome.asked or after.processes != before.processes:
        raise LoadError(
            f"{outcome.failed} failed, {outcome.done} of {outcome.asked} done, "
            f"while the host took {stolen_ms() - stolen:.0f} ms\n{outcome.said}"
        )
    return (after.cpu_us - before.cpu_us) / outcome.done


def _most(lanes: Lanes, scale: Scale) -> float:
    """The highest rate at which fewer than one of a thousand operations fails."""
    borne, rate = 0.0, scale.rate
    while _borne(lanes, rate, scale):
        borne, rate = rate, rate * _COARSE
    while not borne and rate > _LOWEST:
        rate /= _COARSE
        if _borne(lanes, rate, scale):
            borne, rate = rate, rate * _COARSE
    for _ in range(_BISECTIONS):
        middle = math.sqrt(borne * rate) if borne else rate
        if _borne(lanes, middle, scale):
            borne = middle
        else:
            rate = middle
    if not borne:
        raise LoadError("no rate is borne")
    return borne


def _borne(lanes: Lanes, rate: float, scale: Scale) -> bool:
    began = time.monotonic()
    outcome = lanes.run(rate, scale.step_s, patience=scale.step_s)
    kept = scale.step_s / max(time.monotonic() - began - 1, scale.step_s)  # a second for the last ones
    time.sleep(0.5)
    return kept >= _KEPT and _share_done(outcome) >= 1 - _FAILURES


def _share_done(outcome: Outcome) -> float:
    return outcome.done / max(1, outcome.asked)
