"""The questions that RFC 3263 asks of DNS: NAPTR, then SRV, then A and AAAA.

Imported at the first name that is in no hosts file, because dnspython is a large package.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdata
import dns.resolver
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from flexipy.transport.addresses import normalize_ip
from flexipy.transport.errors import ResolutionError
from flexipy.transport.specs import DEFAULT_PORTS
from flexipy.transport.srv import Plan, Server, Tier, single_plan
from flexipy.transport.target import Target
from flexipy.transport.wanted import Question, wanted_transport

_log = logging.getLogger(__name__)

_TRY = 1.5
_LIFETIME = 4.0
"""Seconds for one try and for one question; an unanswered INVITE is repeated meanwhile."""
_ABSENCE_TTL = 300.0
_MOST_SERVERS = 16
"""SRV records used of one name: nobody tries more before the caller hangs up."""
# RFC 3263 section 4.1: NAPTR services that mean a transport we may speak.
_NAPTR_SERVICES = {b"SIP+D2U": b"UDP", b"SIP+D2T": b"TCP", b"SIPS+D2T": b"TLS"}
_SRV_PREFIXES = {b"UDP": "_sip._udp", b"TCP": "_sip._tcp", b"TLS": "_sips._tcp"}

StaticAddresses = Callable[[str], list[str]]


class DnsLookup:
    """Asks DNS servers; keeps nothing but the connection to them."""

    def __init__(self, nameservers: Sequence[tuple[str, int]] | None, statics: StaticAddresses) -> None:
        self._statics = statics
        self._nameservers = nameservers
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def search(
        self, question: Question, available: frozenset[bytes], families: Sequence[int]
    ) -> tuple[Plan, float]:
        """Find the servers for a URI's host.

        Args:
            question: host, port, transport and secure of the URI.
            available: transports that we can send on.
            families: 4 and 6, those we can send to, preferred first.

        Returns:
            The plan and the seconds for which it holds.

        Raises:
            ResolutionError: there is no server, or DNS does not say.

        """
        search = _Search(self._open(), self._statics, question[0].lower().rstrip("."), families)
        plan = await search.run(question, available)
        if any(server.targets for tier in plan.tiers for server in tier):
            return plan, search.ttl
        if search.trouble:
            raise ResolutionError(f"no answer about '{search.domain}': {search.trouble}", temporary=True)
        raise ResolutionError(f"'{search.domain}' has no SIP server and no address")

    def _open(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            try:
                resolver = dns.asyncresolver.Resolver(configure=self._nameservers is None)
            except dns.exception.DNSException as error:
                raise ResolutionError(f"no name servers: {error}", temporary=True) from error
            if self._nameservers is not None:
                resolver.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in self._nameservers]
            resolver.timeout = _TRY
            resolver.lifetime = _LIFETIME
            self._resolver = resolver
        return self._resolver


class _Search:
    """One search: collects the shortest TTL and whether some question stayed open."""

    def __init__(
        self,
        resolver: dns.asyncresolver.Resolver,
        statics: StaticAddresses,
        domain: str,
        families: Sequence[int],
    ) -> None:
        self.domain = domain
        self.ttl = float("inf")
        self.trouble = ""
        self._resolver = resolver
        self._statics = statics
        self._families = families

    async def run(self, question: Question, available: frozenset[bytes]) -> Plan:
        """RFC 3263 sections 4.1 and 4.2."""
        _, port, transport, secure = question
        chosen = wanted_transport(transport, secure)
        if port is not None:
            return await self._plain(chosen, port)
        if transport is not None:
            services = [(chosen, f"{_SRV_PREFIXES[chosen]}.{self.domain}")] if chosen in _SRV_PREFIXES else []
        else:
            allowed = available & {b"TLS"} if secure else available
            services = await self._naptr(allowed)
            if not services:
                services = [
                    (service, f"{prefix}.{self.domain}")
                    for service, prefix in _SRV_PREFIXES.items()
                    if service in allowed
                ]
        found = await asyncio.gather(*(self._srv(name) for _, name in services))
        tiers: list[Tier] = []
        for (service, _), records in zip(services, found, strict=True):
            tiers += await self._tiers(service, records)
        if tiers:
            return Plan(tuple(tiers))
        if any(found):  # only the target "." (RFC 2782): the service is decidedly not there
            return Plan(())
        return await self._plain(chosen, DEFAULT_PORTS[chosen])

    async def _plain(self, transport: bytes, port: int) -> Plan:
        addresses = await self._addresses(self.domain)
        return single_plan([Target(transport, ip, port, self.domain) for ip in addresses])

    async def _naptr(self, allowed: frozenset[bytes]) -> list[tuple[bytes, str]]:
        """Transports with the names of their SRV records, best first."""
        records = [record for record in await self._ask(self.domain, "NAPTR") if isinstance(record, NAPTR)]
        records.sort(key=lambda record: (record.order, record.preference))
        services = []
        for record in records:
            transport = _NAPTR_SERVICES.get(record.service.upper())
            if transport in allowed and transport is not None and record.flags.upper() == b"S":
                services.append((transport, record.replacement.to_text(omit_final_dot=True)))
        return services

    async def _srv(self, name: str) -> list[SRV]:
        return [record for record in await self._ask(name, "SRV") if isinstance(record, SRV)]

    async def _tiers(self, transport: bytes, records: list[SRV]) -> list[Tier]:
        usable = [record for record in records if record.target != dns.name.root]
        usable.sort(key=lambda record: record.priority)
        usable = usable[:_MOST_SERVERS]
        names = [record.target.to_text(omit_final_dot=True).lower() for record in usable]
        addresses = dict(zip(names, await self._all_addresses(names), strict=True))
        tiers = []
        for _, group in groupby(zip(usable, names, strict=True), key=lambda pair: pair[0].priority):
            tiers.append(
                tuple(
                    Server(
                        record.weight,
                        # The certificate must name the domain asked for, not the SRV target (RFC 5922).
                        tuple(Target(transport, ip, record.port, self.domain) for ip in addresses[name]),
                    )
                    for record, name in group
                )
            )
        return tiers

    async def _all_addresses(self, names: Iterable[str]) -> list[list[str]]:
        return list(await asyncio.gather(*(self._addresses(name) for name in names)))

    async def _addresses(self, name: str) -> list[str]:
        static = self._statics(name)
        if static:
            return [ip for family in self._families for ip in static if (6 if ":" in ip else 4) == family]
        kinds = ["AAAA" if family == 6 else "A" for family in self._families]
        answers = await asyncio.gather(*(self._ask(name, kind) for kind in kinds))
        texts = [normalize_ip(record.to_text()) for answer in answers for record in answer]
        return [text for text in texts if text is not None]

    async def _ask(self, name: str, kind: str) -> list[dns.rdata.Rdata]:
        """One question. What cannot be answered counts as absent, but is remembered as trouble."""
        try:
            answer = await self._resolver.resolve(
                dns.name.from_text(name), kind, raise_on_no_answer=False, search=False
            )
        except dns.resolver.NXDOMAIN:
            self.ttl = min(self.ttl, _ABSENCE_TTL)
            return []
        except (dns.exception.DNSException, OSError, UnicodeError) as error:
            self.trouble = self.trouble or f"{kind} {name}: {error or type(error).__name__}"
            _log.debug("DNS: %s %s: %s", kind, name, error)
            return []
        self.ttl = min(self.ttl, max(answer.expiration - time.time(), 0.0))
        if answer.rrset is None:
            self.ttl = min(self.ttl, _ABSENCE_TTL)
            return []
        return list(answer.rrset)
