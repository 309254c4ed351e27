"""Finding SIP servers (RFC 3263): the cache and who waits for what. `dns_lookup.py` asks the questions."""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flexipy.transport.addresses import normalize_ip
from flexipy.transport.errors import ResolutionError
from flexipy.transport.hosts import HostsFile
from flexipy.transport.specs import DEFAULT_PORTS
from flexipy.transport.srv import Plan, single_plan
from flexipy.transport.target import Target
from flexipy.transport.wanted import Question, wanted_transport

if TYPE_CHECKING:
    from flexipy.transport.dns_lookup import DnsLookup

__all__ = ["Resolver", "Target"]

_log = logging.getLogger(__name__)

_CACHE_LIMIT = 4096
_FAILED_LIMIT = 4096
_FAILED_FOR = 30.0
"""Seconds for which a target that failed is tried last."""
_SHORTEST_TTL = 1.0
_LONGEST_TTL = 3600.0
_NEGATIVE_TTL = 30.0
_TEMPORARY_TTL = 2.0
"""For time-outs and server failures: long enough to keep a burst of calls from repeating the question."""
_FOREVER = float("inf")
_NUMERIC_TTL = _FOREVER
_HOSTS_TTL = 60.0


@dataclass(frozen=True, slots=True)
class _Entry:
    expires: float
    plan: Plan | None
    error: str = ""
    temporary: bool = False


class Resolver:
    """Turns the host part of a URI into targets to try in order."""

    def __init__(
        self,
        hosts: Mapping[str, Sequence[str]] | None = None,
        nameservers: Sequence[tuple[str, int]] | None = None,
        available: frozenset[bytes] = frozenset({b"UDP", b"TCP", b"TLS"}),
    ) -> None:
        self._hosts = {name.lower().rstrip("."): list(addresses) for name, addresses in (hosts or {}).items()}
        self._hosts_file = HostsFile()
        self._nameservers = nameservers
        self._available = available
        self._families: tuple[int, ...] = (4, 6)
        self._cache: dict[Question, _Entry] = {}
        self._pending: dict[Question, asyncio.Task[Plan]] = {}
        self._failed: dict[Target, float] = {}
        self._lookup: DnsLookup | None = None
        self._random = secrets.SystemRandom()

    def prefer_families(self, families: Sequence[int]) -> None:
        """Ask only for addresses that we can send to.

        Args:
            families: 4 and 6 in the order of preference; repetitions do not matter, empty means both.

        """
        self._families = tuple(dict.fromkeys(families)) or (4, 6)
        self._cache.clear()

    def static_addresses(self, name: str) -> list[str]:
        """Addresses from --hosts or /etc/hosts."""
        return self._hosts.get(name) or self._hosts_file.addresses(name)

    # -- asking ------------------------------------------------------------------------------------

    def cached(self, host: str, port: int | None, transport: bytes | None, secure: bool) -> list[Target] | None:
        """Answer at once, if that is possible without asking anybody.

        Args:
            host: name or address of the URI, brackets allowed.
            port: of the URI, None when it has none.
            transport: upper case, None when the URI does not say.
            secure: a sips URI.

        Returns:
            Targets in the order of trying, or None: use `resolve`.

        """
        question = (host, port, transport, secure)
        entry = self._cache.get(question)
        if entry is None or entry.expires < time.monotonic():
            entry = self._from_statics(question)
            if entry is None:
                return None
        return None if entry.plan is None else self._ordered(entry.plan)

    def resolve(
        self, host: str, port: int | None, transport: bytes | None, secure: bool
    ) -> "asyncio.Future[list[Target]]":
        """Answer in a while; those who ask the same at once share one search.

        Returns:
            A future of the caller's own with at least one target; it may raise ResolutionError.

        """
        loop = asyncio.get_running_loop()
        question = (host, port, transport, secure)
        targets = self.cached(*question)
        future: asyncio.Future[list[Target]] = loop.create_future()
        if targets is not None:
            future.set_result(targets)
            return future
        entry = self._cache.get(question)
        if entry is not None and entry.error and entry.expires > time.monotonic():
            future.set_exception(ResolutionError(entry.error, entry.temporary))
            return future
        return asyncio.ensure_future(self._wait_for(question))

    async def _wait_for(self, question: Question) -> list[Target]:
        task = self._pending.get(question)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._search(question))
            self._pending[question] = task
            task.add_done_callback(lambda done: self._finished(question, done))
        return self._ordered(await asyncio.shield(task))

    def _finished(self, question: Question, task: "asyncio.Task[Plan]") -> None:
        self._pending.pop(question, None)
        if not task.cancelled():
            task.exception()  # seen: there may be nobody left who waits for it

    async def close(self) -> None:
        """Give up what is being looked for."""
        tasks = list(self._pending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- failover ----------------------------------------------------------------------------------

    def mark_failed(self, target: Target, seconds: float = _FAILED_FOR) -> None:
        """Put a target that did not work at the end of the lists for a while (RFC 3263 section 4.3)."""
        failed = self._failed
        failed.pop(target, None)
        if len(failed) >= _FAILED_LIMIT:
            del failed[next(iter(failed))]
        failed[target] = time.monotonic() + seconds

    def mark_working(self, target: Target) -> None:
        """A target that had failed has answered."""
        self._failed.pop(target, None)

    def _ordered(self, plan: Plan) -> list[Target]:
        targets = plan.targets(lambda limit: self._random.randint(0, limit))
        if self._failed and len(targets) > 1:
            now = time.monotonic()
            targets.sort(key=lambda target: self._failed.get(target, 0.0) > now)
        return targets

    # -- the cache ---------------------------------------------------------------------------------

    def _store(self, question: Question, entry: _Entry) -> None:
        cache = self._cache
        cache.pop(question, None)
        if len(cache) >= _CACHE_LIMIT:
            for key in list(cache)[: _CACHE_LIMIT // 2]:
                del cache[key]
        cache[question] = entry

    def _from_statics(self, question: Question) -> _Entry | None:
        """Numeric addresses, --hosts and /etc/hosts."""
        host, port, transport, secure = question
        ip = normalize_ip(host)
        name = "" if ip is not None else host.lower().rstrip(".")
        addresses = [ip] if ip is not None else self.static_addresses(name)
        if not addresses:
            return None
        chosen = wanted_transport(transport, secure)
        number = port or DEFAULT_PORTS.get(chosen, 5060)
        targets = [Target(chosen, address, number, name) for address in self._usable(addresses)]
        ttl = _NUMERIC_TTL if ip is not None else _HOSTS_TTL
        entry = _Entry(time.monotonic() + ttl, single_plan(targets))
        self._store(question, entry)
        return entry

    def _usable(self, addresses: Sequence[str]) -> list[str]:
        """Addresses of families we can send to, in our order; all of them if there is none."""
        families = self._families
        usable = [address for address in addresses if (6 if ":" in address else 4) in families]
        return sorted(usable, key=lambda address: families.index(6 if ":" in address else 4)) or list(addresses)

    async def _search(self, question: Question) -> Plan:
        if self._lookup is None:
            from flexipy.transport.dns_lookup import DnsLookup  # dnspython is big: not before it is needed

            self._lookup = DnsLookup(self._nameservers, self.static_addresses)
        now = time.monotonic()
        try:
            plan, ttl = await self._lookup.search(question, self._available, self._families)
        except ResolutionError as error:
            ttl = _TEMPORARY_TTL if error.temporary else _NEGATIVE_TTL
            self._store(question, _Entry(now + ttl, None, str(error), error.temporary))
            raise
        ttl = min(max(ttl, _SHORTEST_TTL), _LONGEST_TTL)
        self._store(question, _Entry(now + ttl, plan))
        return plan
