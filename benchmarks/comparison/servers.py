"""The two servers: how each is configured, started on a free loopback port, and stopped."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from comparison.accounting import Usage, read_usage

DOMAIN = "bench.test"
PASSWORD = "secret"
USERS = 10_000
_HERE = Path(__file__).resolve().parent.parent
_FLEXIPY = [sys.executable, "-P", "-m", "flexipy.cli.main"]  # not from the folder it starts in
_FLEXIPY_CONFIGURATION = """\
[global]
transports={transports}
workers={workers}
log-level=error
log-directory={directory}
state-directory={directory}/state
control-socket={directory}/control
{patience}
tls-certificates-file={directory}/tls/cert.pem
tls-certificates-private-key={directory}/tls/key.pem
# all the traffic comes from one address
max-connections-per-ip=100000
[module::DoSProtection]
enabled=false
[module::MediaRelay]
# Kamailio relays no media here
enabled=false
[module::Authentication]
enabled=true
auth-domains=bench.test
file-path={directory}/passwd
filter={filter}
[module::Registrar]
reg-domains=bench.test
"""
_URIS = {
    "udp": "sip:127.0.0.1:{port};transport=udp",
    "tcp": "sip:127.0.0.1:{port};transport=tcp",
    "tls": "sips:127.0.0.1:{port}",
}
_OPTIONS = """\
OPTIONS sip:bench.test SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-{number};rport
Max-Forwards: 70
From: <sip:probe@bench.test>;tag=p{number}
To: <sip:bench.test>
Call-ID: probe-{number}
CSeq: 1 OPTIONS
Content-Length: 0

"""


class ServerError(Exception):
    """A server that doesn't start, or not stay."""


def user(number: int) -> str:
    """The name of the nth account."""
    return f"u{number:06d}"


_given: deque[int] = deque(maxlen=2000)


def free_ports(count: int) -> list[int]:
    """UDP ports on loopback that nobody uses at the moment.

    None comes twice for a long time: many programs are started side by side, each a while after its ports were found,
    and two at the same port lose each other's messages.
    """
    ports: list[int] = []
    while len(ports) < count:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        if port not in _given:
            _given.append(port)
            ports.append(port)
    return ports


def free_port() -> int:
    """A port on loopback that is free for UDP and TCP; a connection that ended lately may occupy it, too."""
    while True:
        port = free_ports(1)[0]
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


class Server:
    """A running server.

    Attributes:
        name: of the program.
        port: where it listens.
        start_s: seconds from its start to its first answer.
    """

    def __init__(self, name: str, needs: Needs | None = None) -> None:
        self.name = name
        self.port = free_port()
        self._directory = tempfile.TemporaryDirectory(prefix=f"bench-{name}-", ignore_cleanup_errors=True)
        self.directory = Path(self._directory.name)
        self._log = (self.directory / "output").open("wb")
        variant = VARIANTS[name]
        needs = needs or Needs()
        if "tls" in needs.transports:
            make_certificate(self.directory / "tls")
        command = variant.command(self.directory, self.port, needs, variant.processes)
        began = time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=variant.environment()
        )
        try:
            self._await_answer(began + 10)
        except BaseException:
            self.stop()
            raise
        self.start_s = time.monotonic() - began

    def usage(self) -> Usage:
        """What its processes have used until now."""
        if self._process.poll() is not None:
            raise ServerError(f"{self.name} ended: {self.output()}")
        return read_usage(self._process.pid)

    def pin(self, core: int, first: bool) -> None:
        """Keep it to one processor core; perhaps before all else on the machine, together with whoever asks it."""
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
        if first:
            for process in (self._process.pid, 0):
                os.sched_setscheduler(process, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))

    @contextmanager
    def standing_still(self, after: float, seconds: float) -> Iterator[None]:
        """Stop it for a while, as a host does that has other things to do.

        Args:
            after: seconds from the beginning of the block.
            seconds: for how long.
        """
        signals = ((after, signal.SIGSTOP), (after + seconds, signal.SIGCONT))
        timers = [threading.Timer(when, self._process.send_signal, (which,)) for when, which in signals]
        for timer in timers:
            timer.start()
        try:
            yield
        finally:
            for timer in timers:
                timer.join()

    def output(self) -> str:
        """The end of what it printed."""
        return (self.directory / "output").read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """End it and remove its files."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._directory.cleanup()

    def _await_answer(self, deadline: float) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("127.0.0.1", self.port))
            probe.settimeout(0.005)
            number = os.getpid() * 1000
            while time.monotonic() < deadline:
                if self._process.poll() is not None:
                    raise ServerError(f"{self.name} does not start: {self.output()}")
                number += 1
                text = _OPTIONS.format(port=probe.getsockname()[1], number=number)
                try:
                    probe.send(text.replace("\n", "\r\n").encode())
                    if probe.recv(65535).startswith(b"SIP/2.0 "):
                        return
                except ConnectionRefusedError:
                    time.sleep(0.005)
                except TimeoutError:
                    continue
        raise ServerError(f"{self.name} answers nothing: {self.output()}")


def make_certificate(folder: Path) -> None:
    """One that both servers show, RSA with 2048 bits; whose it is nobody asks."""
    subprocess.run(
        [*_FLEXIPY, "certificate", "--self-signed", DOMAIN, "--output", str(folder)],
        stdout=subprocess.DEVNULL,
        check=True,
    )


def time_of_help() -> float:
    """Seconds that `flexipy --help` takes."""
    began = time.monotonic()
    subprocess.run([*_FLEXIPY, "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def _flexipy(directory: Path, port: int, needs: Needs, processes: int) -> list[str]:
    lines = ["version:1"]
    for name in ["caller", *map(user, range(needs.users))]:
        ha1 = hashlib.md5(f"{name}:{DOMAIN}:{PASSWORD}".encode()).hexdigest()
        lines.append(f"{name}@{DOMAIN} md5:{ha1} ;")
    (directory / "passwd").write_text("\n".join(lines) + "\n")
    transports = [_URIS[transport].format(port=port) for transport in needs.transports]
    methods = " || ".join(f"request.method-name == '{method}'" for method in needs.challenged)
    configuration = directory / "flexisip.conf"
    configuration.write_text(
        _FLEXIPY_CONFIGURATION.format(
            directory=directory,
            transports=" ".join(transports),
            workers=processes,
            patience="" if needs.refusals else "max-processing-delay=0",
            filter=f"is_request && ({methods})",
        )
    )
    return [*_FLEXIPY, "--server", "proxy", "-c", str(configuration)]


def _bare(_directory: Path, port: int, _needs: Needs, _processes: int) -> list[str]:
    return [sys.executable, str(_HERE / "bare.py"), str(port)]


def _kamailio(directory: Path, port: int, needs: Needs, processes: int) -> list[str]:
    # Debian's default allocator makes it 2 to 2.7 times slower: `fm` is what a fair comparison needs. The memory
    # holds the transactions of a few seconds, which stay that long after their end.
    command = ["kamailio", "-DD", "-E", "-x", "fm", "-X", "fm", "-m", "1024", "-M", "16", "-b", "4194304"]
    command += ["-f", str(_HERE / "kamailio.cfg"), "-n", str(processes)]
    command += [part for transport in needs.transports for part in ("-l", f"{transport}:127.0.0.1:{port}")]
    if needs.transports == ("udp",):
        command += ["-A", "WITHOUT_TCP"]
    if "tls" in needs.transports:
        command += ["-A", "WITH_TLS", "-A", f'CERTIFICATE="{directory}/tls/cert.pem"']
        command += ["-A", f'PRIVATE_KEY="{directory}/tls/key.pem"']
    if "INVITE" in needs.challenged:
        command += ["-A", "WITH_CALL_AUTH"]
    return [*command, "-Y", str(directory), "-P", str(directory / "pid")]


@dataclass(slots=True, frozen=True)
class Needs:
    """What a measurement asks of a server.

    Attributes:
        transports: to listen on.
        challenged: methods whose sender must prove who he is.
        users: how many accounts.
        refusals: whether it may refuse what is too much. Where the cost of something is measured, that the machine has
            other work to do, too, shall refuse nothing.
    """

    transports: tuple[str, ...] = ("udp",)
    challenged: tuple[str, ...] = ("REGISTER",)
    users: int = USERS
    refusals: bool = False


@dataclass(slots=True, frozen=True)
class Variant:
    """A server in one of its forms.

    Attributes:
        title: the head of its column.
        command: what starts it.
        processes: that share the work.
        path: where Python finds it; None for wherever this program found it.
    """

    title: str
    command: Callable[[Path, int, Needs, int], list[str]]
    processes: int = 1
    path: Path | None = None

    def environment(self) -> dict[str, str]:
        """For its process."""
        return dict(os.environ) if self.path is None else {**os.environ, "PYTHONPATH": str(self.path)}


_ROOT = _HERE.parent
_COMPILED = _ROOT / "build" / "compiled"
VARIANTS = {
    "flexipy": Variant("flexipy", _flexipy),
    "interpreted": Variant("interpreted", _flexipy, path=_ROOT),
    "compiled": Variant("compiled", _flexipy, path=_COMPILED),
    "workers": Variant("2 workers", _flexipy, 2, _COMPILED),
    "bare": Variant("bare sockets", _bare),
    "kamailio": Variant("Kamailio", _kamailio),
    "kamailio2": Variant("Kamailio x2", _kamailio, 2),
}
