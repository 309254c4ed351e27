"""/etc/hosts, read again when it changes."""

import contextlib
import time
from pathlib import Path

from flexipy.transport.addresses import normalize_ip

_CHECK_INTERVAL = 10.0
_LOCALHOST = {"localhost": ["127.0.0.1", "::1"]}  # RFC 6761 section 6.3, whatever the file says


class HostsFile:
    """Names of a hosts(5) file."""

    __slots__ = ("_checked", "_mtime", "_names", "_path")

    def __init__(self, path: str = "/etc/hosts") -> None:
        self._path = Path(path)
        self._checked = float("-inf")
        self._mtime = -1
        self._names: dict[str, list[str]] = {}

    def addresses(self, name: str) -> list[str]:
        """Addresses of a lower-case name, in the order of the file."""
        now = time.monotonic()
        if now - self._checked >= _CHECK_INTERVAL:
            self._checked = now
            with contextlib.suppress(OSError):
                mtime = self._path.stat().st_mtime_ns
                if mtime != self._mtime:
                    self._mtime = mtime
                    self._names = parse_hosts(self._path.read_text(errors="replace"))
        return _LOCALHOST.get(name) or self._names.get(name, [])


def parse_hosts(text: str) -> dict[str, list[str]]:
    """Names and their addresses; lines that make no sense are passed over."""
    names: dict[str, list[str]] = {}
    for line in text.splitlines():
        fields = line.partition("#")[0].split()
        ip = normalize_ip(fields[0]) if fields else None
        if ip is None:
            continue
        for name in fields[1:]:
            known = names.setdefault(name.lower().rstrip("."), [])
            if ip not in known:
                known.append(ip)
    return names
