"""Whose device is at a network address: for requests that go to a device instead of to the address it serves."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from flexipy.registrar.binding import Record
from flexipy.registrar.registrar import Registrar
from flexipy.sip.uri import SipUri
from flexipy.transport.addresses import normalize_ip

if TYPE_CHECKING:
    from flexipy.registrar.binding import Binding
    from flexipy.transport.flow import Flow

    from .dialogs import Place

_FRESH: Final = 2.0  # seconds: the list is made anew at most that often, whatever strangers send
_NOBODY: Final[frozenset[str]] = frozenset()


class DeviceOwners:
    """Addresses-of-record by the network address of their devices.

    Args:
        registrar: knows the devices; None where there is none.
        flow_of: the flow that a flow token names, or None.
    """

    def __init__(self, registrar: Registrar | None, flow_of: Callable[[bytes], Flow | None]) -> None:
        self._registrar = registrar
        self._flow_of = flow_of
        self._by_place: dict[Place, frozenset[str]] = {}
        self._by_ip: dict[str, frozenset[str]] = {}
        self._made_at = float("-inf")

    def at(self, place: Place, now: float) -> frozenset[str]:
        """Whose devices are reached at an address and port.

        Args:
            place: IP address and port.
            now: monotonic seconds.

        Returns:
            Addresses-of-record. Those of every device of that host where no device registered with that port: it may
            well listen on more of them. Empty where no device of ours is.
        """
        if now - self._made_at >= _FRESH:
            self._made_at = now
            self._read()
        return self._by_place.get(place) or self._by_ip.get(place[0], _NOBODY)

    def _read(self) -> None:
        by_place: dict[Place, set[str]] = {}
        by_ip: dict[str, set[str]] = {}
        for binding in self._bindings():
            for place in self._places(binding):
                by_place.setdefault(place, set()).add(binding.key)
                by_ip.setdefault(place[0], set()).add(binding.key)
        self._by_place = {place: frozenset(keys) for place, keys in by_place.items()}
        self._by_ip = {ip: frozenset(keys) for ip, keys in by_ip.items()}

    def _bindings(self) -> list[Binding]:
        """All but static ones: such a contact says where an address leads, not whose the device there is."""
        registrar = self._registrar
        keys = None if registrar is None else registrar.keys()
        if registrar is None or keys is None or isinstance(keys, Awaitable):
            return []
        now = time.time()
        records = [registrar.fetch(key, now) for key in keys]
        found = [record.bindings for record in records if isinstance(record, Record)]
        return [binding for bindings in found for binding in bindings if not binding.is_static]

    def _places(self, binding: Binding) -> list[Place]:
        named = place_of(binding.uri)
        flow = self._flow_of(binding.flow_token) if binding.flow_token else None
        return [place for place in (named, None if flow is None else flow.remote) if place is not None]


def place_of(uri: SipUri) -> Place | None:
    """The IP address and port that a URI names, None where it names a host."""
    ip = normalize_ip(uri.host)
    return None if ip is None else (ip, uri.port or (5061 if uri.secure else 5060))
