"""flexipy in its forms beside Kamailio in its: cost, rates, delays, overload, growth. One table.

    python benchmarks/suite.py [--quick] [--only PART ...] [--operations NAME ...] [--servers NAME ...] [--awake]
                               [--json FILE]

Needs `kamailio` and `sipp` on the path (Debian: kamailio, kamailio-tls-modules, sip-tester), and for the compiled
forms a compiled copy in build/compiled, which `make suite` sees to. All of it takes an hour and more; --quick and the
other options choose a part. Load comes from four ports at once and is generated on the same machine: the highest rates
are those of this machine with the generators on it, the costs are the server's alone. docs/performance.md tells how to
read the table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

from comparison.awake import kept_awake
from comparison.lanes import OPERATIONS
from comparison.parts import FULL, PARTS, QUICK, WITH, Scale
from comparison.servers import VARIANTS, ServerError
from comparison.sipp import LoadError

_SERVERS = ("interpreted", "compiled", "workers", "kamailio", "kamailio2")
_OTHERS = ("bare",)  # which answers REGISTER alone
_TITLES = {
    "cost": "processor time, us",
    "each": "with 1000/s for each process, us",
    "load-pss": "memory at that load, MiB PSS",
    "rate": "highest rate, 1/s",
    "p50": "delay at half of it, p50 ms",
    "p99": "delay at half of it, p99 ms",
    "goodput": "served at twice the rate, % of it",
    "recovery": "served right after, %",
    "rss": "bindings, MiB RSS",
    "pss": "bindings, MiB PSS",
}
_FIRST, _CELL = 52, 13

Figures = dict[tuple[str, str], dict[str, float]]
"""What, as operation and figure -> server -> how much."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter: the figures are rough")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help="%(choices)s")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, metavar="NAME", help="%(choices)s")
    servers = {"choices": (*_SERVERS, *_OTHERS), "default": _SERVERS, "metavar": "NAME", "help": "%(choices)s"}
    parser.add_argument("--servers", nargs="+", **servers)
    parser.add_argument("--awake", action="store_true", help="let no processor go idle meanwhile")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    options = parser.parse_args()
    missing = [program for program in ("kamailio", "sipp") if not shutil.which(program)]
    if missing:
        print(f"suite: not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    figures: Figures = {}
    failed = False
    with kept_awake(options.awake):
        for part in options.only:
            for what in options.operations or WITH[part]:
                for name in options.servers:
                    failed |= not _measured(part, what, name, figures, QUICK if options.quick else FULL)
    print("\n".join(["", *_table(figures, options.servers), _circumstances(options.awake)]))
    if options.json:
        rows = [{"what": what, "figure": figure, **row} for (what, figure), row in figures.items()]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 2 if failed else 0


def _measured(part: str, what: str, name: str, figures: Figures, scale: Scale) -> bool:
    def report(figure: str, value: float) -> None:
        figures.setdefault((what, figure), {})[name] = value
        print(f"  {name:13}{OPERATIONS[what].title:22}{figure:14}{value:10.1f}", flush=True)

    try:
        PARTS[part](name, OPERATIONS[what], scale, report)
    except (ServerError, LoadError) as error:
        print(f"  {name:13}{OPERATIONS[what].title:22}{part}: {error}", flush=True)
        return False
    return True


def _table(figures: Figures, servers: tuple[str, ...]) -> list[str]:
    lines = ["".ljust(_FIRST) + "".join(VARIANTS[name].title.rjust(_CELL) for name in servers)]
    for (what, figure), row in figures.items():
        kind, _, count = figure.partition("-") if figure not in _TITLES else (figure, "", "")
        title = f"{OPERATIONS[what].title}: {f'{int(count):,} '.replace(',', ' ') if count else ''}{_TITLES[kind]}"
        cells = [f"{row[name]:.{1 if row[name] < 100 else 0}f}" if name in row else "-" for name in servers]
        lines.append(title.ljust(_FIRST) + "".join(cell.rjust(_CELL) for cell in cells))
    return lines


def _circumstances(awake: bool) -> str:
    busy = f"load average {os.getloadavg()[0]:.1f}"
    kept = " kept awake" if awake else ""
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores{kept}, Python {sys.version.split()[0]}, {busy}"


if __name__ == "__main__":
    sys.exit(main())
