"""What DNS said about a domain, and the order in which its servers are to be tried (RFC 2782).

Sans-IO: randomness comes in as a function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flexipy.transport.target import Target

Random = Callable[[int], int]
"""`random(n)`: an integer from 0 to n inclusive, each as likely."""


@dataclass(frozen=True, slots=True)
class Server:
    """One SRV record with the addresses of its host."""

    weight: int
    targets: tuple[Target, ...]


Tier = tuple[Server, ...]
"""Servers of equal priority."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All servers of a domain: tiers in the order of trying, balanced by weight inside a tier."""

    tiers: tuple[Tier, ...]

    def targets(self, random: Random) -> list[Target]:
        """All targets in the order of trying, without repetitions."""
        if len(self.tiers) == 1 and len(self.tiers[0]) == 1:
            return list(self.tiers[0][0].targets)
        found: dict[Target, None] = {}
        for tier in self.tiers:
            for server in by_weight(tier, random):
                found.update(dict.fromkeys(server.targets))
        return list(found)


def single_plan(targets: Sequence[Target]) -> Plan:
    """A plan without choice: numeric addresses and plain A or AAAA records."""
    return Plan(((Server(0, tuple(targets)),),))


def by_weight(tier: Tier, random: Random) -> list[Server]:
    """Order the servers of one priority: each comes first as often as its weight says.

    Source: RFC 2782, "Weight".

    """
    if len(tier) < 2:
        return list(tier)
    left = sorted(tier, key=lambda server: server.weight)  # zero weights first, as the RFC arranges them
    ordered: list[Server] = []
    while left:
        chosen = random(sum(server.weight for server in left))
        running = 0
        for index, server in enumerate(left):
            running += server.weight
            if running >= chosen:
                ordered.append(left.pop(index))
                break
    return ordered
