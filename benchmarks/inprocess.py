"""The proxy's own cost per registration and per call, in process and without sockets, in CPU microseconds.

    python benchmarks/inprocess.py [--limit-registration 60] [--limit-call 94] [--compiled] [--profile]

One registration is REGISTER, 401, REGISTER with digest, 200; one call is INVITE, 100, 180, 200, ACK, BYE, 200 through
the default modules but MediaRelay, authentication asked for REGISTER alone. What the kernel and the event loop cost is
left out, which makes the figure stable enough for a gate: with a limit given, the exit status is 1 when it is exceeded.

Machines differ, and a machine with other work is slower than itself: the limits are for one on which `yardstick`
takes 100 us, and grow with what it takes here, measured between the batches.
"""

from __future__ import annotations

import argparse
import asyncio
import email
import gc
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from flexipy.compilation import COMPILED, describe
from flexipy.config.reader import read
from flexipy.servers.discovery import full_schema
from flexipy.servers.proxy import ProxyServer
from flexipy.sip.digest import answer, compute_ha1, parse_challenge
from flexipy.transport.flow import Flow
from flexipy.transport.listener import Listener
from flexipy.transport.specs import parse_transport

_BATCH = 200
_YARDS = 20
CONFIGURATION = """
[global]
transports=sip:127.0.0.1:5060;transport=udp
# the event loop gets its turn between the batches only
max-processing-delay=0
[module::DoSProtection]
enabled=false
[module::MediaRelay]
enabled=false
[module::Authentication]
enabled=true
auth-domains=bench.test
file-path=passwd
filter=is_request && request.method-name == 'REGISTER'
[module::Registrar]
reg-domains=bench.test
"""


class RecordingFlow(Flow):
    """A flow that keeps what is sent instead of sending it."""

    __slots__ = ("sent",)

    def __init__(self, listener: Listener, remote: tuple[str, int]) -> None:
        super().__init__(b"UDP", listener)
        self.locate(("127.0.0.1", 5060), remote)
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> bool:
        self.sent.append(data)
        return True

    def take(self) -> list[bytes]:
        """What was sent since the last look."""
        taken, self.sent = self.sent, []
        return taken


class Bench:
    """A proxy whose network is two recording flows: a caller at port 20500, a callee at 20501."""

    def __init__(self, directory: Path, users: int) -> None:
        passwords = "".join(f"u{n:06d}@bench.test clrtxt:secret ;\n" for n in range(users))
        (directory / "passwd").write_text("version:1\n" + passwords)
        (directory / "flexisip.conf").write_text(CONFIGURATION)
        config, problems = read(directory / "flexisip.conf", full_schema())
        assert not [p for p in problems if p.is_error], problems
        self.server = ProxyServer(config)
        self.agent = self.server.agent
        listener = Listener(parse_transport("sip:127.0.0.1:5060;transport=udp")[0], ("127.0.0.1", 5060))
        self.caller = RecordingFlow(listener, ("127.0.0.1", 20500))
        self.callee = RecordingFlow(listener, ("127.0.0.1", 20501))
        self.users = users
        by_port = {20500: self.caller, 20501: self.callee}
        self.server.transports.flow_for = lambda target: by_port[target.port]  # type: ignore[method-assign]
        self.server.transports.is_local = lambda host, port: (host, port) == ("127.0.0.1", 5060)  # type: ignore[method-assign]

    async def start(self) -> None:
        for module in self.server.modules:
            module.provide()
        for module in self.server.modules:
            await module.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(50000, 50, 100)


def lines(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


REGISTER = """REGISTER sip:bench.test SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:20501;branch=z9hG4bK-77-{n}-{step};rport
Max-Forwards: 70
From: <sip:{user}@bench.test>;tag=77r{n}
To: <sip:{user}@bench.test>
Call-ID: {n}-77@127.0.0.1
CSeq: {step} REGISTER
{credentials}Contact: {contact}
Expires: 3600
Supported: replaces, outbound, gruu
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, MESSAGE
User-Agent: bench
Content-Length: 0

"""
SDP = """v=0
o=- 3884 3884 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 20900 RTP/AVP 0 8 96
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:96 telephone-event/8000
a=sendrecv
"""
INVITE = """INVITE sip:{user}@bench.test SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:20500;branch=z9hG4bK-88-{n}-1;rport
Max-Forwards: 70
From: <sip:caller@bench.test>;tag=88u{n}
To: <sip:{user}@bench.test>
Call-ID: {n}-88@127.0.0.1
CSeq: 1 INVITE
Contact: <sip:caller@127.0.0.1:20500;transport=udp>
Supported: replaces, outbound, gruu
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, MESSAGE
User-Agent: bench
Content-Type: application/sdp
Content-Length: {length}

"""
IN_DIALOG = """{method} {target} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:20500;branch=z9hG4bK-88-{n}-{step};rport
{routes}Max-Forwards: 70
From: <sip:caller@bench.test>;tag=88u{n}
To: <sip:{user}@bench.test>;tag=99
Call-ID: {n}-88@127.0.0.1
CSeq: {cseq} {method}
Content-Length: 0

"""


def contact(n: int, user: str, users: int) -> str:
    """A device of its own for each user."""
    instance = f"urn:uuid:5f3c0c1e-8a4d-4b8e-9d52-{n % users:012x}"
    return f'<sip:{user}@127.0.0.1:20501;transport=udp>;+sip.instance="<{instance}>"'


def yardstick() -> float:
    """Microseconds for reading a message with headers and writing it again by the standard library, in plain Python.

    It is as far-flung as the proxy's own code, so that what other work on the machine does to the processor's caches
    slows both down.
    """
    message = lines(REGISTER.format(n=1, step=1, user="u", contact="<sip:u@127.0.0.1>", credentials=""))
    _, _, head = message.partition(b"\r\n")
    began = time.process_time_ns()
    for _ in range(_YARDS):
        email.message_from_bytes(head).as_bytes()
    return (time.process_time_ns() - began) / _YARDS / 1000


def headers_of(message: bytes, name: bytes) -> list[bytes]:
    return [line for line in message.split(b"\r\n") if line.lower().startswith(name + b":")]


def answer_to(request: bytes, status: str, extra: bytes = b"", body: bytes = b"") -> bytes:
    copied: list[bytes] = []
    for name in (b"via", b"record-route", b"from", b"to", b"call-id", b"cseq"):
        found = headers_of(request, name)
        if name == b"to" and b"tag=" not in found[0]:
            found = [found[0] + b";tag=99"]
        copied += found
    head = b"\r\n".join([b"SIP/2.0 " + status.encode(), *copied]) + b"\r\n" + extra
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def play(bench: Bench, flow: RecordingFlow, messages: list[bytes]) -> float:
    """Feed messages one after the other; returns the CPU seconds the proxy took."""
    receive = bench.agent.receive
    began = time.process_time_ns()
    for message in messages:
        receive(message, flow, time.monotonic())
    return (time.process_time_ns() - began) / 1e9


def registrations(bench: Bench, numbers: range, ha1: dict[str, str]) -> float:
    """Play registrations side by side; returns the CPU seconds the proxy took."""
    users = [f"u{n % bench.users:06d}" for n in numbers]
    pairs = list(zip(numbers, users, strict=True))
    first = [
        REGISTER.format(n=n, step=1, user=user, contact=contact(n, user, bench.users), credentials="")
        for n, user in pairs
    ]
    spent = play(bench, bench.callee, [lines(text) for text in first])
    second = []
    for (n, user), reply in zip(pairs, bench.callee.take(), strict=True):
        challenge = parse_challenge(headers_of(reply, b"www-authenticate")[0].partition(b":")[2].strip())
        proof = answer(challenge, user, ha1[user], "REGISTER", "sip:bench.test", f"c{n}").decode()
        fields = {
            "n": n,
            "user": user,
            "contact": contact(n, user, bench.users),
            "credentials": f"Authorization: {proof}\n",
        }
        second.append(lines(REGISTER.format(step=2, **fields)))
    spent += play(bench, bench.callee, second)
    expect(bench.callee.take(), b"SIP/2.0 200", len(users))
    return spent


def calls(bench: Bench, numbers: range) -> float:
    """Play calls side by side; returns the CPU seconds the proxy took."""
    users = [f"u{n % bench.users:06d}" for n in numbers]
    pairs = list(zip(numbers, users, strict=True))
    sdp = lines(SDP)
    caller, callee = bench.caller, bench.callee
    first = [lines(INVITE.format(n=n, user=user, length=len(sdp))) + sdp for n, user in pairs]
    spent = play(bench, caller, first)
    invites = callee.take()
    contacts = [f"Contact: <sip:{user}@127.0.0.1:20501;transport=udp>\r\n".encode() for user in users]
    both = list(zip(invites, contacts, strict=True))
    spent += play(bench, callee, [answer_to(invite, "180 Ringing", contact) for invite, contact in both])
    expect(caller.take(), b"SIP/2.0 1", 2 * len(users))
    kind = b"Content-Type: application/sdp\r\n"
    spent += play(bench, callee, [answer_to(invite, "200 OK", contact + kind, sdp) for invite, contact in both])
    answered = caller.take()
    expect(answered, b"SIP/2.0 200", len(users))
    acks, byes = [], []
    for (n, user), ok in zip(pairs, answered, strict=True):
        recorded = reversed(headers_of(ok, b"record-route"))
        routes = "".join(f"Route:{line.decode().partition(':')[2]}\n" for line in recorded)
        fields = {"n": n, "user": user, "routes": routes, "target": f"sip:{user}@127.0.0.1:20501;transport=udp"}
        acks.append(lines(IN_DIALOG.format(method="ACK", step=2, cseq=1, **fields)))
        byes.append(lines(IN_DIALOG.format(method="BYE", step=3, cseq=2, **fields)))
    spent += play(bench, caller, acks)
    expect(callee.take(), b"ACK", len(users))
    spent += play(bench, caller, byes)
    spent += play(bench, callee, [answer_to(bye, "200 OK") for bye in callee.take()])
    expect(caller.take(), b"SIP/2.0 200", len(users))
    return spent


def expect(messages: list[bytes], start: bytes, count: int) -> None:
    """Fail unless there are so many messages, each beginning like that: a wrong answer is no cheap one."""
    assert len(messages) == count, (start, count, messages[:1])
    assert all(message.startswith(start) for message in messages), messages[0]


async def measure(count: int, users: int, profile: bool) -> tuple[float, float, float]:
    """Microseconds per registration and per call, and those of the yardstick: medians of batches."""
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), users)
        await bench.start()
        ha1 = {f"u{n:06d}": compute_ha1("MD5", f"u{n:06d}", "bench.test", "secret") for n in range(users)}
        registrations(bench, range(users), ha1)
        profiler = None
        if profile:
            import cProfile

            profiler = cProfile.Profile()
            profiler.enable()
        per_registration, per_call, yardsticks = [], [], []
        for part in range(0, count, _BATCH):
            numbers = range(users + part, users + part + _BATCH)
            per_registration.append(registrations(bench, numbers, ha1) / _BATCH)
            spent = calls(bench, numbers)
            began = time.process_time_ns()
            bench.agent.timers.fire(time.monotonic() + 3600)  # the transactions' end is part of their cost
            per_call.append((spent + (time.process_time_ns() - began) / 1e9) / _BATCH)
            yardsticks.append(yardstick())
            await asyncio.sleep(0)
        if profiler is not None:
            import pstats

            profiler.disable()
            pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
        await bench.server.stop(drain=0)
    return median(per_registration) * 1e6, median(per_call) * 1e6, median(yardsticks)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--limit-registration", type=float)
    parser.add_argument("--limit-call", type=float)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--compiled", action="store_true", help="measure nothing unless the code is compiled")
    options = parser.parse_args()
    if options.compiled and not COMPILED:
        print(f"not measured: {describe()}")
        return 0
    registration_us, call_us, yardstick_us = asyncio.run(measure(options.count, options.users, options.profile))
    scale = max(1.0, yardstick_us / 100)
    print(f"CPU in process, {describe()}; yardstick {yardstick_us:.0f} us")
    over = False
    for name, spent, limit in (
        ("registration", registration_us, options.limit_registration),
        ("call", call_us, options.limit_call),
    ):
        allowed = f"   at most {limit:g} x {scale:.2f} = {limit * scale:.1f}" if limit else ""
        over = over or bool(limit and spent > limit * scale)
        print(f"{name:12s} {spent:6.1f} us{allowed}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
