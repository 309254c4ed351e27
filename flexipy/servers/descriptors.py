"""File descriptors: as many as the system allows, and no more connections than there are descriptors for."""

from __future__ import annotations

import resource
from typing import Final

_RESERVED: Final = 256  # for listening points, files, DNS, the control socket
_MOST_OPENED: Final = 4096
_LEAST: Final = 16


def raise_limit() -> int:
    """Raise the limit of descriptors to what the system allows; the limit then in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard


def connection_limits(wanted: int, descriptors: int) -> tuple[int, int]:
    """How many connections may be open at once: those that come, and those that we open.

    Args:
        wanted: of those that come, by the configuration.
        descriptors: how many there are; negative for any number.
    """
    if descriptors < 0:
        return wanted, _MOST_OPENED
    usable = max(descriptors - _RESERVED, 4 * _LEAST)
    opened = min(_MOST_OPENED, usable // 4)
    return min(wanted, usable - opened), opened
