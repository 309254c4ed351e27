"""STUN binding requests on a SIP port, as clients send them to keep a NAT binding open and to see it move.

Sans-IO: a datagram in, the answer out. Only what RFC 5626 section 8 asks of a server; no authentication.
"""

import ipaddress
import struct

MAGIC_COOKIE = 0x2112A442  # RFC 8489 section 5
_HEADER = struct.Struct("!HHI12s")
_BINDING_REQUEST = 0x0001
_BINDING_SUCCESS = 0x0101
_BINDING_ERROR = 0x0111
_XOR_MAPPED_ADDRESS = 0x0020
_ERROR_CODE = 0x0009
_UNKNOWN_ATTRIBUTES = 0x000A
# Comprehension-required attributes (below 0x8000) that a server without authentication may pass over:
# USERNAME, MESSAGE-INTEGRITY, REALM, NONCE, MESSAGE-INTEGRITY-SHA256, PRIORITY, USE-CANDIDATE.
_TOLERATED = frozenset({0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x0024, 0x0025})


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
    if kind != _BINDING_REQUEST:
        return None
    attributes = _attribute_types(datagram[_HEADER.size : _HEADER.size + length])
    if attributes is None:
        return None
    unknown = [kind for kind in attributes if kind < 0x8000 and kind not in _TOLERATED]
    if unknown:
        return _unknown_attributes(transaction, unknown)
    value = _xor_mapped(transaction, remote)
    body = struct.pack("!HH", _XOR_MAPPED_ADDRESS, len(value)) + value
    return _HEADER.pack(_BINDING_SUCCESS, len(body), MAGIC_COOKIE, transaction) + body


def _attribute_types(body: bytes) -> list[int] | None:
    types: list[int] = []
    position = 0
    while position + 4 <= len(body):
        kind, size = struct.unpack_from("!HH", body, position)
        position += 4 + (size + 3 & ~3)
        types.append(kind)
    return types if position == len(body) else None


def _xor_mapped(transaction: bytes, remote: tuple[str, int]) -> bytes:
    address = ipaddress.ip_address(remote[0])
    key = MAGIC_COOKIE.to_bytes(4, "big") + transaction
    mixed = bytes(a ^ b for a, b in zip(address.packed, key, strict=False))
    family = 1 if address.version == 4 else 2
    return struct.pack("!BBH", 0, family, remote[1] ^ MAGIC_COOKIE >> 16) + mixed


def _unknown_attributes(transaction: bytes, types: list[int]) -> bytes:
    """RFC 8489 section 6.3.1: 420 with the list of what was not understood."""
    reason = struct.pack("!HBB", 0, 4, 20) + b"Unknown Attribute"
    listed = struct.pack(f"!{len(types)}H", *types)
    body = b""
    for kind, value in ((_ERROR_CODE, reason), (_UNKNOWN_ATTRIBUTES, listed)):
        body += struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
    return _HEADER.pack(_BINDING_ERROR, len(body), MAGIC_COOKIE, transaction) + body
