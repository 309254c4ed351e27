"""A listening point and how it names itself in the messages sent from it."""

from flexipy.transport.addresses import family_of, host_port, local_address_toward
from flexipy.transport.specs import TransportSpec

_URI_TRANSPORT = {b"UDP": b"", b"TCP": b";transport=tcp", b"TLS": b";transport=tls"}
_URI_TRANSPORT |= {b"WS": b";transport=ws", b"WSS": b";transport=wss"}
# Only to learn the address of the default route, nothing is sent there (RFC 5737 and 3849).
_SOMEWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}


def stamp(transport: bytes, host: str, port: int) -> tuple[bytes, bytes]:
    """Our Via line up to the branch value, and our Record-Route URI.

    Source: RFC 3261 sections 18.1.1 and 16.6 step 4, RFC 3581 (rport), RFC 7118 section 5.

    """
    sent_by = host_port(host, port)
    via = b"Via: SIP/2.0/%b %b;rport;branch=" % (transport, sent_by)
    return via, b"sip:%b%b;lr" % (sent_by, _URI_TRANSPORT[transport])


class Listener:
    """An address where we listen.

    Attributes:
        spec: as configured.
        transport: b"UDP", b"TCP", b"TLS", b"WS" or b"WSS".
        local: the bound address and the real port; the address may be a wildcard.
        port: the real port.
        host: what we advertise when no remote is known: the configured name, else an address of ours.
        is_wildcard: whether it is bound to all interfaces.

    """

    __slots__ = ("_stamps", "host", "is_wildcard", "local", "names", "port", "spec", "transport")

    def __init__(self, spec: TransportSpec, local: tuple[str, int]) -> None:
        self.spec = spec
        self.transport = spec.transport
        self.local = local
        self.port = local[1]
        self.is_wildcard = local[0] in {"0.0.0.0", "::"}
        self.host = spec.host if spec.host != "*" else self.local_toward(self._somewhere())
        self.names: frozenset[str] = frozenset(() if spec.host == "*" else (spec.host,))
        """Further names that lead here (several certificates on one TLS port)."""
        self._stamps: dict[str, tuple[bytes, bytes]] = {}

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.local[0] else 4

    def local_toward(self, ip: str) -> str:
        """The concrete address of ours in packets from here to `ip`."""
        return local_address_toward(ip) if self.is_wildcard else self.local[0]

    def stamp(self, local_ip: str) -> tuple[bytes, bytes]:
        """Via prefix and Record-Route URI of messages that leave from `local_ip`; the bytes are shared."""
        host = self.spec.host if self.spec.host != "*" else local_ip
        found = self._stamps.get(host)
        if found is None:
            found = self._stamps[host] = stamp(self.transport, host, self.port)
        return found

    def reaches(self, ip: str) -> bool:
        """Whether packets can leave from here to `ip`, judged by address family only."""
        return family_of(ip) == family_of(self.local[0])

    def _somewhere(self) -> str:
        return _SOMEWHERE[self.family]

    def __repr__(self) -> str:
        return f"<listener {self.transport.decode().lower()} {host_port(*self.local).decode()}>"
