"""From configured listening points to bound sockets."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Sequence

from flexipy.transport.accept import FlowFactory, StreamAcceptor, bind_stream
from flexipy.transport.addresses import family_of, normalize_ip
from flexipy.transport.connections import ConnectionTable
from flexipy.transport.context import TransportContext
from flexipy.transport.errors import TransportError
from flexipy.transport.resolver import Resolver
from flexipy.transport.specs import SECURE_TRANSPORTS, TransportSpec
from flexipy.transport.stream import StreamFlow
from flexipy.transport.tls import TlsIdentities
from flexipy.transport.udp import UdpSocket, bind_udp

Bound = UdpSocket | StreamAcceptor


class Binder:
    """Binds the listening points of one `Transports`, once.

    Args:
        given: sockets of the UDP ones, in their order, where somebody else has bound them.
    """

    def __init__(
        self,
        specs: Sequence[TransportSpec],
        context: TransportContext,
        table: ConnectionTable,
        tls: TlsIdentities,
        resolver: Resolver,
        given: Sequence[socket.socket] = (),
    ) -> None:
        self._specs = specs
        self._context = context
        self._table = table
        self._tls = tls
        self._resolver = resolver
        self._given = iter(given)
        self._shared: dict[tuple[bytes, str, int], StreamAcceptor] = {}
        self._ephemeral: dict[tuple[str, str], int] = {}
        """Ports the kernel chose: UDP and TCP of one entry with port 0 share one when they can."""

    async def bind_all(self) -> AsyncIterator[Bound]:
        """Yield each socket as soon as it is bound, so that the caller can close it if a later one fails.

        Raises:
            TransportError: with the listening point and the reason.

        """
        for spec in self._specs:
            address = await address_of(spec, self._resolver)
            shared = self._shared.get((spec.transport, address, spec.port))
            if shared is not None and spec.port:
                self._add_name(spec, shared)
                continue
            try:
                bound = self._bind(spec, address)
            except OSError as error:
                raise TransportError(f"cannot listen on {spec} ({address}): {explain(error)}") from error
            self._ephemeral[spec.host, address] = bound.listener.port
            if isinstance(bound, StreamAcceptor):
                self._shared[spec.transport, address, spec.port] = bound
            yield bound

    def _bind(self, spec: TransportSpec, address: str) -> Bound:
        wanted = spec.port or self._ephemeral.get((spec.host, address), 0)
        try:
            return self._bind_port(spec, address, wanted)
        except OSError:
            if spec.port or not wanted:
                raise
            return self._bind_port(spec, address, 0)

    def _bind_port(self, spec: TransportSpec, address: str, port: int) -> Bound:
        options = self._context.options
        family = family_of(address)
        if spec.transport == b"UDP":
            sock = next(self._given, None)
            if sock is None:
                sock = bind_udp(family, (address, port), options.udp_buffer_size, options.reuse_port)
            return UdpSocket(spec, sock, self._context)
        identity = self._tls.identity(spec) if spec.transport in SECURE_TRANSPORTS else None
        sock = bind_stream(family, (address, port), options.reuse_port)
        return StreamAcceptor(spec, sock, self._table, _factory(spec.transport), identity)

    def _add_name(self, spec: TransportSpec, acceptor: StreamAcceptor) -> None:
        """A second name on a TLS port: its certificate goes to clients that ask for that name (SNI)."""
        if spec.transport not in SECURE_TRANSPORTS:
            raise TransportError(f"{spec} is listed twice")
        self._tls.identity(acceptor.listener.spec).add_name(spec)
        acceptor.listener.names |= {spec.host}


async def address_of(spec: TransportSpec, resolver: Resolver) -> str:
    """The numeric address to bind; names are looked up as the system does.

    Raises:
        TransportError: a name without an address.

    """
    numeric = normalize_ip(spec.bind)
    if numeric is not None:
        return numeric
    known = resolver.static_addresses(spec.bind)
    if known:
        return known[0]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(spec.bind, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TransportError(f"cannot listen on {spec}: '{spec.bind}' has no address ({error})") from error
    return str(found[0][4][0])


def _factory(transport: bytes) -> FlowFactory:
    if transport in {b"WS", b"WSS"}:
        from flexipy.transport.websocket import WsFlow  # websockets is loaded only where it is spoken

        return WsFlow
    return StreamFlow


def explain(error: OSError) -> str:
    """Why an address cannot be bound."""
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{error.strerror}; add maddr= with an address of this host"
    return error.strerror or str(error)
