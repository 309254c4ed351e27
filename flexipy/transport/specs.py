"""Listening points as written in `[global] transports`: Flexisip's syntax, parsed once into values.

sip:*                                   UDP and TCP, every IPv4 interface, port 5060
sip:proxy.example.org:5060;maddr=10.0.0.1;transport=udp
sips:proxy.example.org:5061;tls-certificates-file=/etc/flexipy/cert.pem
sips:proxy.example.org:8443;transport=wss
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from flexipy.transport.errors import TransportSpecError

DEFAULT_PORTS = {b"UDP": 5060, b"TCP": 5060, b"TLS": 5061, b"WS": 80, b"WSS": 443}
SECURE_TRANSPORTS = frozenset({b"TLS", b"WSS"})

_PARAMETERS = frozenset(
    {
        "maddr",
        "transport",
        "network",
        "tls-certificates-dir",
        "tls-certificates-file",
        "tls-certificates-private-key",
        "tls-certificates-ca-file",
        "require-peer-certificate",
        "tls-verify-incoming",
        "tls-allow-missing-client-certificate",
        "tls-verify-outgoing",
    }
)
_SCHEMES: dict[str, dict[str, tuple[bytes, ...]]] = {
    "sip": {"": (b"UDP", b"TCP"), "udp": (b"UDP",), "tcp": (b"TCP",), "ws": (b"WS",)},
    "sips": {"": (b"TLS",), "tcp": (b"TLS",), "tls": (b"TLS",), "ws": (b"WSS",), "wss": (b"WSS",)},
    "ws": {"": (b"WS",), "ws": (b"WS",)},
    "wss": {"": (b"WSS",), "wss": (b"WSS",)},
}
_WILDCARDS = {"*": "0.0.0.0", "0.0.0.0": "0.0.0.0", "::": "::"}
_URI = re.compile(r"(?P<scheme>[a-zA-Z]+):(?P<host>\[[^\]]*\]|[^:;?\[\]@/]*)(?::(?P<port>\d{1,5}))?(?P<params>;.*)?")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class TransportSpec:
    """One listening point to be."""

    scheme: str
    transport: bytes
    """b"UDP", b"TCP", b"TLS", b"WS" or b"WSS"."""
    host: str
    """What we advertise: a name, an address without brackets, or "*" (the address of the interface used)."""
    port: int
    """0: chosen by the kernel."""
    bind: str
    """Where we listen: an address or name without brackets."""
    params: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[Network, ...] = ()
    """`network=`: destinations for which this listening point is preferred."""

    @property
    def is_wildcard(self) -> bool:
        """Whether it listens on all interfaces of its family."""
        return self.bind in {"0.0.0.0", "::"}

    def flag(self, name: str, default: bool) -> bool:
        """A parameter that is 0 or 1; `default` when absent."""
        value = self.params.get(name)
        return default if value is None else value in {"", "1", "true", "yes"}

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        transport = self.transport.decode().lower()
        return f"{self.scheme}:{host}:{self.port};transport={transport}"


def parse_transport(text: str) -> list[TransportSpec]:
    """Parse one entry of `transports`.

    Args:
        text: a SIP URI in Flexisip's syntax.

    Returns:
        One spec per transport protocol (`sip:` without `transport` gives UDP and TCP).

    Raises:
        TransportSpecError: the entry cannot be understood.

    """
    match = _URI.fullmatch(text.strip())
    if match is None or match["scheme"].lower() not in _SCHEMES:
        raise TransportSpecError(f"transport '{text}': expected sip:host[:port][;param=value...] or sips:...")
    scheme = match["scheme"].lower()
    params = _parse_params(text, match["params"] or "")
    transports = _transports(text, scheme, params.get("transport", "").lower())
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > 65535:
        raise TransportSpecError(f"transport '{text}': port {port} is above 65535")
    host = _parse_host(text, match["host"])
    maddr = params.get("maddr")
    bind = _WILDCARDS.get(host, host) if maddr is None else _parse_host(text, maddr)
    bind = _WILDCARDS.get(bind, bind)
    if host in _WILDCARDS:
        # A wildcard is never an address to advertise; with maddr= the bound address is.
        host = "*" if bind in {"0.0.0.0", "::"} else bind
    networks = _parse_networks(text, params.get("network", ""))
    return [
        TransportSpec(
            scheme=scheme,
            transport=transport,
            host=host,
            port=DEFAULT_PORTS[transport] if port is None else port,
            bind=bind,
            params=params,
            networks=networks,
        )
        for transport in transports
    ]


def _transports(text: str, scheme: str, name: str) -> tuple[bytes, ...]:
    found = _SCHEMES[scheme].get(name)
    if found is not None:
        return found
    if scheme == "sip" and name in {"tls", "wss"}:
        raise TransportSpecError(f"transport '{text}': transport={name} needs the 'sips' scheme")
    raise TransportSpecError(f"transport '{text}': transport={name} is not possible with '{scheme}:'")


def _parse_params(text: str, params: str) -> dict[str, str]:
    result: dict[str, str] = {}
    for item in params.split(";"):
        name, _, value = item.strip().partition("=")
        name = name.strip().lower()
        if not name:
            continue
        if name not in _PARAMETERS:
            raise TransportSpecError(f"transport '{text}': unknown parameter '{name}'")
        if name in result:
            raise TransportSpecError(f"transport '{text}': parameter '{name}' given twice")
        result[name] = value.strip()
    return result


def _parse_host(text: str, host: str) -> str:
    if host == "*":
        return host
    bare = host[1:-1] if host.startswith("[") else host
    if ":" in bare or host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(bare))
        except ValueError:
            raise TransportSpecError(f"transport '{text}': '{host}' is not an IPv6 address") from None
    if not _HOST_NAME.fullmatch(bare):
        raise TransportSpecError(f"transport '{text}': '{host}' is not a host name or address")
    return bare.lower()


def _parse_networks(text: str, value: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(item.strip(), strict=False) for item in value.split(",") if item.strip())
    except ValueError as error:
        raise TransportSpecError(f"transport '{text}': network: {error}") from None
