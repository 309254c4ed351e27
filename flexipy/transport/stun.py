"""STUN binding requests on a SIP port, as clients send them to keep a NAT binding open and to see it move.

Sans-IO: a datagram in, the answer out. Only what RFC 5626 section 8 asks of a server; no authentication. The server
on a port of its own, `stun_server.py`, is made of the same parts.
"""

import ipaddress
import struct

MAGIC_COOKIE = 0x2112A442  # RFC 8489 section 5
_HEADER = struct.Struct("!HHI12s")
BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101
BINDING_ERROR = 0x0111
XOR_MAPPED_ADDRESS = 0x0020
_ERROR_CODE = 0x0009
_UNKNOWN_ATTRIBUTES = 0x000A
COMPREHENSION_OPTIONAL = 0x8000
# Comprehension-required attributes (below COMPREHENSION_OPTIONAL) that a server without authentication may pass over:
# USERNAME, MESSAGE-INTEGRITY, REALM, NONCE, MESSAGE-INTEGRITY-SHA256, PRIORITY, USE-CANDIDATE.
TOLERATED = frozenset({0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x0024, 0x0025})


def is_stun(datagram: bytes) -> bool:
    """Whether a datagram has a STUN header: two zero bits, a length that fits, and the magic cookie."""
    if len(datagram) < _HEADER.size or datagram[0] > 1:
        return False
    _, length, cookie, _ = _HEADER.unpack_from(datagram)
    return bool(cookie == MAGIC_COOKIE and length % 4 == 0 and length + _HEADER.size <= len(datagram))


def answer(datagram: bytes, remote: tuple[str, int]) -> bytes | None:
    """Answer a binding request.

    Args:
        datagram: one for which `is_stun` holds.
        remote: source address and port of the request.

    Returns:
        The response, or None for anything but a well-formed binding request (indications, responses).

    Source: RFC 8489 sections 6.3.1 and 14.2.

    """
    kind, length, _, transaction = _HEADER.unpack_from(datagram)
    if kind != BINDING_REQUEST:
        return None
    found = attributes(datagram[_HEADER.size : _HEADER.size + length])
    if found is None:
        return None
    unknown = [kind for kind, _ in found if kind < COMPREHENSION_OPTIONAL and kind not in TOLERATED]
    if unknown:
        body = unknown_attributes(unknown)
        return _HEADER.pack(BINDING_ERROR, len(body), MAGIC_COOKIE, transaction) + body
    body = attribute(XOR_MAPPED_ADDRESS, address_value(remote, datagram[4 : _HEADER.size]))
    return _HEADER.pack(BINDING_SUCCESS, len(body), MAGIC_COOKIE, transaction) + body


def attributes(body: bytes) -> list[tuple[int, bytes]] | None:
    """Type and value of each attribute; None where the lengths do not add up."""
    found: list[tuple[int, bytes]] = []
    position = 0
    while position + 4 <= len(body):
        kind, size = struct.unpack_from("!HH", body, position)
        found.append((kind, body[position + 4 : position + 4 + size]))
        position += 4 + (size + 3 & ~3)
    return found if position == len(body) else None


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute as it is sent, padded (RFC 8489 section 14)."""
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def address_value(remote: tuple[str, int], key: bytes) -> bytes:
    """The value of an address attribute.

    Args:
        remote: address and port.
        key: 16 bytes to mix them with: cookie and transaction id for XOR-MAPPED-ADDRESS, zeros for MAPPED-ADDRESS.

    Source: RFC 8489 sections 14.1 and 14.2.

    """
    address = ipaddress.ip_address(remote[0])
    mixed = bytes(a ^ b for a, b in zip(address.packed, key, strict=False))
    family = 1 if address.version == 4 else 2
    return struct.pack("!BBH", 0, family, remote[1] ^ int.from_bytes(key[:2], "big")) + mixed


def unknown_attributes(types: list[int], reason: bytes = b"Unknown Attribute") -> bytes:
    """The body of the answer 420 with the list of what was not understood (RFC 8489 section 6.3.1)."""
    listed = struct.pack(f"!{len(types)}H", *types)
    error = struct.pack("!HBB", 0, 4, 20) + reason
    return attribute(_ERROR_CODE, error) + attribute(_UNKNOWN_ATTRIBUTES, listed)
