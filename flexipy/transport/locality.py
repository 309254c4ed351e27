"""Which hosts and ports are ours, and which listening point serves a destination."""

import ipaddress
from collections.abc import Sequence

from flexipy.transport.addresses import (
    family_of,
    forget_local_addresses,
    interface_addresses,
    local_address_toward,
    normalize_ip,
)
from flexipy.transport.listener import Listener

_CACHE_LIMIT = 8192
_DEFAULT_PORTS = frozenset({5060, 5061})


class Locality:
    """Answers about our own addresses, cached until `refresh` finds that an interface has changed."""

    __slots__ = ("_chosen", "_interfaces", "_known", "_listeners")

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners
        self._interfaces = interface_addresses()
        self._known: dict[tuple[str, int | None], bool] = {}
        self._chosen: dict[tuple[bytes, str], Listener | None] = {}

    def refresh(self) -> bool:
        """Look at the interfaces again; True when their addresses have changed."""
        interfaces = interface_addresses()
        if interfaces == self._interfaces:
            return False
        self._interfaces = interfaces
        self.forget()
        forget_local_addresses()
        return True

    def forget(self) -> None:
        """Drop the answers: the list of listeners has changed."""
        self._known.clear()
        self._chosen.clear()

    # -- is it ours? -------------------------------------------------------------------------------

    def is_local(self, host: str, port: int | None) -> bool:
        """Whether `host:port` is one of our listening points.

        Args:
            host: name or address, with or without brackets.
            port: None when the URI has none: an address then means the default ports, a name any port.

        """
        key = (host, port)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            found = self._known[key] = self._is_local(host, port)
        return found

    def _is_local(self, host: str, port: int | None) -> bool:
        ip = normalize_ip(host)
        name = host.lower().rstrip(".") if ip is None else ip
        return any(self._port_fits(at, ip, port) and self._host_fits(at, name, ip) for at in self._listeners)

    @staticmethod
    def _port_fits(listener: Listener, ip: str | None, port: int | None) -> bool:
        if port is not None:
            return port == listener.port
        return ip is None or listener.port in _DEFAULT_PORTS

    def _host_fits(self, listener: Listener, name: str, ip: str | None) -> bool:
        if name in listener.names or name == listener.local[0]:
            return True
        if name == "localhost":
            return listener.is_wildcard or ipaddress.ip_address(listener.local[0]).is_loopback
        if ip is None or not listener.is_wildcard or not listener.reaches(ip):
            return False
        return ip in self._interfaces or ipaddress.ip_address(ip).is_loopback

    # -- which one leads there? --------------------------------------------------------------------

    def listener_for(self, transport: bytes, ip: str) -> Listener | None:
        """The listening point to use toward `ip`; None when there is none of that transport and family."""
        key = (transport, ip)
        try:
            return self._chosen[key]
        except KeyError:
            pass
        if len(self._chosen) >= _CACHE_LIMIT:
            self._chosen.clear()
        chosen = self._chosen[key] = self._choose(transport, ip)
        return chosen

    def _choose(self, transport: bytes, ip: str) -> Listener | None:
        """By `network=`, else the one bound to the kernel's source address, a wildcard, any but loopback."""
        family = family_of(ip)
        possible = [at for at in self._listeners if at.transport == transport and family_of(at.local[0]) == family]
        if len(possible) < 2:
            return possible[0] if possible else None
        address = ipaddress.ip_address(ip)
        for listener in possible:
            if any(address in network for network in listener.spec.networks):
                return listener
        source = local_address_toward(ip)
        for listener in possible:
            if listener.local[0] == source:
                return listener
        for listener in possible:
            if listener.is_wildcard:
                return listener
        loopback = [ipaddress.ip_address(at.local[0]).is_loopback for at in possible]
        return possible[loopback.index(address.is_loopback) if address.is_loopback in loopback else 0]
