"""The media relay beside bare sockets and beside rtpengine: CPU per packet, packets per core, added delay.

    python benchmarks/relay.py [--seconds 3] [--rounds 3] [--without-rtpengine]

Each server is a process of its own on loopback and forwards the same traffic: 1100-byte RTP packets, 25 bursts (frames)
a second of nine packets each, 2 Mbit/s per stream. With more receivers there are fewer streams, so that the copies per
second stay the same. CPU is what the kernel accounts to the server's threads; on loopback that includes the delivery
to the receiver's socket. Delay is measured by the kernel's time of arrival, that of a direct datagram subtracted.

`paced` is traffic as it comes; for `full` the sender keeps a hundred packets under way, and packets per core are those
forwarded per CPU second. rtpengine runs in userspace (no kernel table); its first receiver is the other side of the
call, further ones subscribe to the caller. Install Debian's package rtpengine-daemon to have it measured. Figures are
medians of the rounds; the ratios at the end are what to compare between machines.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

HOME = "127.0.0.1"
CORES = sorted(os.sched_getaffinity(0))
_SIZE = 1100
_FRAMES = 25
_BURST = 9
_STREAMS = 20  # with one receiver
_WINDOW = 100
_HEADER = struct.Struct("!BBHIIQ")  # RTP, then the time of sending in ns
_SO_TIMESTAMPNS = 35
_PREVIEW_DEVICES = 10
_PREVIEW_LIMIT = 0.1  # of one core


# -- servers: each prints the ports that callers send to, as JSON, then forwards until its input ends -------------


async def serve_flexipy(plan: list[list[int]]) -> list[int]:
    """`plan`: for each stream the caller's port and those of the receivers."""
    from flexipy.media.relay import Expected, MediaRelay, RelayOptions

    relay = MediaRelay(RelayOptions())
    ports = []
    for caller, *receivers in plan:
        call = relay.open("bench")
        sides = [call.caller(0, HOME), *(call.branch(port, 0, HOME) for port in receivers)]
        for leg, port in zip(sides, (caller, *receivers), strict=True):
            leg.expect(Expected(HOME, port, HOME, port + 1, False, frozenset({96}), False, HOME, kind="video"))
        for port in receivers:
            call.answered(port)
        ports.append(sides[0].port)
    return ports


async def serve_bare(plan: list[list[int]]) -> list[int]:
    """The least that a relay in Python can do: a reader per caller, a `sendto` per receiver."""
    loop = asyncio.get_running_loop()
    ports = []
    for _, *receivers in plan:
        sockets = [bound() for _ in range(len(receivers) + 1)]
        routes = [(sock.sendto, (HOME, port)) for sock, port in zip(sockets[1:], receivers, strict=True)]

        def forward(recvfrom: Any = sockets[0].recvfrom, routes: Any = routes) -> None:
            packet, _ = recvfrom(65535)
            for sendto, address in routes:
                sendto(packet, address)

        loop.add_reader(sockets[0], forward)
        ports.append(sockets[0].getsockname()[1])
    return ports


async def serve(kind: str) -> None:
    plan = json.loads(sys.stdin.readline())
    ports = await (serve_flexipy if kind == "flexipy" else serve_bare)(plan)
    print(json.dumps(ports), flush=True)
    end = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, end.set)
    await end.wait()


@contextlib.contextmanager
def own_server(kind: str, plan: list[list[int]]) -> Iterator[tuple[int, list[int]]]:
    command = [sys.executable, __file__, "--serve", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(plan), file=process.stdin, flush=True)
        yield process.pid, json.loads(process.stdout.readline())
        process.stdin.close()


# -- rtpengine: its ng protocol is a cookie and a bencoded dictionary in a datagram ------------------------------


def bencode(value: Any) -> bytes:
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"


def sdp(port: int, direction: str = "sendrecv") -> str:
    return (
        f"v=0\r\no=- 1 1 IN IP4 {HOME}\r\ns=-\r\nc=IN IP4 {HOME}\r\nt=0 0\r\n"
        f"m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na={direction}\r\n"
    )


class Engine:
    """The control socket of an rtpengine."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((HOME, port))
        self._socket.settimeout(0.2)
        self._cookie = 0

    def ask(self, **command: Any) -> bytes:
        self._cookie += 1
        for _ in range(50):
            with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                self._socket.send(b"%d " % self._cookie + bencode(command))
                return self._socket.recv(65535)
            time.sleep(0.1)
        raise RuntimeError("rtpengine does not answer")

    def relay(self, call: str, caller: int, receiver: int, *subscribers: int) -> int:
        """Set up a call and copies for subscribers; returns the port that the caller sends to."""
        names = {"call-id": call, "from-tag": "a", "replace": ["origin"], "ICE": "remove"}
        self.ask(command="offer", sdp=sdp(caller), **names)
        answer = self.ask(command="answer", sdp=sdp(receiver), **names | {"to-tag": "b"})
        for place, subscriber in enumerate(subscribers):
            who = {"call-id": call, "from-tag": "a", "to-tag": f"s{place}"}
            self.ask(command="subscribe request", **who)
            done = self.ask(command="subscribe answer", sdp=sdp(subscriber, "recvonly"), **who)
            if b"6:result2:ok" not in done:
                raise RuntimeError(f"rtpengine refuses a subscriber: {done!r}")
        return int(answer.partition(b"m=video ")[2].split()[0])


@contextlib.contextmanager
def rtpengine(plan: list[list[int]]) -> Iterator[tuple[int, list[int]]]:
    control = bound()
    port = control.getsockname()[1]
    control.close()
    options = ["--foreground", "--table=-1", f"--interface={HOME}", f"--listen-ng={HOME}:{port}", "--log-level=2"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["rtpengine", "--config-file=none", "--log-stderr", *options], stdout=log, stderr=log
        )
        try:
            engine = Engine(port)
            yield process.pid, [engine.relay(f"c{at}", *ports) for at, ports in enumerate(plan)]
        finally:
            process.terminate()
            process.wait()


# -- traffic ---------------------------------------------------------------------------------------------------


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((HOME, 0))
    sock.setblocking(False)
    return sock


def keep_apart(pid: int) -> None:
    """The server on another core than the traffic, where there are two: else a burst waits for its sender."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {CORES[-1]})


def cpu_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


@dataclass
class Traffic:
    """The callers' and receivers' sockets."""

    callers: list[socket.socket]
    receivers: list[list[socket.socket]]
    sent: int = 0
    received: int = 0
    delays: list[int] = field(default_factory=list)
    _sequences: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sequences = [0] * len(self.callers)
        for sock in self._all_receivers():
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def _all_receivers(self) -> list[socket.socket]:
        return [sock for group in self.receivers for sock in group]

    def plan(self) -> list[list[int]]:
        sides = zip(self.callers, self.receivers, strict=True)
        return [[sock.getsockname()[1] for sock in (caller, *group)] for caller, group in sides]

    def send(self, stream: int, port: int) -> None:
        sequence = self._sequences[stream] = self._sequences[stream] + 1
        header = _HEADER.pack(0x80, 96, sequence & 0xFFFF, sequence // _BURST * 3600, stream + 1, time.time_ns())
        self.callers[stream].sendto(header + bytes(_SIZE - len(header)), (HOME, port))
        self.sent += 1

    def drain(self) -> None:
        for sock in self._all_receivers():
            with contextlib.suppress(BlockingIOError):
                while True:
                    packet, extra, _, _ = sock.recvmsg(2048, 64)
                    if len(packet) != _SIZE:
                        continue  # RTCP that the server made
                    self.received += 1
                    seconds, nanoseconds = struct.unpack("qq", extra[0][2])
                    sent_at = int.from_bytes(packet[12:20], "big")
                    self.delays.append(seconds * 10**9 + nanoseconds - sent_at)

    def paced(self, ports: list[int], seconds: float) -> None:
        """Frame after frame, the streams one after another within each 40 ms."""
        step = 1 / _FRAMES / len(ports)
        due = time.perf_counter()
        for turn in range(int(seconds / step)):
            due += step
            while (left := due - time.perf_counter()) > 0:
                self.drain()
                time.sleep(min(left, 0.001))
            for _ in range(_BURST):
                self.send(turn % len(ports), ports[turn % len(ports)])
        time.sleep(0.1)
        self.drain()

    def full(self, ports: list[int], seconds: float) -> None:
        """As many as the server takes, without loss."""
        copies = len(self.receivers[0])
        end = time.perf_counter() + seconds
        lost, turn = 0, 0
        while (now := time.perf_counter()) < end:
            while self.sent - self.received // copies - lost < _WINDOW:
                self.send(turn % len(ports), ports[turn % len(ports)])
                turn += 1
            before = self.received
            while self.received == before and time.perf_counter() < now + 0.2:
                self.drain()
            if self.received == before:
                lost = self.sent - self.received // copies
        time.sleep(0.1)
        self.drain()


@dataclass
class Result:
    packet: float  # CPU microseconds per received packet
    copy: float  # per forwarded copy
    per_core: float  # copies per CPU second at full load
    p50: float  # microseconds
    p99: float
    lost: float  # share


def quantile(values: list[int], share: float) -> float:
    return sorted(values)[int(len(values) * share)] / 1000 if values else 0.0


def traffic_of(receivers: int, streams: int = 0) -> Traffic:
    streams = streams or _STREAMS // receivers
    return Traffic([bound() for _ in range(streams)], [[bound() for _ in range(receivers)] for _ in range(streams)])


def measure(kind: str, receivers: int, seconds: float, floor: float, streams: int = 0) -> Result:
    traffic = traffic_of(receivers, streams)
    plan = traffic.plan()
    with rtpengine(plan) if kind == "rtpengine" else own_server(kind, plan) as (pid, ports):
        keep_apart(pid)
        traffic.paced(ports, 0.5)  # addresses are learnt, code is warm
        traffic.sent = traffic.received = 0
        traffic.delays.clear()
        before = cpu_seconds(pid)
        traffic.paced(ports, seconds)
        used = cpu_seconds(pid) - before
        sent, received, delays = traffic.sent, traffic.received, list(traffic.delays)
        before = cpu_seconds(pid)
        traffic.sent = traffic.received = 0
        traffic.full(ports, seconds)
        per_core = traffic.received / (cpu_seconds(pid) - before)
    return Result(
        packet=used / sent * 1e6,
        copy=used / max(received, 1) * 1e6,
        per_core=per_core,
        p50=quantile(delays, 0.5) - floor,
        p99=quantile(delays, 0.99) - floor,
        lost=1 - received / sent / receivers,
    )


def direct_delay() -> float:
    traffic = traffic_of(1)
    traffic.paced([group[0].getsockname()[1] for group in traffic.receivers], 1)
    return quantile(traffic.delays, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement (3)")
    parser.add_argument("--rounds", type=int, default=3, help="3")
    parser.add_argument("--without-rtpengine", action="store_true")
    parser.add_argument("--serve", choices=["flexipy", "bare"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(serve(arguments.serve))
        return
    os.sched_setaffinity(0, {CORES[0]})
    floor = direct_delay()
    print(f"a datagram without relay arrives after {floor:.0f} us; delays below are added to that")
    print(f"{'server':12}{'receivers':>10}{'us/packet':>11}{'us/copy':>9}{'copies/s/core':>15}", end="")
    print(f"{'p50 us':>8}{'p99 us':>8}{'lost':>8}")
    results: dict[tuple[str, int], Result] = {}
    runs = [(kind, receivers) for receivers in (1, 5, 20) for kind in ("bare", "flexipy")]
    if not arguments.without_rtpengine and shutil.which("rtpengine"):
        runs = [(kind, receivers) for receivers in (1, 5, 20) for kind in ("bare", "flexipy", "rtpengine")]
    rounds = [{run: measure(*run, arguments.seconds, floor) for run in runs} for _ in range(arguments.rounds)]
    for run in runs:
        result = results[run] = Result(*map(median, zip(*(astuple(done[run]) for done in rounds), strict=True)))
        print(f"{run[0]:12}{run[1]:10}{result.packet:11.2f}{result.copy:9.2f}{result.per_core:15,.0f}", end="")
        print(f"{result.p50:8.0f}{result.p99:8.0f}{result.lost:8.2%}", flush=True)
    compare(results)
    preview = [measure("flexipy", _PREVIEW_DEVICES, arguments.seconds, floor, 1) for _ in range(arguments.rounds)]
    share = median(result.packet for result in preview) * _FRAMES * _BURST / 1e6
    print(f"one 2 Mbit/s preview to {_PREVIEW_DEVICES} devices, measured alone: {share:.1%} of one core", end=" ")
    print(f"(limit {_PREVIEW_LIMIT:.0%}: {'met' if share < _PREVIEW_LIMIT else 'not met'})")


def compare(results: dict[tuple[str, int], Result]) -> None:
    for other in ("bare", "rtpengine"):
        for receivers in (1, 5, 20):
            theirs = results.get((other, receivers))
            if theirs is None:
                continue
            ours = results["flexipy", receivers]
            name = "bare sockets" if other == "bare" else other
            print(
                f"flexipy / {name}, {receivers:2} receivers: CPU per packet {ours.packet / theirs.packet:.2f}", end=", "
            )
            print(
                f"per copy {ours.copy / theirs.copy:.2f}, copies per core {ours.per_core / theirs.per_core:.2f}",
                end=", ",
            )
            print(f"delay p50 {ratio(ours.p50, theirs.p50)}, p99 {ratio(ours.p99, theirs.p99)}")


def ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}" if theirs > 0 else "-"


if __name__ == "__main__":
    main()
