"""What the processes of a server have used, out of /proc, and how busy the machine is."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True, frozen=True)
class Usage:
    """One reading of a process and all its descendants.

    Attributes:
        at: seconds, monotonic.
        cpu_us: microseconds on a processor since the start, user and system.
        rss_kib: resident memory; pages that processes share count in each.
        pss_kib: resident memory; a shared page counts once in all.
        processes: their ids.
    """

    at: float
    cpu_us: float
    rss_kib: int
    pss_kib: int
    processes: frozenset[int]


def read_usage(pid: int) -> Usage:
    """Read what a process and its descendants have used so far."""
    family = _family(pid)
    at = time.monotonic()
    return Usage(
        at,
        sum(_cpu_us(member) for member in family),
        sum(_kib(member, "status", "VmRSS:") for member in family),
        sum(_kib(member, "smaps_rollup", "Pss:") for member in family),
        family,
    )


def load_average() -> float:
    """Processes that ran or wanted to, the average of the last minute."""
    return os.getloadavg()[0]


def stolen_ms() -> float:
    """Milliseconds of processor that the host of this machine has kept from it since its start, all cores together."""
    steal = Path("/proc/stat").read_text().split(maxsplit=9)[8]
    return 1000 * int(steal) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> frozenset[int]:
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it may have ended meanwhile
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                children[int(parent)].append(int(entry.name))
    found, waiting = set(), [pid]
    while waiting:
        member = waiting.pop()
        found.add(member)
        waiting += children[member]
    return frozenset(found)


def _cpu_us(pid: int) -> float:
    # The scheduler counts nanoseconds; utime and stime come in ticks of 10 ms.
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1000


def _kib(pid: int, name: str, key: str) -> int:
    for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0
