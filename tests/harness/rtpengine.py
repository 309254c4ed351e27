"""A running rtpengine, in userspace, on loopback."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.harness.programs import Program, need


class Rtpengine:
    """One engine.

    Args:
        directory: for its files.
        first_port: of the hundred RTP ports it may use.

    Attributes:
        control: `host:port` of its ng control.
    """

    def __init__(self, directory: Path, first_port: int) -> None:
        need("rtpengine")
        self._directory = directory / f"rtpengine-{first_port}"
        self._directory.mkdir(parents=True)
        self._ports = first_port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.control = f"127.0.0.1:{probe.getsockname()[1]}"
        self.program: Program | None = None

    def start(self) -> Rtpengine:
        """Start it; it listens at once."""
        (self._directory / "empty.conf").write_text("[rtpengine]\n")
        options = ["--config-file", str(self._directory / "empty.conf"), "--foreground", "--log-stderr"]
        options += ["--table", "-1", "--interface", "127.0.0.1", "--listen-ng", self.control, "--log-level", "6"]
        options += ["--port-min", str(self._ports), "--port-max", str(self._ports + 99)]
        options += ["--pidfile", str(self._directory / "pid"), "--num-threads", "1"]
        self.program = Program("rtpengine", ["rtpengine", *options], self._directory)
        self.program.prints_now("Startup complete")
        return self

    def stop(self) -> None:
        """End it."""
        if self.program is not None:
            self.program.stop()

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.program is not None
        self.program.process.kill()
        self.program.finish()
