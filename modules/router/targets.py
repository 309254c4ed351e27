"""From an address to the places where a request for it goes: bindings, static records, recursion."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from flexipy.registrar.binding import Binding
from flexipy.registrar.domains import ManagedDomains
from flexipy.registrar.registrar import Registrar
from flexipy.sip import names as H
from flexipy.sip.errors import SipError
from flexipy.sip.message import Request
from flexipy.sip.uri import SipUri

_MAX_DEPTH: Final = 10  # static records that name static records


@dataclass(slots=True)
class Destination:
    """One place to send a request.

    Attributes:
        uid: tells devices apart; the binding's unique id, or the URI of a place that never registered.
        uri: becomes the request URI.
        path: Route values to put on top (RFC 3327).
        q: priority.
        flow_token: the flow it must go by (RFC 5626), or empty.
        as_route: the URI is a next hop; the request URI stays.
        key: of the binding's record, or empty.
    """

    uid: str
    uri: SipUri
    path: tuple[bytes, ...] = ()
    q: float = 1.0
    flow_token: bytes = b""
    as_route: bool = False
    key: str = ""

    @staticmethod
    def of(binding: Binding) -> Destination:
        """The destination that a binding stands for."""
        return Destination(
            binding.unique_id,
            binding.uri,
            binding.path,
            binding.q,
            binding.flow_token,
            binding.used_as_route,
            binding.key,
        )

    def request_from(self, original: Request) -> Request:
        """The request for this destination, spliced from the caller's."""
        request = original.copy()
        routes = [b"Route: " + value for value in self.path]
        if self.as_route:
            routes.append(b"Route: <" + self.uri.raw + b">")
        else:
            request.uri_raw = self.uri.as_request_uri().raw
        if routes:
            place = request.shape.route
            request.insert_all(place if place >= 0 else 1, H.ROUTE, routes)
        return request


class TargetFinder:
    """Looks addresses up.

    Args:
        registrar: bindings and static records.
        domains: which addresses are ours.
    """

    def __init__(self, registrar: Registrar, domains: ManagedDomains) -> None:
        self._registrar = registrar
        self._domains = domains

    def key(self, uri: SipUri) -> str:
        """The registrar's key for an address."""
        return self._domains.key(uri.user, uri.host, uri.aor)

    def find(self, uri: SipUri, now: float, for_message: bool) -> list[Destination] | Awaitable[list[Destination]]:
        """Every place where a request for an address goes; q decides the order.

        Args:
            uri: of a managed domain; a GRUU leads to its one device.
            now: wall clock seconds.
            for_message: also devices whose registration lapsed but that still take messages.
        """
        found = self._registrar.lookup(uri, self.key(uri), now, for_message)
        if isinstance(found, list):
            if not any(binding.is_static for binding in found):
                return [Destination.of(binding) for binding in found]
            return self._expanded(found, uri, now, for_message)
        return self._later(found, uri, now, for_message)

    async def _later(
        self, waiting: Awaitable[list[Binding]], uri: SipUri, now: float, for_message: bool
    ) -> list[Destination]:
        return await self._expanded(await waiting, uri, now, for_message)

    async def _expanded(self, bindings: list[Binding], uri: SipUri, now: float, for_message: bool) -> list[Destination]:
        found: dict[str, Destination] = {}
        await self._expand(bindings, now, for_message, {self.key(uri)}, found)
        return list(found.values())

    async def _expand(
        self, bindings: list[Binding], now: float, for_message: bool, seen: set[str], found: dict[str, Destination]
    ) -> None:
        for binding in bindings:
            destination = Destination.of(binding)
            if not binding.is_static or not self._domains.manages(binding.uri.host):
                found.setdefault(destination.uid, destination)
                continue
            key = self.key(binding.uri)
            if key in seen:
                continue
            if len(seen) > 1000 or len(found) > 1000:
                raise SipError("static records lead to too many places", 500)
            seen.add(key)
            result = self._registrar.lookup(binding.uri, key, now, for_message)
            below = result if isinstance(result, list) else await result
            await self._expand(below, now, for_message, seen, found)
