"""A STUN server on a port of its own: `[stun-server]`.

Binding requests only (RFC 8489 section 6.3, and RFC 5389 and 3489 for older clients), without authentication. An
answer is never longer than its request but for the address that it is about, so that nobody can be flooded by way of
this server with more than a sender could send himself.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import zlib
from collections.abc import Sequence
from typing import Final

from flexipy.transport import stun
from flexipy.transport.addresses import family_of, normalize_ip
from flexipy.transport.errors import TransportError
from flexipy.transport.udp import SocketAddress, bind_udp

logger = logging.getLogger(__name__)

_MAPPED_ADDRESS: Final = 0x0001
_CHANGE_REQUEST: Final = 0x0003  # RFC 5780 section 7.2, RFC 3489 section 11.2.4
_SOFTWARE: Final = 0x8022
_FINGERPRINT: Final = 0x8028
_FINGERPRINT_MASK: Final = 0x5354554E  # RFC 8489 section 14.7
_FINGERPRINT_SIZE: Final = 8
_HEADER_SIZE: Final = 20
_LONGEST_REQUEST: Final = 1500
_DRAIN: Final = 64
"""Datagrams read per wake-up; more would keep telephones waiting."""
_BUFFER: Final = 128 * 1024
_WILDCARDS: Final = {"*": "0.0.0.0", "[::]": "::"}


def reply(datagram: bytes, remote: tuple[str, int], software: bytes = b"") -> bytes | None:
    """Answer a datagram that should be a binding request.

    Args:
        datagram: anything.
        remote: where it came from.
        software: what the server calls itself, where there is room for that.

    Returns:
        The response; None where none is due: no request, a broken one, a fingerprint that does not fit.

    Source: RFC 8489 sections 6.3.1 and 7, RFC 3489 section 8.1.

    """
    if len(datagram) < _HEADER_SIZE or len(datagram) > _LONGEST_REQUEST or not remote[1]:
        return None
    kind, length, cookie = struct.unpack_from("!HHI", datagram)
    if kind != stun.BINDING_REQUEST or length != len(datagram) - _HEADER_SIZE:
        return None
    attributes = stun.attributes(datagram[_HEADER_SIZE:])
    if attributes is None:
        return None
    classic = cookie != stun.MAGIC_COOKIE
    fingerprint = bool(attributes) and attributes[-1][0] == _FINGERPRINT
    if fingerprint and not _fingerprint_fits(datagram):
        return None
    unknown = [kind for kind, value in attributes if _is_unknown(kind, value)]
    if unknown:
        if classic and len(unknown) % 2:
            unknown.append(unknown[-1])  # RFC 3489 section 11.2.10: no padding, one stands there twice
        status, body = stun.BINDING_ERROR, stun.unknown_attributes(unknown, reason=b"")
    else:
        status, body = stun.BINDING_SUCCESS, _mapped(datagram, remote, classic)
        own = stun.attribute(_SOFTWARE, software)
        spent = _HEADER_SIZE + _FINGERPRINT_SIZE * fingerprint + len(own)
        if software and not classic and spent <= len(datagram):
            body += own
    if fingerprint:
        body += _fingerprint(status, datagram, body)
    # Cookie and transaction id go back as they came: to RFC 3489 both together are the transaction id.
    return struct.pack("!HH", status, len(body)) + datagram[4:_HEADER_SIZE] + body


def _is_unknown(kind: int, value: bytes) -> bool:
    if kind == _CHANGE_REQUEST and not any(value):
        return False  # asks for an answer from where the request went, as clients of RFC 3489 do each time
    return kind < stun.COMPREHENSION_OPTIONAL and kind not in stun.TOLERATED


def _mapped(datagram: bytes, remote: tuple[str, int], classic: bool) -> bytes:
    """The address: as it is for clients that know no XOR (RFC 8489 section 11)."""
    if classic:
        return stun.attribute(_MAPPED_ADDRESS, stun.address_value(remote, bytes(16)))
    return stun.attribute(stun.XOR_MAPPED_ADDRESS, stun.address_value(remote, datagram[4:_HEADER_SIZE]))


def _fingerprint_fits(datagram: bytes) -> bool:
    before = datagram[:-_FINGERPRINT_SIZE]
    return datagram[-_FINGERPRINT_SIZE:] == stun.attribute(_FINGERPRINT, _crc(before))


def _fingerprint(status: int, datagram: bytes, body: bytes) -> bytes:
    header = struct.pack("!HH", status, len(body) + _FINGERPRINT_SIZE) + datagram[4:_HEADER_SIZE]
    return stun.attribute(_FINGERPRINT, _crc(header + body))


def _crc(message: bytes) -> bytes:
    """Of a message up to the attribute, its length counting the attribute already (RFC 8489 section 14.7)."""
    return struct.pack("!I", zlib.crc32(message) ^ _FINGERPRINT_MASK)


class StunServer:
    """Answers on one UDP port of one or more addresses.

    Args:
        addresses: to listen on; `*` for all of IPv4, `[::]` or `::` for all of IPv6.
        port: to listen on; 0 for any that is free.
        software: what it calls itself.
        counters: `stun_server_answers` and `stun_server_dropped` are counted there.
    """

    def __init__(self, addresses: Sequence[str], port: int, software: bytes, counters: dict[str, int]) -> None:
        self._addresses = [_WILDCARDS.get(text, text) for text in addresses]
        self._port = port
        self._software = software
        self._counters = counters
        self._sockets: list[socket.socket] = []

    @property
    def local(self) -> list[tuple[str, int]]:
        """Where it listens."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    async def start(self) -> None:
        """Listen.

        Raises:
            TransportError: it cannot; nothing is left open.
        """
        loop = asyncio.get_running_loop()
        for text in self._addresses:
            try:
                self._sockets.append(self._bind(text))
            except OSError as error:
                await self.stop()
                reason = error.strerror or str(error)
                raise TransportError(f"[stun-server] cannot listen on {text}, port {self._port}: {reason}") from error
        for sock in self._sockets:
            loop.add_reader(sock.fileno(), self._on_readable, sock)
            logger.info("STUN server on %s port %d", *sock.getsockname()[:2])

    def _bind(self, text: str) -> socket.socket:
        address = normalize_ip(text)
        if address is None:
            raise OSError(f"'{text}' is no IP address")
        return bind_udp(family_of(address), (address, self._port), _BUFFER, reuse_port=False)

    async def stop(self) -> None:
        """Stop listening."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()

    def _on_readable(self, sock: socket.socket) -> None:
        for _ in range(_DRAIN):
            try:
                data, address = sock.recvfrom(_LONGEST_REQUEST + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP answer to an earlier response
                continue
            self._answer(sock, data, address)

    def _answer(self, sock: socket.socket, data: bytes, address: SocketAddress) -> None:
        response = reply(data, (address[0].partition("%")[0], address[1]), self._software)
        if response is None:
            self._counters["stun_server_dropped"] += 1
            return
        try:
            sock.sendto(response, address)
        except OSError as error:  # a full buffer too: the client asks again
            logger.debug("STUN response to %s not sent: %s", address, error)
            return
        self._counters["stun_server_answers"] += 1
