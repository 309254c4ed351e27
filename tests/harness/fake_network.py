"""A proxy core on a network that exists only in memory: what tests of modules drive.

    proxy = FakeProxy([Redirect, Forward], ["module::Redirect/enabled=true", ...])
    await proxy.start()
    alice = proxy.client("203.0.113.5", 5060)
    alice.sends(request("OPTIONS", "sip:bob@example.net"))
    assert alice.last_response.status == 302

Nothing is awaited between a request and what follows from it, except where names must be looked up or connections
opened; `await proxy.settle()` lets that happen. Time stands still until `proxy.advance(seconds)`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flexipy.config.reader import read
from flexipy.config.sections import build_schema
from flexipy.proxy.agent import Agent, AgentOptions
from flexipy.proxy.module import Module, ModuleContext, overrides, section_of
from flexipy.proxy.order import in_order
from flexipy.proxy.pipeline import Pipeline
from flexipy.sip.message import Request, Response
from flexipy.sip.parsing import parse
from flexipy.transport import tokens
from flexipy.transport.errors import FlowError
from flexipy.transport.flow import Flow
from flexipy.transport.listener import Listener
from flexipy.transport.locality import Locality
from flexipy.transport.resolver import Resolver
from flexipy.transport.specs import parse_transport
from flexipy.transport.target import Target

PROXY_IP = "198.51.100.1"
DEFAULT_LISTENERS = ("sip:198.51.100.1:5060", "sips:198.51.100.1:5061")

_numbers = itertools.count(1)


class Clock:
    """Monotonic seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeFlow(Flow):
    """A flow that keeps what is sent on it.

    Attributes:
        sent: the bytes of each message sent, oldest first.
        refuses: set it and `send` fails.
    """

    __slots__ = ("network", "refuses", "sent")

    def __init__(self, network: FakeTransports, transport: bytes, listener: Listener | None) -> None:
        super().__init__(transport, listener)
        self.network = network
        self.sent: list[bytes] = []
        self.refuses = False

    def send(self, data: bytes) -> bool:
        if self.closed or self.refuses:
            return False
        self.sent.append(data)
        return True

    def at_port(self, port: int) -> Flow:
        return self if self.reliable else self.network.flow(self.transport, self.remote[0], port)

    def close(self) -> None:
        self.network.forget(self)
        self.mark_closed()

    # --- what a test does and asks ---

    def sends(self, message: bytes | str | Request | Response) -> None:
        """The remote end sends a message to the proxy."""
        data = message.encode() if isinstance(message, str) else bytes(message)
        self.network.agent.receive(data, self, self.network.clock())

    def messages(self) -> list[Request | Response]:
        return [parse(data) for data in self.sent]

    @property
    def responses(self) -> list[Response]:
        return [message for message in self.messages() if isinstance(message, Response)]

    @property
    def requests(self) -> list[Request]:
        return [message for message in self.messages() if isinstance(message, Request)]

    @property
    def last_response(self) -> Response:
        return self.responses[-1]

    @property
    def last_request(self) -> Request:
        return self.requests[-1]

    def answers(self, status: int, headers: Sequence[tuple[str, str]] = (), index: int = -1) -> Response:
        """The remote end answers a request that it got, the last one by default."""
        response = Response.to_request(self.requests[index], status, "", b"remote")
        for name, value in headers:
            response.append(name.lower().encode(), f"{name}: {value}".encode())
        self.sends(response)
        return response


class FakeTransports:
    """Stands for `flexipy.transport.transports.Transports`; every address is reachable unless told otherwise.

    Attributes:
        unreachable: addresses (ip, port) to which no connection can be opened.
    """

    agent: Agent

    def __init__(self, listeners: Sequence[str], clock: Clock) -> None:
        self.clock = clock
        self.listeners = [
            Listener(spec, (spec.host if spec.host != "*" else PROXY_IP, spec.port or 5060))
            for text in listeners
            for spec in parse_transport(text)
        ]
        self._locality = Locality(self.listeners)
        self._flows: dict[tuple[bytes, str, int], FakeFlow] = {}
        self._token_key = tokens.load_key("")
        self.unreachable: set[tuple[str, int]] = set()

    def flow(self, transport: bytes, ip: str, port: int) -> FakeFlow:
        found = self._flows.get((transport, ip, port))
        if found is None:
            listener = self._locality.listener_for(transport, ip)
            found = self._flows[transport, ip, port] = FakeFlow(self, transport, listener)
            local = listener.local if listener is not None else (PROXY_IP, 5060)
            found.locate(local, (ip, port))
        return found

    def forget(self, flow: FakeFlow) -> None:
        self._flows.pop((flow.transport, *flow.remote), None)

    @property
    def flows(self) -> list[FakeFlow]:
        return list(self._flows.values())

    def flow_for(self, target: Target) -> Flow | None:
        if target.transport == b"UDP":
            return self.flow(b"UDP", target.ip, target.port)
        return self._flows.get((target.transport, target.ip, target.port))

    def connect(self, target: Target) -> asyncio.Future[Flow]:
        future: asyncio.Future[Flow] = asyncio.get_running_loop().create_future()
        if target.transport not in (b"UDP", b"TCP", b"TLS") or (target.ip, target.port) in self.unreachable:
            future.set_exception(FlowError("refused"))
        else:
            future.set_result(self.flow(target.transport, target.ip, target.port))
        return future

    def flow_by_id(self, flow_id: int) -> Flow | None:
        return next((flow for flow in self._flows.values() if flow.id == flow_id), None)

    def flow_token(self, flow: Flow) -> bytes:
        return tokens.make_token(self._token_key, (flow.transport, flow.local, flow.remote))

    def flow_from_token(self, token: bytes) -> Flow | None:
        ends = tokens.read_token(self._token_key, token)
        return None if ends is None else self._flows.get((ends[0], *ends[2]))

    def is_local(self, host: str, port: int | None) -> bool:
        return self._locality.is_local(host, port)

    def listener_for(self, transport: bytes, ip: str) -> Listener | None:
        return self._locality.listener_for(transport, ip)


class FakeProxy:
    """An agent with modules and a fake network.

    Args:
        modules: module classes; they run in pipeline order whatever the order here.
        settings: `section/parameter=value`, as after `--set`.
        hosts: addresses by name; no other name resolves.
        listeners: `transports=` entries.
        state: state directory.
    """

    def __init__(
        self,
        modules: Sequence[type[Module]],
        settings: Sequence[str] = (),
        hosts: Mapping[str, Sequence[str]] | None = None,
        listeners: Sequence[str] = DEFAULT_LISTENERS,
        state: Path = Path("/nonexistent"),
        aliases: Sequence[str] = ("localhost",),
    ) -> None:
        self.clock = Clock()
        classes = in_order(modules)
        self.config, problems = read(None, build_schema(section_of(each) for each in classes), settings)
        assert not [problem for problem in problems if problem.is_error], [str(problem) for problem in problems]
        self.resolver = Resolver(hosts or {})
        options = AgentOptions(frozenset(aliases), 32.0, 1460, b"flexipy/test")
        self.agent = Agent(self.resolver, options, self.clock)
        self.network = FakeTransports(listeners, self.clock)
        self.network.agent = self.agent
        fake: Any = self.network
        self.agent.use(fake)
        self.modules: list[Module] = []
        steps = []
        for each in classes:
            module = each(ModuleContext(self.agent, each.name, self.config, state))
            self.modules.append(module)
            steps.append((module, module.context.values.expression("filter")))
        admissions = tuple(module.admit for module in self.modules if overrides(module, "admit"))
        self.agent.install(Pipeline(self.agent, steps), admissions)

    async def start(self) -> FakeProxy:
        for module in self.modules:
            module.provide()
        for module in self.modules:
            await module.start()
        return self

    async def stop(self) -> None:
        await self.agent.stop()
        for module in reversed(self.modules):
            await module.stop()

    def module(self, kind: type[Module]) -> Any:
        return next(module for module in self.modules if isinstance(module, kind))

    @property
    def counters(self) -> dict[str, int]:
        return self.agent.counters

    def client(self, ip: str = "203.0.113.5", port: int = 5060, transport: bytes = b"UDP") -> FakeFlow:
        """The flow to a remote: a test sends on it as that remote and looks at what it got."""
        return self.network.flow(transport, ip, port)

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps, transaction timers included."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(self.clock.now + 0.1, end)
            self.agent.timers.fire(self.clock.now)

    async def settle(self) -> None:
        """Let background work go on that waits for nothing but its turn."""
        for _ in range(10):
            await asyncio.sleep(0)


def request(
    method: str,
    uri: str,
    headers: Sequence[tuple[str, str]] = (),
    body: str = "",
    via: str = "SIP/2.0/UDP 203.0.113.5:5060;rport",
    sender: str = "<sip:alice@example.org>;tag=a1",
    to: str = "",
    call_id: str = "",
    cseq: int = 1,
) -> Request:
    """A plain request with a fresh branch; `headers` come last."""
    number = next(_numbers)
    return Request.build(
        method,
        uri,
        [
            ("Via", f"{via};branch=z9hG4bKtest{number}"),
            ("Max-Forwards", "70"),
            ("From", sender),
            ("To", to or f"<{uri.partition(';')[0]}>"),
            ("Call-ID", call_id or f"call{number}@example.org"),
            ("CSeq", f"{cseq} {method}"),
            *headers,
        ],
        body.encode(),
    )
