"""What a server still does when more is asked of it than it can do.

    python benchmarks/overload.py [--operations NAME ...] [--times N ...] [--hitches S ...] [--share F] [--rate R] ...

Finds the highest rate of an operation, asks for several times as much, and for half of it right afterwards; or has the
server stand still for a while at a share of that rate. The server has one processor core for itself, whoever asks has
another one: generators that share a core with the server take away what they measure. `--first`, as root: nothing else
on the machine delays either. docs/performance.md has the figures.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time

from comparison.flood import Flood, Tally
from comparison.servers import Needs, Server

_OPERATIONS = ("registration", "message", "call")
_FAILURES = 0.001  # share of operations that may fail
_STEP = 1.15
_STEP_S = 2.0
_LOWEST = 500.0
_BEFORE_HITCH_S = 2.0
_PATIENCE_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operations", nargs="+", choices=_OPERATIONS, default=_OPERATIONS, metavar="NAME")
    parser.add_argument("--times", nargs="+", type=float, metavar="N", help="multiples of the rate")
    parser.add_argument("--hitches", nargs="+", type=float, default=[], metavar="S", help="stand still so many seconds")
    parser.add_argument("--share", type=float, default=0.5, metavar="F", help="of the rate, at which it stands still")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--rate", type=float, default=0.0, help="take this for the highest rate")
    parser.add_argument("--compiled", action="store_true", help="measure the copy in build/compiled")
    parser.add_argument("--first", action="store_true", help="go before all else on the machine; needs root")
    options = parser.parse_args()
    options.times = options.times or ([] if options.hitches else [2.0])
    for operation in options.operations:
        _measure(operation, options)
    return 0


def _measure(operation: str, options: argparse.Namespace) -> None:
    server = Server("compiled" if options.compiled else "interpreted", Needs(users=1000, refusals=True))
    cores = sorted(os.sched_getaffinity(0))
    server.pin(cores[0], options.first)
    os.sched_setaffinity(0, cores[-1:])
    gc.disable()
    flood = Flood(server.port, operation)
    try:
        flood.enrol()
        most = options.rate or _most(flood)
        print(f"{operation}: highest rate {most:.0f}/s", flush=True)
        for times in options.times:
            _show(f"{times:g} times as much", flood.run(most * times, options.seconds), most * options.seconds)
            _show("half as much, right after", flood.run(most / 2, options.seconds), most / 2 * options.seconds)
        for hitch in options.hitches:
            rate = most * options.share
            with server.standing_still(_BEFORE_HITCH_S, hitch):
                tally = flood.run(rate, options.seconds, _PATIENCE_S)
            _show(f"{rate:.0f}/s, stopped for {hitch:g} s", tally, rate * options.seconds)
    finally:
        flood.close()
        server.stop()
        os.sched_setaffinity(0, cores)
        gc.enable()


def _most(flood: Flood) -> float:
    borne, rate = 0.0, _LOWEST
    while _is_borne(flood, rate) or _is_borne(flood, rate):
        borne, rate = rate, rate * _STEP
    return borne


def _is_borne(flood: Flood, rate: float) -> bool:
    tally = flood.run(rate, _STEP_S)
    time.sleep(0.3)
    return tally.done >= tally.begun * (1 - _FAILURES) and tally.late < rate / 10


def _show(title: str, tally: Tally, most: float) -> None:
    print(
        f"  {title}: served {100 * tally.in_time / most:.0f} % of the rate, p50 {tally.percentile(0.5):.0f} ms, "
        f"p99 {tally.percentile(0.99):.0f} ms; refused {tally.refused}, failed {tally.failed}, "
        f"sent again {tally.resent}, begun up to {tally.late} late",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
