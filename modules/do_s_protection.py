"""DoSProtection: who sends too much is not listened to for a while.

Counts what comes from each address and port, before it is even parsed. The rate is taken at the end of each period,
as Flexisip does; where Flexisip has the firewall refuse the packets, they are dropped here.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from flexipy.proxy.api import Module, ModuleContext, RequestEvent, duration, integer, string, string_list

if TYPE_CHECKING:
    from flexipy.transport.flow import Flow

_SOURCE_LIMIT: Final = 32768  # strangers choose their addresses
_SWEEP: Final = 60.0  # seconds
_SHORTEST_PERIOD: Final = 0.001
_LOOPBACK: Final = ("127.0.0.1", "::1")


class _Source:
    """What one address and port has sent.

    Attributes:
        count: messages since `started`.
        until: when the count is looked at, or the ban ends; never for who is on the white list.
        admitted: False while banned.
    """

    __slots__ = ("admitted", "count", "started", "until")

    def __init__(self, now: float, until: float) -> None:
        self.count = 0
        self.started = now
        self.until = until
        self.admitted = True


class DoSProtection(Module):
    """Limit the rate of each source."""

    name = "DoSProtection"
    help = (
        "Drops everything from an address and port that sends more messages than a client can have a use for, for some "
        "minutes. This machine itself (127.0.0.1, ::1) and the nodes of the cluster are never banned."
    )
    enabled_by_default = True
    parameters = (
        duration("time-period", "3000", "The time over which the rate is taken.", unit="ms"),
        integer("packet-rate-limit", "20", "Messages a second, on average over `time-period`, that lead to a ban."),
        duration("ban-time", "2", "How long a ban lasts.", unit="min"),
        string(
            "iptables-chain",
            "FLEXISIP",
            "Chain of the firewall for rules against who is banned. Bans are carried out by the server itself.",
            implemented=False,
        ),
        string_list(
            "white-list",
            "",
            "Hosts that may send as much as they like, such as other servers: addresses, networks like "
            "`192.0.2.0/24`, or names.",
        ),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        values = context.values
        self._period = max(values.seconds("time-period"), _SHORTEST_PERIOD)
        self._limit = values.integer("packet-rate-limit")
        self._ban_time = values.seconds("ban-time")
        self._white_list = context.host_set("white-list", *_LOOPBACK, *context.section("cluster").strings("nodes"))
        self._sources: dict[tuple[str, int], _Source] = {}
        self._step = 1
        self._obey_filter()

    def _obey_filter(self) -> None:
        """Count each message as it arrives, or, where a filter must read it first, in the pipeline."""
        filtered = self.context.values.expression("filter") is not None
        self._step = 0 if filtered else 1
        self.methods = None if filtered else frozenset()

    async def start(self) -> None:
        """Look up the names on the white list; begin to forget the quiet."""
        await self.context.keep_resolved(self._white_list)
        self.context.every(_SWEEP, self._sweep)

    def reload(self) -> list[str]:
        """A filter may have come or gone."""
        self._obey_filter()
        return []

    def admit(self, flow: Flow, now: float) -> bool:
        """Count a message; False while its source is banned."""
        source = self._sources.get(flow.remote)
        if source is None:
            source = self._add(flow, now)
        source.count += self._step
        if now < source.until:
            return source.admitted
        return self._judge(source, flow, now)

    def on_request(self, event: RequestEvent) -> None:
        """Count a request that the filter lets in."""
        source = self._sources.get(event.flow.remote)
        if source is not None:
            source.count += 1

    def _add(self, flow: Flow, now: float) -> _Source:
        sources = self._sources
        if len(sources) >= _SOURCE_LIMIT:
            self._make_room(now)
        until = inf if flow.remote[0] in self._white_list else now + self._period
        source = sources[flow.remote] = _Source(now, until)
        return source

    def _judge(self, source: _Source, flow: Flow, now: float) -> bool:
        """The period is over, or the ban."""
        if not source.admitted:
            self._unbanned(flow.remote)
            source.admitted = True
            source.count = self._step
        elif flow.remote[0] in self._white_list:  # its name has been found since
            source.until = inf
            return True
        else:
            rate = source.count / max(now - source.started, _SHORTEST_PERIOD)
            if rate >= self._limit:
                self._ban(source, flow, now, rate)
                return False
            source.count = 0
        source.started = now
        source.until = now + self._period
        return True

    def _ban(self, source: _Source, flow: Flow, now: float, rate: float) -> None:
        source.admitted = False
        source.until = now + self._ban_time
        self.context.counters["sources_banned"] += 1
        self.context.logger.warning(
            "%s %s:%d banned for %g min: %.0f messages/s over %.1f s, the limit is %d (see white-list)",
            flow.transport.decode().lower(),
            *flow.remote,
            self._ban_time / 60,
            rate,
            now - source.started,
            self._limit,
        )

    def _unbanned(self, remote: tuple[str, int]) -> None:
        self.context.counters["sources_unbanned"] += 1
        self.context.logger.info("%s:%d is no longer banned", *remote)

    def _sweep(self) -> None:
        """Forget sources whose time is over; what comes next from them begins a new period."""
        now = self.context.agent.clock()
        for remote, source in list(self._sources.items()):
            if source.until <= now or source.until == inf:
                del self._sources[remote]
                if not source.admitted:
                    self._unbanned(remote)

    def _make_room(self, now: float) -> None:
        self._sweep()
        sources = self._sources
        if len(sources) < _SOURCE_LIMIT // 4 * 3:
            return  # else the next stranger would cause another sweep
        counted = [remote for remote, source in sources.items() if source.admitted]
        for remote in counted[: _SOURCE_LIMIT // 2] or list(sources)[: _SOURCE_LIMIT // 2]:
            del sources[remote]
        self.context.logger.warning("too many sources to count them all: the oldest are forgotten")
