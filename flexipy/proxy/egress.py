"""From a URI to a flow: the way out (RFC 3261 section 16.6 item 7, RFC 3263, RFC 5923)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flexipy.sip.message import Request
from flexipy.sip.uri import SipUri
from flexipy.transport.errors import ResolutionError
from flexipy.transport.specs import DEFAULT_PORTS

if TYPE_CHECKING:
    from flexipy.transport.flow import Flow
    from flexipy.transport.resolver import Resolver, Target
    from flexipy.transport.transports import Transports

_CACHE_LIMIT: Final = 16384
_CACHED_SIZE: Final = 512
_LONGEST_HOST: Final = 255
# What our Via and Record-Route may add to a request; the MTU rule counts the request as it leaves.
_GROWTH: Final = 350
_SWITCHED: Final = {b"UDP": b"TCP"}


class Egress:
    """Finds the flow for a URI.

    Args:
        transports: the flows.
        resolver: names to addresses.
        default_transport: for URIs that name none and need no look-up.
        udp_mtu: requests that would be larger go by TCP (RFC 3261 section 18.1.1), bytes.
    """

    def __init__(self, transports: Transports, resolver: Resolver, udp_mtu: int = 1460) -> None:
        self._transports = transports
        self._resolver = resolver
        self._udp_mtu = udp_mtu
        self._udp_flows: dict[bytes, Flow] = {}

    def immediate_flow(self, uri: SipUri) -> Flow | None:
        """The flow for a URI when nothing must be looked up or opened; None when it takes longer."""
        flow = self._udp_flows.get(uri.raw)
        if flow is not None and not flow.closed:
            return flow
        host, port, transport = where(uri)
        if not _possible(host, transport):
            return None
        targets = self._resolver.cached(host, port, transport, uri.secure)
        if not targets or len(targets) > 1:
            return None
        flow = self._transports.flow_for(targets[0])
        if flow is not None and flow.transport == b"UDP" and not _is_name(host):
            if len(self._udp_flows) >= _CACHE_LIMIT:
                self._udp_flows.clear()
            if len(uri.raw) <= _CACHED_SIZE:
                self._udp_flows[uri.raw] = flow
        return flow

    def fits(self, request: Request, flow: Flow) -> bool:
        """Whether a request may go by this flow: UDP carries no more than the MTU."""
        if flow.reliable:
            return True
        size = len(request.body) + _GROWTH + 2 * len(request.lines)
        if size + 60 * len(request.lines) < self._udp_mtu:
            return True
        return size + sum(map(len, request.lines)) <= self._udp_mtu

    async def targets(self, uri: SipUri, request: Request) -> list[Target]:
        """Every address to try, best first; for a request too large for UDP its TCP twin comes before each.

        Raises:
            ResolutionError: there is none.
        """
        host, port, transport = where(uri)
        if not _possible(host, transport):
            raise ResolutionError("no such host or transport")
        found = await self._resolver.resolve(host, port, transport, uri.secure)
        if self._small(request):
            return list(found)
        doubled: list[Target] = []
        for target in found:
            switched = _SWITCHED.get(target.transport)
            if switched is not None:
                doubled.append(type(target)(switched, target.ip, target.port, target.tls_name))
            doubled.append(target)
        return doubled

    def _small(self, request: Request) -> bool:
        size = len(request.body) + _GROWTH + 2 * len(request.lines) + sum(map(len, request.lines))
        return size <= self._udp_mtu


def where(uri: SipUri) -> tuple[str, int | None, bytes | None]:
    """Host, port and transport that a URI asks for (RFC 3261 section 19.1.1); maddr counts as the host."""
    transport = uri.params.get("transport")
    name = None if transport is None else transport.upper().encode("ascii", "replace")
    if uri.secure and name in (b"TCP", b"WS"):
        name = b"TLS" if name == b"TCP" else b"WSS"
    return uri.params.get("maddr") or uri.host, uri.port, name


def _possible(host: str, transport: bytes | None) -> bool:
    """Whether there can be such a place; a `maddr` may be any text."""
    return len(host) <= _LONGEST_HOST and (transport is None or transport in DEFAULT_PORTS)


def _is_name(host: str) -> bool:
    return ":" not in host and not host.replace(".", "").isdigit()
