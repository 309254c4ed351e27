"""flexipy beside Kamailio: processor time of a registration, a call and a MESSAGE, memory and start time.

    python benchmarks/compare.py [--quick] [--rounds N] [--only WHAT ...] [--closed] [--awake] [--json FILE]

Needs `kamailio` and `sipp` (Debian: sip-tester) on the path. Both servers get the same load over loopback, one after
the other in each round, and the next round begins with the other one; the table shows medians. One failed operation
spoils its run, which is repeated. The exit status is 1 when flexipy exceeds a limit, and 2 when a figure couldn't be
had. docs/performance.md tells how to read the table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path

from comparison.awake import kept_awake
from comparison.measuring import OPERATIONS, Measuring, Plan
from comparison.servers import ServerError
from comparison.sipp import LoadError, Pace
from comparison.table import exceeded, render

_STEADY = {"registration": Pace(10_000, 2000), "call": Pace(5000, 1000), "message": Pace(10_000, 2000)}
_QUICK_PART = 2
_WARM_S, _QUICK_WARM_S = 34.0, 8.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round, half the load, too short a warm-up")
    parser.add_argument("--rounds", type=int, help="default: 3")
    parser.add_argument("--only", nargs="+", choices=[*OPERATIONS, "memory"], metavar="WHAT", help="%(choices)s")
    parser.add_argument("--closed", action="store_true", help="50 operations open at once instead of a steady rate")
    parser.add_argument("--awake", action="store_true", help="let no processor go idle meanwhile")
    parser.add_argument(
        "--warm", type=float, help=f"seconds of load before what is counted ({_WARM_S:g}; quick {_QUICK_WARM_S:g})"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample here")
    options = parser.parse_args()
    missing = [program for program in ("kamailio", "sipp") if not shutil.which(program)]
    if missing:
        print(f"compare: not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    wanted = options.only or [*OPERATIONS, "memory"]
    part = _QUICK_PART if options.quick else 1
    paces = {
        what: Pace(pace.count // part, 0 if options.closed else pace.rate)
        for what, pace in _STEADY.items()
        if what in wanted
    }
    warm_s = options.warm or (_QUICK_WARM_S if options.quick else _WARM_S)
    measuring = Measuring(Plan(paces, "memory" in wanted, warm_s), lambda line: print(line, flush=True))
    rounds = options.rounds or (1 if options.quick else 3)
    print(f"{rounds} round(s), {_described(paces)}; {warm_s:g} s to warm up")
    try:
        with kept_awake(options.awake):
            for number in range(rounds):
                print(f"round {number + 1}")
                measuring.round(number % 2)
    except (ServerError, LoadError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(_as_json(measuring), indent=1) + "\n")
    print("\n".join(["", *render(measuring.figure), _spreads(measuring), _circumstances(measuring, options.awake)]))
    return 1 if exceeded(measuring.figure) else 0


def _described(paces: dict[str, Pace]) -> str:
    parts = [f"{pace.count} {what}s {f'at {pace.rate}/s' if pace.rate else 'closed'}" for what, pace in paces.items()]
    return ", ".join(parts) or "memory only"


def _spreads(measuring: Measuring) -> str:
    """The least and the most of each operation's rounds: what a ratio's last digits are worth."""
    parts = []
    for what in OPERATIONS:
        ours, theirs = measuring.figures("flexipy", what), measuring.figures("kamailio", what)
        if ours and theirs:
            parts.append(f"{what} {min(ours):.0f}-{max(ours):.0f} and {min(theirs):.0f}-{max(theirs):.0f}")
    return "least and most of flexipy's and of Kamailio's rounds, us: " + ", ".join(parts) if parts else ""


def _circumstances(measuring: Measuring, awake: bool) -> str:
    first, *during = measuring.load_averages
    busy = f"load average {first:.1f} before"
    if during:
        busy += f", {min(during):.1f}-{max(during):.1f} during (its own part in it)"
    kept = " kept awake" if awake else ""
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores{kept}, Python {sys.version.split()[0]}, {busy}"


def _as_json(measuring: Measuring) -> dict[str, object]:
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "load_averages": measuring.load_averages,
        "samples": [asdict(sample) for sample in measuring.samples],
    }


if __name__ == "__main__":
    sys.exit(main())
