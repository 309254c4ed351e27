"""How long a server takes to answer while it is under load, seen from beside that load."""

from __future__ import annotations

import os
import socket
import threading
import time

from comparison.servers import DOMAIN

_EVERY_S = 0.01
_LATE_S = 1.0
_OPTIONS = (
    "OPTIONS sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-{label};rport\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:probe@{domain}>;tag=p\r\nTo: <sip:{domain}>\r\nCall-ID: {label}\r\n"
    "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


class Probe:
    """Asks a server for its capabilities a hundred times a second, one question after the other, from a thread.

    Attributes:
        delays: milliseconds to each answer; a second where none came.
    """

    def __init__(self, port: int) -> None:
        self.delays: list[float] = []
        self._port = port
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def percentile(self, share: float) -> float:
        """The delay that this share of the answers does not exceed."""
        delays = sorted(self.delays)
        return delays[min(len(delays) - 1, int(len(delays) * share))] if delays else 0.0

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self._port))
            number = 0
            while not self._ended.wait(_EVERY_S):
                number += 1
                self.delays.append(1000 * self._ask(sock, f"probe-{os.getpid()}-{id(self)}-{number}"))

    @staticmethod
    def _ask(sock: socket.socket, label: str) -> float:
        text = _OPTIONS.format(domain=DOMAIN, port=sock.getsockname()[1], label=label)
        began = time.monotonic()
        deadline = began + _LATE_S
        sock.send(text.encode())
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                if label.encode() in sock.recv(65535):
                    return time.monotonic() - began
            except TimeoutError:
                break
        return _LATE_S
