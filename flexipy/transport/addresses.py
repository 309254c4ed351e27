"""Our own addresses: the one the kernel uses toward a remote, and all that the interfaces have.

Linux only where the kernel must be asked for the list of interfaces; elsewhere that list is the loopback.
"""

import contextlib
import fcntl
import logging
import socket
import struct
from pathlib import Path

_log = logging.getLogger(__name__)

_CACHE_LIMIT = 16384
_SIOCGIFCONF = 0x8912  # linux/sockios.h
_IFREQ_SIZE = 40 if struct.calcsize("P") == 8 else 32
_IFCONF_BUFFER = 512 * _IFREQ_SIZE
_DISCARD_PORT = 9  # a datagram socket is only connected, nothing is sent

_toward: dict[str, str] = {}


def normalize_ip(text: str) -> str | None:
    """The canonical text of an IP address (brackets taken off), or None if it is not one."""
    if text.startswith("["):
        text = text[1:-1]
    if ":" not in text:
        # inet_aton would also take "1" or "1.2"; those are not what a URI means by an address
        with contextlib.suppress(OSError, ValueError):  # ValueError: a zero byte, or no ASCII
            return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, text))
        return None
    with contextlib.suppress(OSError, ValueError):
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
    return None


def family_of(ip: str) -> socket.AddressFamily:
    """AF_INET6 when the address has a colon."""
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def bracketed(host: str) -> str:
    """A host as it stands in a URI or Via: IPv6 addresses get brackets."""
    return f"[{host}]" if ":" in host else host


def host_port(host: str, port: int) -> bytes:
    """`host:port` for a header."""
    return f"{bracketed(host)}:{port}".encode()


def local_address_toward(ip: str) -> str:
    """The source address that the kernel uses for packets to `ip`; cached until `forget_local_addresses`.

    Args:
        ip: numeric address, no brackets.

    Returns:
        An address of ours; the loopback address of that family when there is no route.

    """
    found = _toward.get(ip)
    if found is None:
        if len(_toward) >= _CACHE_LIMIT:
            for key in list(_toward)[: _CACHE_LIMIT // 2]:
                del _toward[key]
        found = _toward[ip] = _ask_kernel(ip)
    return found


def forget_local_addresses() -> None:
    """Ask the kernel again from now on: an interface has come, gone or changed its address."""
    _toward.clear()


def _ask_kernel(ip: str) -> str:
    family = family_of(ip)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((ip, _DISCARD_PORT))
            return str(probe.getsockname()[0])
    except OSError as error:
        _log.debug("no route to %s: %s", ip, error)
        return "::1" if family == socket.AF_INET6 else "127.0.0.1"


def interface_addresses() -> frozenset[str]:
    """All addresses of all interfaces, both families, canonical text."""
    return frozenset({"127.0.0.1", "::1"} | _ipv4_addresses() | _ipv6_addresses())


def _ipv4_addresses() -> set[str]:
    found: set[str] = set()
    buffer = bytearray(_IFCONF_BUFFER)
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # struct ifconf wants a pointer, hence the detour through the array module's buffer address
        import array

        names = array.array("B", buffer)
        address, _ = names.buffer_info()
        answer = fcntl.ioctl(sock.fileno(), _SIOCGIFCONF, struct.pack("iP", len(buffer), address))
        length = struct.unpack("iP", answer)[0]
        raw = names.tobytes()
        for start in range(0, length, _IFREQ_SIZE):
            found.add(socket.inet_ntoa(raw[start + 20 : start + 24]))
    return found


def _ipv6_addresses() -> set[str]:
    found: set[str] = set()
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            found.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line[:32])))
    return found
