"""Whether listening points are free, to be known before several processes share them."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from flexipy.transport.accept import bind_stream
from flexipy.transport.addresses import family_of
from flexipy.transport.bind import address_of, explain
from flexipy.transport.errors import TransportError
from flexipy.transport.resolver import Resolver
from flexipy.transport.specs import TransportSpec
from flexipy.transport.udp import bind_udp

_BUFFER = 4096


async def places_of(specs: Sequence[TransportSpec], resolver: Resolver) -> list[tuple[str, int]]:
    """The address and port of each listening point, the latter chosen by the kernel where none is asked for.

    None is bound afterwards.

    Raises:
        TransportError: one of them is not possible.
    """
    places: list[tuple[str, int]] = []
    bound: dict[tuple[bytes, str, int], socket.socket] = {}
    chosen: dict[tuple[str, str], int] = {}  # entries without a port share one when they can, as in `Binder`
    try:
        for spec in specs:
            address = await address_of(spec, resolver)
            port = spec.port
            if not port or (spec.transport, address, port) not in bound:  # else a further name on a TLS port
                sock = _bind(spec, address, chosen.get((spec.host, address), 0))
                port = chosen[spec.host, address] = sock.getsockname()[1]
                bound[spec.transport, address, port] = sock
            places.append((address, port))
    finally:
        for sock in bound.values():
            sock.close()
    return places


def _bind(spec: TransportSpec, address: str, wished: int) -> socket.socket:
    try:
        try:
            return _bind_port(spec, address, spec.port or wished)
        except OSError:
            if spec.port or not wished:
                raise
            return _bind_port(spec, address, 0)
    except OSError as error:
        raise TransportError(f"cannot listen on {spec} ({address}): {explain(error)}") from error


def _bind_port(spec: TransportSpec, address: str, port: int) -> socket.socket:
    family = family_of(address)
    if spec.transport == b"UDP":
        return bind_udp(family, (address, port), _BUFFER, reuse_port=False)
    return bind_stream(family, (address, port), reuse_port=False)
