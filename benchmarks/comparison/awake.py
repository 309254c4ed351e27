"""Processors that never go idle while something is measured.

A virtual machine gives a processor that has nothing to do back to its host. Getting it again, with caches that others
have used meanwhile, can cost more than a message does, and counts as work of the process that is woken. At a rate that
leaves gaps between the messages this is a large part of what is measured, on hardware of one's own it is little.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# The policy SCHED_IDLE: it runs where nobody else wants to, and whoever does takes its place at once.
_SPIN = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"


@contextmanager
def kept_awake(wanted: bool) -> Iterator[None]:
    """For as long as the block lasts each processor has something to do that gives way to everything else."""
    spinning = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(os.cpu_count() or 1) if wanted]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
