"""What to announce by multicast DNS: the listening points as DNS-SD services (RFC 6762, RFC 6763). Sans-IO."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from flexipy.transport.listener import Listener

# Those that are registered for SIP (RFC 3263 section 4.1, RFC 6763 section 7). There is none for WebSocket.
_TYPES: Final = {b"UDP": "_sip._udp.local.", b"TCP": "_sip._tcp.local.", b"TLS": "_sips._tcp.local."}
_LONGEST_LABEL: Final = 63  # bytes; RFC 1035 section 2.3.4
_ENDING: Final = "-sip"


@dataclass(frozen=True, slots=True)
class Service:
    """One service to be announced.

    Attributes:
        type: `_sip._udp.local.` and the like.
        instance: its name for people, without the type.
        host: name of the host in `.local.`, to which the addresses belong.
        port: where it listens.
        addresses: IP addresses, sorted.
    """

    type: str
    instance: str
    host: str
    port: int
    addresses: tuple[str, ...]


def services_of(listeners: Iterable[Listener], interfaces: Iterable[str], hostname: str) -> list[Service]:
    """The services that listening points stand for.

    Args:
        listeners: the listening points.
        interfaces: all addresses of the machine, for those that are open on each of them.
        hostname: of the machine; its first label names the services.

    Returns:
        One for each transport and port, those of both families together. Nothing that others cannot reach, unless
        there is nothing else: a machine without a network still announces itself to itself.
    """
    found: dict[tuple[str, int], set[str]] = {}
    everywhere = frozenset(interfaces)
    for listener in listeners:
        kind = _TYPES.get(listener.transport)
        if kind is not None:
            found.setdefault((kind, listener.port), set()).update(_addresses(listener, everywhere))
    if any(not _is_loopback(ip) for addresses in found.values() for ip in addresses):
        found = {key: {ip for ip in addresses if not _is_loopback(ip)} for key, addresses in found.items()}
    label = hostname.partition(".")[0] or "flexipy"
    hosts: dict[tuple[str, ...], str] = {}
    named: dict[str, int] = {}
    services: list[Service] = []
    for (kind, port), unsorted in found.items():
        addresses = tuple(sorted(unsorted))
        if not addresses:
            continue
        host = hosts.setdefault(addresses, _host(label, len(hosts)))
        named[kind] = named.get(kind, 0) + 1
        instance = _cut(label, "" if named[kind] == 1 else f" {port}")
        services.append(Service(kind, instance, host, port, addresses))
    return services


def addresses_of(services: Sequence[Service]) -> list[str]:
    """The addresses of all services, each once: where they are to be announced."""
    return sorted({address for service in services for address in service.addresses})


def _addresses(listener: Listener, everywhere: frozenset[str]) -> set[str]:
    if not listener.is_wildcard:
        return {listener.local[0]}
    # A link-local address means nothing without the interface, which a SIP URI cannot name (RFC 4007 section 11.2).
    return {ip for ip in everywhere if listener.reaches(ip) and not ipaddress.ip_address(ip).is_link_local}


def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip).is_loopback


def _host(label: str, number: int) -> str:
    """A name that nobody else on this machine announces: the system's own responder has `hostname.local`."""
    return f"{_cut(label, _ENDING if not number else f'{_ENDING}-{number + 1}')}.local."


def _cut(label: str, ending: str) -> str:
    room = _LONGEST_LABEL - len(ending.encode())
    return label.encode()[:room].decode("utf-8", "ignore") + ending
