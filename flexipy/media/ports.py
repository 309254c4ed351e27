"""Pairs of ports: RTP on an even one, RTCP on the next (RFC 3550 section 11).

The pairs of each local address lie in a queue, shuffled once. A pair that is freed goes to the end, hence is used
again after all others; a pair that somebody else holds goes there too.
"""

import errno
import random
import socket
from collections import deque
from dataclasses import dataclass

from flexipy.media.terms import RelayError
from flexipy.transport.addresses import family_of, normalize_ip
from flexipy.transport.udp import bind_udp

_TRIES = 100
"""Pairs looked at before giving up; each costs two system calls while everything else waits."""
_BUFFER = 512 * 1024
"""Bytes each way: half a second of 8 Mbit/s video while the process does something else."""
_MAX_LOCAL_ADDRESSES = 1024


@dataclass(frozen=True, slots=True, eq=False)
class PortPair:
    """Two bound sockets."""

    ip: str
    port: int
    rtp: socket.socket
    rtcp: socket.socket


class PortPool:
    """The pairs that are free, for each local address."""

    __slots__ = ("_free", "_held", "_pairs")

    def __init__(self, first: int, last: int) -> None:
        self._pairs = list(range(max(first, 1) + 1 & ~1, last, 2))
        random.shuffle(self._pairs)
        self._free: dict[str, deque[int]] = {}
        self._held: set[tuple[str, int]] = set()

    def holds(self, ip: str, port: int) -> bool:
        """Whether one of our sockets is bound there."""
        return (normalize_ip(ip) or ip, port & ~1) in self._held

    def bind(self, ip: str) -> PortPair:
        """Bind a pair.

        Args:
            ip: one of our own addresses, numeric.

        Raises:
            RelayError: "ports": none is free, the address is not ours, or the process has too many files open.

        """
        ip = normalize_ip(ip) or ip
        free = self._free.get(ip)
        if free is None:
            if len(self._free) >= _MAX_LOCAL_ADDRESSES:
                raise RelayError("ports", f"too many local addresses to relay media on: {ip} is one too many")
            # A start of its own: where one address is now tells nothing of another's ports.
            free = deque(self._pairs)
            free.rotate(random.randrange(len(free) or 1))
            self._free[ip] = free
        for _ in range(min(_TRIES, len(free))):
            port = free.popleft()
            try:
                pair = _bind_pair(ip, port)
            except OSError as error:
                free.append(port)
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    continue
                raise RelayError("ports", f"no media port on {ip}: {error.strerror or error}") from None
            self._held.add((ip, port))
            return pair
        raise RelayError("ports", f"no media port on {ip}: all that were tried are in use")

    def free(self, pair: PortPair) -> None:
        """Close both sockets; the pair is used again after all others."""
        pair.rtp.close()
        pair.rtcp.close()
        self._held.discard((pair.ip, pair.port))
        self._free[pair.ip].append(pair.port)


def _bind_pair(ip: str, port: int) -> PortPair:
    family = family_of(ip)
    rtp = bind_udp(family, (ip, port), _BUFFER, reuse_port=False)
    try:
        return PortPair(ip, port, rtp, bind_udp(family, (ip, port + 1), _BUFFER, reuse_port=False))
    except OSError:
        rtp.close()
        raise
