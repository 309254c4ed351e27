"""A list of hosts as operators write it: addresses, networks (192.0.2.0/24) and names; asked about addresses."""

import asyncio
import ipaddress
import logging
from collections.abc import Iterable

from flexipy.transport.addresses import normalize_ip
from flexipy.transport.errors import ResolutionError
from flexipy.transport.resolver import Resolver

_log = logging.getLogger(__name__)

_CACHE_LIMIT = 8192
_REFRESH = 300.0
"""Seconds between two look-ups of the names; shorter after a failure."""
_RETRY = 30.0
_FIRST_WAIT = 5.0
"""Seconds that a start waits for DNS at most."""
_ANY_PORT = 5060
"""With a port in the question only addresses are looked up, no services (RFC 3263 section 4.2)."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class HostSet:
    """Hosts, by address, network or name; `ip in hosts` is cheap.

    Args:
        entries: as in the configuration.

    Raises:
        ValueError: an entry that can be none of the three.

    Attributes:
        names: the entries that must be looked up; see `keep_resolved`.

    """

    def __init__(self, entries: Iterable[str]) -> None:
        self.names: list[str] = []
        self._addresses: set[str] = set()
        self._networks: list[Network] = []
        self._resolved: dict[str, frozenset[str]] = {}
        self._known: dict[str, bool] = {}
        for entry in entries:
            self._add(entry)

    def _add(self, entry: str) -> None:
        ip = normalize_ip(entry)
        if ip is not None:
            self._addresses.add(ip)
        elif "/" in entry:
            self._networks.append(ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False))
        elif _may_be_name(entry):
            self.names.append(entry.lower().rstrip("."))
        else:
            raise ValueError(f"'{entry}' is neither an address, a network nor a host name")

    def __bool__(self) -> bool:
        return bool(self._addresses or self._networks or self.names)

    def __contains__(self, ip: str) -> bool:
        found = self._known.get(ip)
        if found is None:
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            found = self._known[ip] = self._find(ip)
        return found

    def _find(self, ip: str) -> bool:
        if ip in self._addresses or any(ip in addresses for addresses in self._resolved.values()):
            return True
        if not self._networks:
            return False
        address = ipaddress.ip_address(ip)
        return any(address in network for network in self._networks)

    async def resolve(self, resolver: Resolver) -> bool:
        """Look the names up. One without an answer keeps the addresses it had.

        Returns:
            Whether every name has an answer.

        """
        answers = await asyncio.gather(*(self._look_up(resolver, name) for name in self.names))
        self._known.clear()
        return all(answers)

    async def _look_up(self, resolver: Resolver, name: str) -> bool:
        try:
            targets = await resolver.resolve(name, _ANY_PORT, b"UDP", False)
        except ResolutionError as error:
            _log.warning("listed host %s not found: %s", name, error)
            return False
        self._resolved[name] = frozenset(target.ip for target in targets)
        return True

    async def resolve_first(self, resolver: Resolver) -> None:
        """Look the names up for the first time; gives up waiting after a few seconds."""
        if self.names:
            try:
                await asyncio.wait_for(self.resolve(resolver), _FIRST_WAIT)
            except TimeoutError:
                _log.warning("listed hosts not found in time: %s", " ".join(self.names))

    async def keep_resolved(self, resolver: Resolver) -> None:
        """Look the names up again and again; never returns."""
        good = all(name in self._resolved for name in self.names)
        while True:
            await asyncio.sleep(_REFRESH if good else _RETRY)
            good = await self.resolve(resolver)


def _may_be_name(entry: str) -> bool:
    # Digits and dots alone are an address with a slip in it.
    plain = entry.replace(".", "").replace("-", "").replace("_", "")
    return plain.isascii() and plain.isalnum() and not plain.isdigit()
