"""What client and server transactions share: states, timer names, durations, the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

# States of RFC 3261 figures 5 to 8 with RFC 6026's Accepted; Calling and Trying share a place. Plain numbers: an enum's
# members cost ten times as much to name and compare, several times for each message.
TRYING: Final = 0
PROCEEDING: Final = 1
COMPLETED: Final = 2
CONFIRMED: Final = 3
ACCEPTED: Final = 4
TERMINATED: Final = 5

# Timer kinds; the letters of RFC 3261 table 4 and RFC 6026.
RETRANSMIT: Final = 1  # A, E, G
TIMEOUT: Final = 2  # B, F, H
LINGER: Final = 3  # D, I, J, K, L, M: absorb retransmissions, then end


@dataclass(frozen=True, slots=True)
class Durations:
    """The base durations in seconds (RFC 3261 table 4)."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    timeout: float = 32.0  # 64*T1: timers B, F, H, J, L, M
    d: float = 32.0  # wait for retransmitted final responses


class Outlet(Protocol):
    """Where a transaction sends: what it needs of a transport flow."""

    @property
    def reliable(self) -> bool:
        """Whether the transport itself retransmits."""

    def send(self, data: bytes) -> bool:
        """Send; False when the flow failed."""
