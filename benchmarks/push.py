"""What pushes cost the signalling: delay of registrations while messages for sleeping phones come in.

    python benchmarks/push.py [--messages 10000] [--rate 1000] [--pin] [RUN ...]

A server of its own on loopback gets messages for one phone with push parameters; beside them a registration is sent
every ten milliseconds, and the time until its 200 is measured. Four runs: without the messages' pushes, with a push
service that takes them at once, with one that never answers, and with one that cannot be reached. The last two leave
every push in the queue, which holds as many as there are messages. After the messages the registrations go on alone,
beside all the pushes that are in flight: those figures stand behind "then". Processor time is that of the server's
process alone, memory the resident sizes of the server and of the process that sends pushes, at the end.

With --first nothing else on the machine, the push service and the process that sends among it, delays the server or the
measuring: what is left is what the server does to itself. With --pin the server and the process that sends share one
processor; the push service and the load are on another, so that what they cost is not taken for the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Final, cast

from tests.harness.programs import Program
from tests.harness.server import DOMAIN, Server, python_path

_HOME: Final = "127.0.0.1"
_PUSH: Final = f"pn-provider=apns;pn-param=TEAM123456.org.house;pn-prid={'b2' * 32}"
_RUNS: Final = ("no-pushes", "taken", "silent", "unreachable")
_SERVERS_CORE: Final = 0
_OTHERS_CORE: Final = 1
_PROBES: Final = 0.01  # seconds between two registrations
_PROBES_AFTERWARDS: Final = 1000


class Client(asyncio.DatagramProtocol):
    """Sends, answers messages, and notes when the answers to its registrations come."""

    def __init__(self) -> None:
        self.sent_at: dict[str, float] = {}
        self.delays: list[float] = []
        self.number = 0
        self.answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data.startswith(b"MESSAGE"):
            head = [line for line in data.split(b"\r\n") if line[:4] in (b"Via:", b"From", b"To: ", b"Call", b"CSeq")]
            self.transport.sendto(b"\r\n".join([b"SIP/2.0 200 OK", *head, b"Content-Length: 0", b"", b""]))
            return
        call_id = data.partition(b"Call-ID: ")[2].partition(b"\r\n")[0].decode()
        begun = self.sent_at.pop(call_id, None)
        if begun is not None and data.startswith(b"SIP/2.0 2"):
            self.delays.append(time.perf_counter() - begun)
        elif data.startswith(b"SIP/2.0 2"):
            self.answered += 1

    def send(self, method: str, user: str, *headers: str) -> str:
        self.number += 1
        call_id = f"{method.lower()}-{self.number}@bench"
        target = f"sip:{DOMAIN}" if method == "REGISTER" else f"sip:{user}@{DOMAIN}"
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/UDP {_HOME}:{self.port};rport;branch=z9hG4bK{self.number:x}",
            "Max-Forwards: 70",
            f"From: <sip:{user}@{DOMAIN}>;tag=1",
            f"To: <sip:{user}@{DOMAIN}>",
            f"Call-ID: {call_id}",
            f"CSeq: {self.number} {method}",
            *headers,
            "Content-Length: 0",
        ]
        self.transport.sendto(("\r\n".join(lines) + "\r\n\r\n").encode())
        return call_id

    def register(self, user: str, parameters: str = "") -> None:
        contact = f"Contact: <sip:{user}@{_HOME}:{self.port}{parameters}>"
        call_id = self.send("REGISTER", user, contact, "Expires: 600")
        self.sent_at[call_id] = time.perf_counter()


async def run(name: str, messages: int, rate: int, pinned: bool, first: bool) -> None:
    """One run."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        silent = ("--silent",) if name == "silent" else ()
        # A process of its own, lest its work be measured too.
        command = (sys.executable, "-m", "tests.harness.fake_apns", str(place / "apns"), *silent)
        apns = Program("apns", command, Path.cwd(), {"PYTHONPATH": python_path()})
        lines = [apns.prints_now("^(apple-certificate-dir|push-ca-file|apns-server)=(.+)$") for _ in range(3)]
        settings = {line[1]: line[2] for line in lines}
        if name == "unreachable":
            settings["apns-server"] = f"{_HOME}:9"
        settings |= {"enabled": "false" if name == "no-pushes" else "true", "max-queue-size": str(messages)}
        off = {"enabled": "false"}
        changes = {"module::Authentication": off, "module::DoSProtection": off, "module::PushNotification": settings}
        server = Server(place / "house", changes, [("udp", _HOME)]).launch()
        try:
            await asyncio.to_thread(server.wait_ready)
            if pinned:
                assert server.program is not None
                for process in (server.program.process.pid, *_children(server.program.process.pid)):
                    _pin(process, _SERVERS_CORE)
                _pin(apns.process.pid, _OTHERS_CORE)
            if first:
                assert server.program is not None
                for thread in Path(f"/proc/{server.program.process.pid}/task").iterdir():
                    _go_first(int(thread.name))
            await asyncio.to_thread(server.cli, "CONFIG_SET global/log-level error")
            await _measure(name, server, messages, rate)
        finally:
            assert server.program is not None
            server.program.stop()
            apns.stop()


async def _measure(name: str, server: Server, messages: int, rate: int) -> None:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_datagram_endpoint(Client, remote_addr=(_HOME, server.port("udp")))
    client.register("bob", f";{_PUSH}")
    await asyncio.sleep(6)  # until the phone no longer counts as just awake
    client.delays.clear()
    assert server.program is not None
    process = server.program.process.pid
    used = _processor_time(process)
    begun = loop.time()
    sent = 0
    next_probe = begun
    while sent < messages:
        now = loop.time()
        while sent < messages and sent < (now - begun) * rate:
            client.send("MESSAGE", "bob", "Content-Type: text/plain")
            sent += 1
        if now >= next_probe:
            client.register("alice")
            next_probe = now + _PROBES
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.5)
    during = _figures(client)
    used = (_processor_time(process) - used) / messages
    memory = " + ".join(f"{_resident(each):.0f}" for each in (process, *_children(process)))
    counters = json.loads(await asyncio.to_thread(server.cli, "COUNTERS"))
    taken = counters.get("push_apple_sent", 0)
    await _probe_only(client)
    print(f"{name:12} {during}, then {_figures(client)}", end="  ")
    print(f"{used * 1e6:5.0f} us/message  {client.answered:6} delivered  {taken:6} taken  {memory} MiB", flush=True)


async def _probe_only(client: Client) -> None:
    """Registrations alone, while what was to be pushed is in flight, or waits, or is done."""
    for _ in range(_PROBES_AFTERWARDS):
        client.register("alice")
        await asyncio.sleep(_PROBES)
    await asyncio.sleep(0.2)


def _figures(client: Client) -> str:
    """Of the registrations since the last call."""
    delays, client.delays = client.delays, []
    return f"p50 {median(delays) * 1000:5.2f} ms  p99 {quantiles(delays, n=100)[98] * 1000:6.2f} ms"


def _processor_time(process: int) -> float:
    """Seconds, of the process alone."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(process: int) -> float:
    """MiB."""
    return int(Path(f"/proc/{process}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


def _children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=1000, help="messages per second")
    parser.add_argument("--pin", action="store_true", help="the server on one core, everything else on another")
    parser.add_argument("--first", action="store_true", help="server and load before all other programs; for root")
    parser.add_argument("runs", nargs="*", default=_RUNS, help=f"some of: {', '.join(_RUNS)}")
    options = parser.parse_args()
    if options.pin:
        _pin(os.getpid(), _OTHERS_CORE)
    if options.first:
        _go_first(0)
    for name in options.runs:
        await run(name, options.messages, options.rate, options.pin, options.first)


def _go_first(process: int) -> None:
    os.sched_setscheduler(process, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def _pin(process: int, core: int) -> None:
    for thread in Path(f"/proc/{process}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


if __name__ == "__main__":
    asyncio.run(_main())
