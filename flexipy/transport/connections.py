"""All stream connections: found by remote address, counted against the limits, swept for what is overdue."""

import asyncio
import logging
from typing import TYPE_CHECKING

from flexipy.transport.addresses import normalize_ip
from flexipy.transport.context import TransportContext
from flexipy.transport.flow import Flow
from flexipy.transport.stream import StreamFlow
from flexipy.transport.target import Target

if TYPE_CHECKING:
    from flexipy.transport.elsewhere import Watcher

_log = logging.getLogger(__name__)

_Key = tuple[bytes, str, int]


class ConnectionTable:
    """The stream flows of one `Transports`."""

    __slots__ = (
        "_by_id",
        "_by_remote",
        "_empty",
        "_opened_per_ip",
        "_per_ip",
        "admitted",
        "context",
        "opened",
        "watcher",
    )

    def __init__(self, context: TransportContext) -> None:
        self.context = context
        self.admitted = 0
        """Incoming connections, those still in a TLS handshake included."""
        self.opened = 0
        """Outgoing connections, those on their way included."""
        self._opened_per_ip: dict[str, int] = {}
        self._by_id: dict[int, StreamFlow] = {}
        self._by_remote: dict[_Key, list[StreamFlow]] = {}
        self._per_ip: dict[str, int] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.watcher: Watcher | None = None

    def __len__(self) -> int:
        return len(self._by_id)

    # -- limits ------------------------------------------------------------------------------------

    def admit(self, ip: str) -> bool:
        """Count an incoming connection from `ip`, or refuse it (and count that)."""
        if not self._count(self._per_ip, ip, self.admitted, self.context.options.max_connections):
            return False
        self.admitted += 1
        return True

    def admit_outgoing(self, ip: str) -> bool:
        """Count a connection that we want to open to `ip`, or refuse it: strangers' requests may ask for any number."""
        if not self._count(self._opened_per_ip, ip, self.opened, self.context.options.max_opened):
            return False
        self.opened += 1
        return True

    def _count(self, per_ip: dict[str, int], ip: str, total: int, limit: int) -> bool:
        count = per_ip.get(ip, 0)
        if 0 < limit <= total or 0 < self.context.options.max_connections_per_ip <= count:
            self.context.counters.connections_refused += 1
            return False
        per_ip[ip] = count + 1
        return True

    def release(self, flow: StreamFlow) -> None:
        """Take an admitted connection out of the count; harmless when done twice."""
        ip, flow.admitted_ip = flow.admitted_ip, ""
        if not ip:
            return
        if flow.outgoing:
            self.opened -= 1
            per_ip = self._opened_per_ip
        else:
            self.admitted -= 1
            per_ip = self._per_ip
        per_ip[ip] -= 1
        if per_ip[ip] == 0:
            del per_ip[ip]

    # -- membership --------------------------------------------------------------------------------

    def add(self, flow: StreamFlow) -> None:
        """A connection is up."""
        self._by_id[flow.id] = flow
        self._by_remote.setdefault((flow.transport, *flow.remote), []).append(flow)
        self._empty.clear()
        counters = self.context.counters
        if flow.outgoing:
            counters.connections_out += 1
        else:
            counters.connections_in += 1
        if self.watcher is not None:
            self.watcher.opened(flow)

    def remove(self, flow: StreamFlow) -> None:
        """A connection is gone."""
        self.release(flow)
        if self._by_id.pop(flow.id, None) is None:
            return
        key = (flow.transport, *flow.remote)
        flows = self._by_remote[key]
        flows.remove(flow)
        if not flows:
            del self._by_remote[key]
        if not self._by_id:
            self._empty.set()
        if self.watcher is not None:
            self.watcher.closed(flow)

    def flows(self) -> list[StreamFlow]:
        """All that are up."""
        return [flow for flow in self._by_id.values() if not flow.closed]

    def find(self, target: Target) -> StreamFlow | None:
        """A live connection that may carry messages to `target`, whoever opened it (RFC 5923)."""
        ip = target.ip
        if ":" in ip:
            ip = normalize_ip(ip) or ip
        for flow in self._by_remote.get((target.transport, ip, target.port), ()):
            if not flow.closed and may_carry(flow, target, flow.outgoing, flow.tls_name):
                return flow
        return None

    def find_exact(self, transport: bytes, local: tuple[str, int], remote: tuple[str, int]) -> StreamFlow | None:
        """The live connection with these two ends."""
        for flow in self._by_remote.get((transport, *remote), ()):
            if not flow.closed and flow.local == local:
                return flow
        return None

    def by_id(self, flow_id: int) -> StreamFlow | None:
        """The live connection with this flow id."""
        flow = self._by_id.get(flow_id)
        return None if flow is None or flow.closed else flow

    # -- time --------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Let every connection find out what is overdue."""
        for flow in list(self._by_id.values()):
            try:
                flow.tick(now)
            except Exception:
                _log.exception("the sweep of %r failed", flow)

    async def close(self, drain: float) -> None:
        """Close all after their output is sent, abort what is left after `drain` seconds."""
        for flow in list(self._by_id.values()):
            flow.close()
        try:
            async with asyncio.timeout(drain):
                await self._empty.wait()
        except TimeoutError:
            for flow in list(self._by_id.values()):
                flow.abort()
            await asyncio.sleep(0)


def may_carry(flow: Flow, target: Target, outgoing: bool, tls_name: str) -> bool:
    """Whether a connection to the right address also leads to the domain that the target names.

    Of TLS connections an outgoing one counts only for the name that was verified, an incoming one only if the
    peer's certificate names the domain, or if no domain is asked for (RFC 5923 sections 5 and 6).

    Args:
        flow: the connection.
        target: where a message is to go.
        outgoing: whether it was opened from here.
        tls_name: the name it was verified for.
    """
    if not flow.secure:
        return True
    wanted = target.tls_name or target.ip
    if outgoing:
        return wanted == (tls_name or flow.remote[0])
    return wanted == target.ip or wanted in flow.peer_names
