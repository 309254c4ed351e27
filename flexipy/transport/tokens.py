"""Flow tokens: the name of a flow that a client cannot forge (RFC 5626 section 5.2).

A token goes into the user part of our Path or Record-Route URI and comes back in a Route. It names the
transport and both addresses, so it leads to nothing once the connection is gone.
"""

import base64
import binascii
import contextlib
import hmac
import logging
import os
import secrets
import socket
import struct
from pathlib import Path

from flexipy.transport.addresses import family_of

_log = logging.getLogger(__name__)

_KEY_SIZE = 32
_MAC_SIZE = 10  # HMAC-SHA256-80
_TRANSPORTS = (b"UDP", b"TCP", b"TLS", b"WS", b"WSS")

Ends = tuple[bytes, tuple[str, int], tuple[str, int]]
"""Transport, local and remote address of a flow."""


def load_key(path: str) -> bytes:
    """Read the key of flow tokens, or make one.

    Args:
        path: file that keeps it (created with mode 0600), or "" for a key that lasts as long as the process.

    Returns:
        32 bytes. A file that cannot be read or written costs a warning, not the start.

    """
    if not path:
        return secrets.token_bytes(_KEY_SIZE)
    file = Path(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            key = file.read_bytes()
            if len(key) >= _KEY_SIZE:
                return key
            _log.warning("flow token key %s is too short, replaced", path)
            file.unlink()
        key = secrets.token_bytes(_KEY_SIZE)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(key)
    except FileExistsError:  # another worker was quicker
        return load_key(path)
    except OSError as error:
        _log.warning("flow token key %s: %s; using one that is lost at exit", path, error)
        return secrets.token_bytes(_KEY_SIZE)
    return key


def make_token(key: bytes, ends: Ends) -> bytes:
    """The token of a flow, base64url without padding (31 characters for IPv4)."""
    transport, local, remote = ends
    payload = bytes((_TRANSPORTS.index(transport),)) + _pack(local) + _pack(remote)
    return base64.urlsafe_b64encode(_mac(key, payload) + payload).rstrip(b"=")


def read_token(key: bytes, token: bytes) -> Ends | None:
    """The flow that a token names, or None if we did not make it."""
    try:
        raw = base64.b64decode(token + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    mac, payload = raw[:_MAC_SIZE], raw[_MAC_SIZE:]
    if not payload or not hmac.compare_digest(mac, _mac(key, payload)):
        return None
    middle = 1 + (len(payload) - 1) // 2  # both ends are of one family
    return _TRANSPORTS[payload[0]], _unpack(payload[1:middle]), _unpack(payload[middle:])


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, payload, "sha256")[:_MAC_SIZE]


def _pack(address: tuple[str, int]) -> bytes:
    return socket.inet_pton(family_of(address[0]), address[0]) + struct.pack("!H", address[1])


def _unpack(raw: bytes) -> tuple[str, int]:
    family = socket.AF_INET if len(raw) == 6 else socket.AF_INET6
    return socket.inet_ntop(family, raw[:-2]), int.from_bytes(raw[-2:], "big")
