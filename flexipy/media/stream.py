"""One stream of a call: the leg toward the caller, a leg toward each branch, and the routes between them."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from flexipy.media.continuity import Continuity
from flexipy.media.leg import Leg
from flexipy.media.terms import Address, Route


class Stream:
    """Who sends to whom in one stream.

    Attributes:
        caller: the leg toward the caller, None until it is asked for.
        branches: the legs toward the branches.

    """

    __slots__ = (
        "_continuity",
        "_hearing",
        "_leader",
        "_leading",
        "_mark",
        "_partner",
        "_speaking",
        "branches",
        "caller",
    )

    def __init__(self) -> None:
        self.caller: Leg | None = None
        self.branches: dict[Hashable, Leg] = {}
        self._hearing: Sequence[Hashable] = ()
        self._speaking: Sequence[Hashable] = ()
        self._leader: Hashable | None = None
        self._partner: Hashable | None = None
        self._leading: Leg | None = None
        self._mark = b""
        self._continuity = Continuity()

    def direct(
        self,
        hearing: Sequence[Hashable],
        speaking: Sequence[Hashable],
        leader: Hashable | None,
        partner: Hashable | None,
        final: bool,
    ) -> None:
        """Set who takes part.

        Args:
            hearing: the branches that get the caller's media.
            speaking: the branches whose media the caller gets.
            leader: the one whose media are made to continue those of the leader before; None: nobody leads.
            partner: the one that agrees on keys with the caller; handshakes of others are held back.
            final: whether nobody will lead after it.

        """
        self._hearing, self._speaking, self._partner = hearing, speaking, partner
        self._continuity.final = final
        self._lead(leader)
        self.route()

    def _lead(self, leader: Hashable | None) -> None:
        leg = self.branches.get(leader) if leader is not None else None
        old = self._leading
        if leg is old:
            return
        if old is not None:
            if old.source.last is not self._mark:  # it sent something while it led
                self._continuity.passed(old.source)
            _pass_as_is(old)
        self._leading = leg
        if leg is None:
            return
        self._mark = leg.source.last
        if leader != self._leader:  # else the same phone by a new leg: its numbers go on by themselves
            self._leader = leader
            self._continuity.lead(leg.source)

    def route(self) -> None:
        """Compute the routes anew: somebody came, went or was learnt."""
        caller = self.caller
        if caller is None:
            return
        hearing = [leg for key in self._hearing if (leg := self.branches.get(key)) is not None]
        rtp = [route for leg in hearing if (route := leg.rtp_route()) is not None]
        caller.send_to(rtp, self._feedback_routes(hearing), self._feedback_routes(hearing, muxed=False))
        rtp, rtcp = _listed(caller.rtp_route()), _listed(caller.rtcp_route())
        for key, leg in self.branches.items():
            if key in self._speaking:
                leg.send_to(rtp, rtcp, [] if caller.muxed else rtcp)
            else:
                leg.send_to([], [], [])
        self._introduce(caller)
        leading = self._leading
        if leading is not None and leading.plain and caller.plain:
            self._continuity.video = leading.expected is not None and leading.expected.kind == "video"
            leading.rtp.rewrite = self._continuity.rewrite if self._continuity.rewriting else None
            leading.rtp.rewrite_rtcp = leading.rtcp.rewrite_rtcp = self._continuity.rewrite_rtcp
        elif leading is not None:
            _pass_as_is(leading)

    def _introduce(self, caller: Leg) -> None:
        """Let the caller and one branch exchange their handshakes, and nobody else."""
        partner = self.branches.get(self._partner) if self._partner is not None else None
        for key, leg in self.branches.items():
            if key != self._partner:
                leg.shake_hands_with(None)
        caller.shake_hands_with(partner)
        if partner is not None:
            partner.shake_hands_with(caller)

    def _feedback_routes(self, legs: Iterable[Leg], muxed: bool = True) -> list[Route]:
        routes = []
        for leg in legs:
            route = leg.rtcp_route()
            if route is None or (leg.muxed and not muxed):
                continue  # STUN and DTLS of the RTCP port are of no use to who has no such port
            if muxed and leg is self._leading and self._continuity.rewriting and leg.plain:
                route = self._translated(*route)
            routes.append(route)
        return routes

    def _translated(self, sendto: Any, address: Address) -> Route:
        rewrite = self._continuity.rewrite_feedback

        def translate_and_send(packet: bytes, to: Address) -> None:
            sendto(rewrite(packet), to)

        return translate_and_send, address

    def close(self) -> None:
        """Nobody sends to anybody any more; the legs are closed by whoever opened them."""
        self.caller = self._leading = self._leader = self._partner = None
        self.branches.clear()
        self._hearing = self._speaking = ()

    def report(self, now: float) -> dict[str, Any]:
        """The reports of all legs."""
        return {
            "caller": self.caller.report(now) if self.caller is not None else None,
            "branches": {str(key): leg.report(now) for key, leg in self.branches.items()},
        }


def _pass_as_is(leg: Leg) -> None:
    leg.rtp.rewrite = leg.rtp.rewrite_rtcp = leg.rtcp.rewrite_rtcp = None


def _listed(route: Route | None) -> list[Route]:
    return [] if route is None else [route]
