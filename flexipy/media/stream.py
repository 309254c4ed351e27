"""One stream of a call: the leg toward the caller, a leg toward each branch, and the routes between them."""

from collections.abc import Hashable, Sequence
from typing import Any

from flexipy.media.leg import Leg
from flexipy.media.terms import Route


class Stream:
    """Who sends to whom in one stream.

    Attributes:
        caller: the leg toward the caller, None until it is asked for.
        branches: the legs toward the branches.

    """

    __slots__ = ("_hearing", "_leader", "_speaking", "branches", "caller")

    def __init__(self) -> None:
        self.caller: Leg | None = None
        self.branches: dict[Hashable, Leg] = {}
        self._hearing: Sequence[Hashable] = ()
        self._speaking: Sequence[Hashable] = ()
        self._leader: Hashable | None = None

    def direct(self, hearing: Sequence[Hashable], speaking: Sequence[Hashable], leader: Hashable | None) -> None:
        """Set who takes part.

        Args:
            hearing: the branches that get the caller's media.
            speaking: the branches whose media the caller gets.
            leader: the one whose media are made to continue those of the leader before; None: nobody leads.

        """
        self._hearing, self._speaking, self._leader = hearing, speaking, leader
        self.route()

    def route(self) -> None:
        """Compute the routes anew: somebody came, went or was learnt."""
        caller = self.caller
        if caller is None:
            return
        hearing = [leg for key in self._hearing if (leg := self.branches.get(key)) is not None]
        _route(caller, hearing)
        for key, leg in self.branches.items():
            _route(leg, [caller] if key in self._speaking else [])

    def report(self, now: float) -> dict[str, Any]:
        """The reports of all legs."""
        return {
            "caller": self.caller.report(now) if self.caller is not None else None,
            "branches": {str(key): leg.report(now) for key, leg in self.branches.items()},
        }


def _route(leg: Leg, targets: Sequence[Leg]) -> None:
    rtp = _known(target.rtp_route() for target in targets)
    rtcp = _known(target.rtcp_route() for target in targets)
    leg.rtp.routes = rtp
    leg.rtp.rtcp_routes = leg.rtcp.rtcp_routes = rtcp
    # STUN and DTLS of the RTCP port are of no use to who has no such port
    leg.rtcp.routes = _known(target.rtcp_route() for target in targets if not target.muxed)


def _known(routes: Any) -> tuple[Route, ...]:
    return tuple(route for route in routes if route is not None)
