"""A DNS server with a zone of records, on a loopback port of its own."""

import asyncio

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

_SOA = "ns.example. host.example. 1 60 60 60 60"


class DnsServer(asyncio.DatagramProtocol):
    """Answers from `zone`; counts the questions."""

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], list[str]] = {}
        self.ttl = 300
        self.questions: list[tuple[str, str]] = []
        self.failing: set[str] = set()
        """Record types answered with SERVFAIL."""
        self.address = ("", 0)
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> "DnsServer":
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.address = self._transport.get_extra_info("sockname")[:2]
        return self

    def add(self, name: str, kind: str, *values: str) -> None:
        self.zone.setdefault((f"{name}.", kind), []).extend(values)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name.rstrip("."), kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA | dns.flags.AA
        values = self.zone.get((name, kind))
        if kind in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif values:
            response.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", kind, *values))
        else:
            if not any(known == name for known, _ in self.zone):
                response.set_rcode(dns.rcode.NXDOMAIN)
            response.authority.append(dns.rrset.from_text(question.name, 60, "IN", "SOA", _SOA))
        assert self._transport is not None
        self._transport.sendto(response.to_wire(), addr)
