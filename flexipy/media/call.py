"""One relayed call: the caller, the branches that ring, which of them leads, and what is left at the end."""

from collections.abc import Callable, Collection, Hashable
from typing import Any

from flexipy.media.leg import Leg
from flexipy.media.ports import PortPool
from flexipy.media.stream import Stream
from flexipy.media.terms import RelayError, RelayOptions


class RelayedCall:
    """The legs of one call.

    Attributes:
        name: for logs and reports.

    """

    __slots__ = (
        "_answered",
        "_branches",
        "_clock",
        "_closed",
        "_counters",
        "_on_close",
        "_opened",
        "_options",
        "_partner",
        "_pool",
        "_streams",
        "_winner",
        "name",
    )

    def __init__(
        self,
        name: str,
        options: RelayOptions,
        pool: PortPool,
        counters: dict[str, int],
        clock: Callable[[], float],
        on_close: Callable[["RelayedCall"], None],
    ) -> None:
        self.name = name
        self._options = options
        self._pool = pool
        self._counters = counters
        self._clock = clock
        self._on_close = on_close
        self._closed = False
        self._opened = clock()
        self._streams: dict[int, Stream] = {}
        self._branches: dict[Hashable, None] = {}
        self._answered: list[Hashable] = []
        self._winner: Hashable | None = None
        self._partner: Hashable | None = None

    def __repr__(self) -> str:
        return f"<RelayedCall {self.name}>"

    @property
    def branches(self) -> Collection[Hashable]:
        """The keys that live."""
        return self._branches.keys()

    @property
    def partner(self) -> Hashable | None:
        """The branch with which the caller agrees on keys by DTLS or ZRTP; None: with nobody yet.

        Keys are agreed on by two, and there are callers who do so once in a call. Of several branches that ring any
        may take it: the handshakes of all of them are held back until one has, or is the only one left.
        """
        if self._winner is not None:
            return self._winner
        if self._partner not in self._answered:
            self._partner = self._answered[0] if self._answered and len(self._branches) == 1 else None
        return self._partner

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def heard(self) -> float:
        """When a packet came last from either side, or the youngest leg (or the call) was made."""
        return max((leg.heard for leg in self._legs()), default=self._opened)

    def caller(self, stream: int, local_ip: str) -> Leg:
        """The leg toward the caller, made at the first ask.

        Args:
            stream: index of the m= line.
            local_ip: our address toward the caller, numeric.

        Raises:
            RelayError: no ports, or the call is over.

        """
        where = self._stream(stream)
        if where.caller is None:
            where.caller = self._open_leg(where, local_ip)
            self._direct(where)
        return where.caller

    def branch(self, key: Hashable, stream: int, local_ip: str) -> Leg:
        """The leg toward a branch, made at the first ask, and anew when `local_ip` is another than then.

        Args:
            key: the branch.
            stream: index of the m= line.
            local_ip: our address toward the branch, numeric.

        Raises:
            RelayError: no ports, or the call is over; a leg made before stays as it is.

        """
        where = self._stream(stream)
        old = where.branches.get(key)
        if old is not None and old.local_ip == local_ip:
            return old
        leg = where.branches[key] = self._open_leg(where, local_ip)
        self._branches[key] = None
        if old is not None:
            self._close_leg(old)
        self._direct(where)
        return leg

    def answered(self, key: Hashable) -> None:
        """A branch gave SDP: it gets the caller's media and leads toward the caller.

        Saying so again changes nothing: a phone that repeats its 183 does not take the lead back.
        """
        if key in self._branches and key not in self._answered and self._winner is None:
            self._answered.append(key)
            self._direct_all()

    def win(self, key: Hashable) -> None:
        """A branch took the call: all others are closed. A second winner is too late."""
        if self._winner is not None or key not in self._branches:
            return
        self._winner = key
        self._answered = [key]
        for other in [other for other in self._branches if other != key]:
            self._remove(other)
        self._direct_all()

    def drop(self, key: Hashable) -> None:
        """A branch failed or was cancelled: it is closed. The branch that answered last before it leads."""
        if key in self._branches:
            self._remove(key)
            self._direct_all()

    def close(self) -> None:
        """End the call; every port is free when this returns."""
        if self._closed:
            return
        self._closed = True
        for key in list(self._branches):
            self._remove(key)
        for stream in self._streams.values():
            if stream.caller is not None:
                self._close_leg(stream.caller)
            stream.close()
        self._on_close(self)

    def tick(self, now: float) -> None:
        """Ask for the key frames that were asked for too soon before."""
        for leg in self._legs():
            leg.tick(now)

    def report(self) -> dict[str, Any]:
        """Who sent what so far, JSON-able: per stream and leg the addresses, packets, bytes, loss, jitter in ms."""
        now = self._clock()
        return {
            "name": self.name,
            "answered": [str(key) for key in self._answered],
            "winner": None if self._winner is None else str(self._winner),
            "streams": [{"stream": index} | stream.report(now) for index, stream in sorted(self._streams.items())],
        }

    # -- legs ----------------------------------------------------------------------------------------

    def _legs(self) -> list[Leg]:
        return [
            leg
            for stream in self._streams.values()
            for leg in (stream.caller, *stream.branches.values())
            if leg is not None
        ]

    def _stream(self, index: int) -> Stream:
        if self._closed:
            raise RelayError("calls", f"{self.name}: the call is over")
        return self._streams.setdefault(index, Stream())

    def _open_leg(self, stream: Stream, local_ip: str) -> Leg:
        try:
            pair = self._pool.bind(local_ip)
        except RelayError:
            self._counters["relay_port_exhaustions"] += 1
            raise
        try:
            return Leg(pair, local_ip, self._counters, self._clock, stream.route, self._pool.holds)
        except BaseException:
            self._pool.free(pair)
            raise

    def _close_leg(self, leg: Leg) -> None:
        leg.close()
        self._pool.free(leg.pair)

    def _remove(self, key: Hashable) -> None:
        del self._branches[key]
        if key in self._answered:
            self._answered.remove(key)
        for stream in self._streams.values():
            leg = stream.branches.pop(key, None)
            if leg is not None:
                self._close_leg(leg)

    # -- who hears whom ------------------------------------------------------------------------------

    def _direct_all(self) -> None:
        for stream in self._streams.values():
            self._direct(stream)

    def _direct(self, stream: Stream) -> None:
        most = self._options.max_early
        hearing = self._answered if self._winner is not None or not most else self._answered[:most]
        speaking = hearing[-1:] if self._options.single else hearing
        leader = hearing[-1] if self._options.single and hearing else None
        stream.direct(tuple(hearing), tuple(speaking), leader, self.partner, self._winner is not None)
