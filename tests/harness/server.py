"""flexipy as its users run it: a process of its own, on ports that the kernel chose, with state in a directory."""

from __future__ import annotations

import copy
import os
import re
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

import flexipy
from flexipy.sip.digest import compute_ha1
from tests.harness.certificates import Authority
from tests.harness.programs import Program

DOMAIN = "house.test"
SECOND_DOMAIN = "localhost"
"""Served as well, for clients that insist on resolving the domain they register with."""

ACCOUNTS = ("alice", "bob", "carol", "dave", "erin", "frank", "door", "screen")
LEAVES_WITHIN = 5.0  # seconds, whatever goes on

_ROOT = Path(__file__).resolve().parents[2]
_PYTHON = (sys.executable, "-X", "faulthandler", "-m")
_TRANSPORTS = {
    ("udp", "127.0.0.1"): "sip:127.0.0.1:{port};transport=udp",
    ("tcp", "127.0.0.1"): "sip:127.0.0.1:{port};transport=tcp",
    ("tls", "127.0.0.1"): "sips:127.0.0.1:{port}",
    # For clients that compare only names with a certificate; others would ask the DNS for this one.
    ("tls", "localhost"): "sips:localhost:{port};maddr=127.0.0.1",
    ("ws", "127.0.0.1"): "sip:127.0.0.1:{port};transport=ws",
    ("wss", "127.0.0.1"): "sips:localhost:{port};maddr=127.0.0.1;transport=wss",
    ("udp", "::1"): "sip:[::1]:{port};transport=udp",
    ("tcp", "::1"): "sip:[::1]:{port};transport=tcp",
    ("tls", "::1"): "sips:[::1]:{port}",
    ("ws", "::1"): "sip:[::1]:{port};transport=ws",
    ("wss", "::1"): "sips:[::1]:{port};transport=wss",
}
# FLEXIPY_TEST_WORKERS=3 has every story told to a server of three workers.
_WORKERS = os.environ.get("FLEXIPY_TEST_WORKERS", "1")
_LISTENING = r"listening on (\w+) \S+:(\d+)$"
_FAULT = re.compile(r"Traceback|Task exception was never retrieved|never awaited|Fatal Python error")


def password_of(user: str) -> str:
    """The password of an account of the tests."""
    return f"{user}-secret"


def password_file(users: Sequence[str] = ACCOUNTS, domains: Sequence[str] = (DOMAIN, SECOND_DOMAIN)) -> str:
    """A password file with hashes only, as it should be in a house."""
    lines = ["version:1"]
    for domain in domains:
        for user in users:
            md5 = compute_ha1("MD5", user, domain, password_of(user))
            sha256 = compute_ha1("SHA-256", user, domain, password_of(user))
            lines.append(f"{user}@{domain} md5:{md5} sha256:{sha256} ;")
    return "\n".join(lines) + "\n"


def python_path(packages: Sequence[Path] = ()) -> str:
    """Where Python finds flexipy, the very one that the test imported, and further packages."""
    return os.pathsep.join(map(str, (Path(flexipy.__file__).parents[1], _ROOT, *packages)))


class Server:
    """One server and its directory.

    Args:
        directory: for its configuration and its state.
        settings: parameters by section, on top of those of a small house.
        transports: the listening points to open, by transport and address.
        domain: that it serves; with another than the tests' usual one it is a house of its own.
        authority: another that signs its certificate, so that two servers trust each other.

    Attributes:
        domain: that it serves.
        ports: the real port of each listening point; they stay the same over a restart.
        authority: signed the server's certificate.
        packages: folders with packages that are to be installed beside flexipy.
        arguments: further ones for the command.
        configuration: the configuration file.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        transports: Sequence[tuple[str, str]] = tuple(_TRANSPORTS),
        domain: str = DOMAIN,
        authority: Authority | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.configuration = directory / "flexipy.conf"
        self.passwords = directory / "passwd"
        self.certificate = directory / "server.pem"
        self.domain = domain
        self.authority = authority or Authority(directory)
        self.authority.issue(self.certificate, ("localhost", domain))
        self._domains = (domain, SECOND_DOMAIN) if domain == DOMAIN else (domain,)
        self.passwords.write_text(password_file(domains=self._domains))
        self.ports: dict[tuple[str, str], int] = dict.fromkeys(transports, 0)
        self.packages: list[Path] = []
        self.arguments: list[str] = []
        self._points = ""
        self.program: Program | None = None
        self._checked = 0
        self._settings = self._defaults()
        self.write_configuration(settings)

    def _defaults(self) -> dict[str, dict[str, str]]:
        domains = " ".join(self._domains)
        return {
            "global": {
                "aliases": domains,
                "log-level": "debug",
                "control-socket": "control",
                "state-directory": "state",
                "workers": _WORKERS,
                "max-processing-delay": "0",  # that the machine has other work to do shall refuse no call
                "tls-certificates-file": self.certificate.name,
                "tls-certificates-private-key": self.certificate.name,
            },
            "module::Authentication": {
                "enabled": "true",
                "auth-domains": domains,
                "file-path": self.passwords.name,
            },
            "module::Registrar": {"reg-domains": domains},
        }

    def write_configuration(self, changes: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """Write the configuration file, with further changes; a running server learns of it by `reload`."""
        for section, values in (changes or {}).items():
            self._settings.setdefault(section, {}).update(values)
        settings = copy.deepcopy(self._settings)
        settings["global"].setdefault("transports", self._points)
        text = "\n".join(
            f"[{section}]\n" + "".join(f"{name}={value}\n" for name, value in values.items())
            for section, values in settings.items()
        )
        self.configuration.write_text(text)

    # --- life --------------------------------------------------------------------------------------------

    def start(self) -> Server:
        """Start it and wait until it is ready."""
        return self.launch().wait_ready()

    def launch(self) -> Server:
        """Start it."""
        self._points = " ".join(_TRANSPORTS[key].format(port=port) for key, port in self.ports.items())
        self.write_configuration()
        command = (*_PYTHON, "flexipy.cli.main", "--server", "proxy", "-c", str(self.configuration), *self.arguments)
        self.program = Program("flexipy", command, self.directory, {"PYTHONPATH": python_path(self.packages)})
        self._checked = 0
        return self

    def wait_ready(self) -> Server:
        """Wait until it listens everywhere."""
        program = self._running()
        for transport, host in self.ports:
            found = program.prints_now(_LISTENING)
            assert found[1] == transport, "listening points come up in the order of the configuration"
            self.ports[transport, host] = int(found[2])
        program.prints_now(r"INFO flexipy: ready$")
        return self

    def stop(self) -> float:
        """Tell it to leave; the seconds that it took, and nothing left to complain of in its log."""
        program = self._running()
        begun = time.monotonic()
        status = program.stop(timeout=LEAVES_WITHIN)
        took = time.monotonic() - begun
        self.check_log()
        assert status == 0, f"flexipy left with {status} after {took:.1f} s"
        self.program = None
        return took

    def kill9(self) -> None:
        """Take it away without a warning."""
        self._running().stop(signal.SIGKILL)
        self.program = None

    def restart(self) -> None:
        """Leave in order and start again on the same ports."""
        self.stop()
        self.start()

    def _running(self) -> Program:
        assert self.program is not None, "the server does not run"
        return self.program

    async def reload(self) -> list[str]:
        """Have it read its files anew (SIGHUP); the problems it logs about them, each once for all workers."""
        program = self._running()
        before = len(program.output.seen)
        program.process.send_signal(signal.SIGHUP)
        await self.all_log(r"INFO flexipy: reloaded")
        found = (line.partition("reload: ") for line in program.output.seen[before:])
        told = Counter(mark + problem for _, mark, problem in found if mark)
        return [problem for problem, count in told.items() for _ in range(ceil(count / self.workers))]

    def check_log(self) -> None:
        """Assert that nothing went wrong inside since the last look."""
        if self.program is None:
            return
        lines = self.program.output.seen[self._checked :]
        self._checked += len(lines)
        for index, line in enumerate(lines):
            if _FAULT.search(line):
                raise AssertionError("flexipy's log:\n" + "\n".join(lines[max(0, index - 2) : index + 40]))

    # --- talking to it -----------------------------------------------------------------------------------

    def port(self, transport: str, host: str = "127.0.0.1") -> int:
        """Where it listens."""
        return self.ports[transport, host]

    def uri(self, transport: str, host: str = "127.0.0.1") -> str:
        """The SIP URI that a phone is given as its proxy."""
        bracketed = f"[{host}]" if ":" in host else host
        return f"sip:{bracketed}:{self.port(transport, host)};transport={transport}"

    def cli(self, command: str) -> str:
        """The answer to a command on the control socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(os.path.relpath(self.directory / "control"))
            connection.sendall(command.encode() + b"\n")
            chunks = []
            while chunk := connection.recv(65536):
                chunks.append(chunk)
        return b"".join(chunks).decode().rstrip("\n")

    @property
    def workers(self) -> int:
        """How many processes share its work."""
        return int(self._settings["global"]["workers"])

    @property
    def processes(self) -> list[Path]:
        """What /proc tells of the processes that do its work."""
        first = self._running().process.pid
        found = [first] if self.workers == 1 else children(first)
        return [Path(f"/proc/{process}") for process in found]

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return sum(len(os.listdir(process / "fd")) for process in self.processes)

    @property
    def udp_ports(self) -> int:
        """How many UDP sockets it has open: connections come and go, these are its own and those of calls."""
        return sum(map(_udp_sockets, self.processes))

    @property
    def memory(self) -> int:
        """The memory that it really takes, in KiB."""
        texts = [(process / "status").read_text() for process in self.processes]
        return sum(int(text.partition("VmRSS:")[2].split()[0]) for text in texts)

    async def logs(self, pattern: str) -> re.Match[str]:
        """Wait for a line of the log; each counts once."""
        return await self._running().prints(pattern)

    async def all_log(self, pattern: str) -> None:
        """Wait for a line of the log of each worker."""
        for _ in range(self.workers):
            await self.logs(pattern)


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _udp_sockets(process: Path) -> int:
    tables = ((process / "net" / name).read_text().splitlines()[1:] for name in ("udp", "udp6"))
    sockets = {f"socket:[{line.split()[9]}]" for table in tables for line in table}
    return sum(_link(entry) in sockets for entry in (process / "fd").iterdir())


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:  # closed meanwhile
        return ""


def run_flexipy(*arguments: str, directory: Path, stdin: str = "") -> tuple[int, str]:
    """Run the `flexipy` command to its end; the exit status and all it printed."""
    return _run("flexipy.cli.main", arguments, directory, stdin)


def run_flexipy_cli(*arguments: str, directory: Path) -> tuple[int, str]:
    """Run the `flexipy-cli` command to its end; the exit status and all it printed."""
    return _run("flexipy.cli.control", arguments, directory, "")


def _run(module: str, arguments: Sequence[str], directory: Path, stdin: str) -> tuple[int, str]:
    program = Program(module, (*_PYTHON, module, *arguments), directory, {"PYTHONPATH": python_path()})
    assert program.process.stdin is not None
    program.process.stdin.write(stdin.encode())
    program.process.stdin.close()
    status = program.finish()
    return status, "\n".join(program.output.seen)
