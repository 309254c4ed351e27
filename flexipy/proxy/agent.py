"""The proxy core: takes messages from the transports, finds their transaction, or runs them through the pipeline."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flexipy.proxy import routing
from flexipy.proxy.egress import Egress
from flexipy.proxy.events import RequestEvent
from flexipy.proxy.fork.branch import Branch
from flexipy.proxy.fork.context import RINGING, TIMER_C, Relay
from flexipy.proxy.overload import is_refused, refusal
from flexipy.proxy.pipeline import Pipeline
from flexipy.proxy.refusals import Refusals
from flexipy.sip import names as H
from flexipy.sip.errors import HeaderError, ParseError, SipError
from flexipy.sip.message import Message, Request, Response
from flexipy.sip.octets import COMMA
from flexipy.sip.params import encode
from flexipy.sip.parsing import VersionError, parse
from flexipy.sip.searching import sent_by_of, value_of
from flexipy.sip.timers import TICK, Timers
from flexipy.sip.transaction import Durations, ServerTransaction, TransactionLayer
from flexipy.sip.transaction.layer import server_key
from flexipy.sip.uri import SipUri
from flexipy.sip.validation import check_request, check_response
from flexipy.transport.flow import Flow
from flexipy.transport.load import LoadMeter

if TYPE_CHECKING:
    from flexipy.transport.resolver import Resolver
    from flexipy.transport.transports import Transports

logger = logging.getLogger(__name__)
_OWN_CACHE_LIMIT: Final = 4096
_OWN_CACHED_SIZE: Final = 512
# An ACK needs no password: whoever sends them must not keep us busy with looking names up and opening connections.
_MOST_SLOW_ACKS: Final = 512


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What `[global]` says about the core."""

    aliases: frozenset[str] = frozenset()
    transaction_timeout: float = 32.0  # seconds
    udp_mtu: int = 1460  # bytes
    server_header: bytes = b""
    max_processing_delay: float = 0.0  # seconds, 0 for any
    overload_retry_after: float = 5.0  # seconds


class Agent:
    """The core of the proxy.

    Args:
        resolver: names to addresses.
        options: see `AgentOptions`.
        clock: monotonic seconds.

    Attributes:
        transports: where messages come from and go to; set by `use`.
        counters: numbers for operators, by name.
        services: what modules offer each other, by type.
        pipeline: the modules; set by `install`.
        load: whether more comes than can be dealt with.
        no_flow: stands for the source of requests that came by none; closed.
    """

    transports: Transports
    egress: Egress

    def __init__(self, resolver: Resolver, options: AgentOptions, clock: Callable[[], float]) -> None:
        self.resolver = resolver
        self.options = options
        self.clock = clock
        self.logger = logger
        self.counters: dict[str, int] = defaultdict(int)
        self.services: dict[type[Any], Any] = {}
        self.timers = Timers(self._start_ticking)
        self.layer = TransactionLayer(
            self.timers, Durations(timeout=options.transaction_timeout, d=options.transaction_timeout)
        )
        self.pipeline = Pipeline(self, ())
        self.load = LoadMeter(options.max_processing_delay)
        self._loop_lag = self.load.clock("loop")
        self._refusals = Refusals(self.layer, self.counters, options.overload_retry_after, options.server_header)
        self._tick_due = 0.0
        self._admissions: tuple[Callable[[Flow, float], bool], ...] = ()
        self._own: dict[bytes, tuple[bool, bytes]] = {}
        self.no_flow = Flow(b"UDP", None)
        self.no_flow.closed = True
        self._tasks: set[asyncio.Future[Any]] = set()
        self._stopping = False
        self._slow_acks = 0

    def use(self, transports: Transports) -> None:
        """Set the transports; they in turn call `receive`."""
        self.transports = transports
        self.egress = Egress(transports, self.resolver, self.options.udp_mtu)

    def install(self, pipeline: Pipeline, admissions: tuple[Callable[[Flow, float], bool], ...]) -> None:
        """Set the modules to run.

        Args:
            pipeline: the chain.
            admissions: the `admit` of each module that has one.
        """
        self.pipeline = pipeline
        self._admissions = admissions

    # --- messages in -------------------------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """One message's bytes from a flow. Never raises on what they hold."""
        if self.admits(flow, now):
            self.take(data, flow, now)

    def admits(self, flow: Flow, now: float) -> bool:
        """Whether what came on a flow is to be looked at."""
        for admit in self._admissions:
            if not admit(flow, now):
                self.counters["refused_by_limits"] += 1
                return False
        return True

    def take(self, data: bytes, flow: Flow, now: float) -> None:
        """Deal with one message's bytes from a flow that was admitted, perhaps by another worker."""
        level = self.load.level
        if level and self._refusals.deals_with(data, flow, level):
            return
        try:
            message = parse(data)
        except VersionError as other:
            self._reject_version(other.request, flow, now)
            return
        except ParseError as error:
            self.counters["unreadable_messages"] += 1
            logger.info("unreadable message from %s: %s", flow.remote, error)
            return
        if isinstance(message, Request):
            self._receive_request(message, flow, now)
        else:
            self._receive_response(message, now)

    def _receive_request(self, request: Request, flow: Flow, now: float) -> None:
        shape = request.shape
        index = shape.via
        if index < 0:
            self.counters["unreadable_messages"] += 1
            return
        method = request.method
        try:
            if COMMA in request.lines[index]:
                routing.split_top_via(request)
            via = value_of(request.lines[index])
            sent_by = sent_by_of(via)
            if not sent_by:
                raise HeaderError("bad Via")
            if method == b"CANCEL":
                key = server_key(request, via, sent_by, b"INVITE")
            else:
                key = server_key(request, via, sent_by, method)
                transaction = self.layer.servers.get(key)
                if transaction is not None:
                    if transaction.receive(request, now):
                        return
                elif (given := self.layer.given_answer(key)) is not None:
                    self._answer_again(request, index, via, flow, given)
                    return
            reply_port = routing.stamp_via(request, index, via, flow)
        except SipError as error:
            self.counters["unreadable_messages"] += 1
            logger.info("request without a usable Via from %s: %s", flow.remote, error)
            return
        event = RequestEvent(self, request, flow, key, now)
        if reply_port is not None:
            event.reply_port = reply_port
        if self.load.level and is_refused(request, self.load.level):
            self.counters["refused_by_overload"] += 1
            event.send_stateless(refusal(event.response(503), self.options.overload_retry_after))
            return
        try:
            check_request(request)
            if method == b"CANCEL":
                self._cancel(event, now)
                return
            if method == b"ACK" and self._acknowledges_us(request):
                return
            if shape.route >= 0:
                self._take_own_routes(event)
        except SipError as error:
            self.counters["invalid_requests"] += 1
            logger.info("%s: %r from %s refused: %s", request.label, request, flow.remote, error)
            event.reply(error.status, error.phrase())
            return
        self.pipeline.run(event)

    def _answer_again(self, request: Request, index: int, via: bytes, flow: Flow, given: bytes) -> None:
        """Repeat the answer to a request that came again."""
        reply_port = routing.stamp_via(request, index, via, flow)
        if reply_port is not None:
            flow = flow.at_port(reply_port)
        flow.send(given)

    def _acknowledges_us(self, request: Request) -> bool:
        """Whether an ACK is for an answer that we gave without a transaction: it carries the tag we made."""
        to = request.lines[request.shape.to]
        return to.find(b";tag=fx") >= 0 and to.find(b";tag=" + self.to_tag(request)) >= 0

    def _reject_version(self, request: Request, flow: Flow, now: float) -> None:
        if request.shape.via >= 0 and request.method != b"ACK":
            event = RequestEvent(self, request, flow, b"", now)
            event.send_stateless(event.response(505))

    def _cancel(self, event: RequestEvent, now: float) -> None:
        transaction = self.layer.servers.get(event.key)
        event.key += b" CANCEL"
        given = self.layer.given_answer(event.key)
        if given is not None:
            self.reply_flow(event).send(given)
            return
        if transaction is None or transaction.method != b"INVITE":
            event.reply(481)
            return
        event.reply(200)
        if transaction.answered:
            return
        if transaction.user is not None:
            transaction.user.on_cancel(transaction, event.request, now)
        elif transaction.request is not None:
            # A module still holds the INVITE: answer for it, and what it does later goes nowhere.
            request = transaction.request
            transaction.respond(Response.to_request(request, 487, "", self.to_tag(request)), now)

    def _receive_response(self, response: Response, now: float) -> None:
        if not check_response(response):
            self.counters["unreadable_messages"] += 1
            return
        via = response.lines[response.shape.via]
        if COMMA in via:
            via = via.partition(b",")[0]
        transaction = self.layer.match_response(response, via)
        if transaction is None:
            self.counters["stray_responses"] += 1
            return
        transaction.receive(response, now)

    # --- routes of our own -------------------------------------------------------------------------------

    def _take_own_routes(self, event: RequestEvent) -> None:
        """Take off the Routes that name us, and undo a strict router's swap (RFC 3261 section 16.4)."""
        request = event.request
        if self.is_own(request.uri_raw)[0] and request.uri_raw.find(b";lr") >= 0:
            last = request.get_all(H.ROUTE)[-1]
            routes = request.get_all(H.ROUTE)[:-1]
            request.uri_raw = last.partition(b"<")[2].partition(b">")[0] or last
            request.set_values(H.ROUTE, b"Route", routes)
        self.strip_own_routes(event)

    def strip_own_routes(self, event: RequestEvent) -> None:
        """Take off the topmost Routes that name us, noting the flow token of the last."""
        request = event.request
        while (route := routing.first_route(request)) is not None:
            own, token = self.is_own(route)
            if not own:
                return
            request.pop_first_value(H.ROUTE)
            if token and self.transports.flow_from_token(token) is not event.flow:
                event.route_token = token

    def is_own(self, uri_raw: bytes) -> tuple[bool, bytes]:
        """Whether a URI names this proxy (an address or alias of ours), and its user part."""
        found = self._own.get(uri_raw)
        if found is None:
            found = self._find_own(uri_raw)
            if len(uri_raw) <= _OWN_CACHED_SIZE:
                if len(self._own) >= _OWN_CACHE_LIMIT:
                    self._own.clear()
                self._own[uri_raw] = found
        return found

    def _find_own(self, uri_raw: bytes) -> tuple[bool, bytes]:
        try:
            uri = SipUri.parse(uri_raw)
        except SipError:
            return False, b""
        own = self.transports.is_local(uri.host, uri.port) or (
            uri.host in self.options.aliases and self.port_is_ours(uri.port)
        )
        return own, encode(uri.user or "") if own else b""

    def port_is_ours(self, port: int | None) -> bool:
        """Whether a URI's port is one that we listen on; a URI without a port counts."""
        return port is None or any(listener.port == port for listener in self.transports.listeners)

    # --- messages out ------------------------------------------------------------------------------------

    def event_for(self, request: Request, flow: Flow, now: float) -> RequestEvent:
        """An event for a request that is no longer, or was never, asked for by anybody on the wire.

        Its transaction has ended: answers to it go nowhere.
        """
        event = RequestEvent(self, request, flow, routing.new_branch(b"0"), now)
        event.server_transaction().terminate()
        return event

    def forward(self, event: RequestEvent, next_hop: SipUri | None) -> None:
        """Send an event's request on; see `RequestEvent.forward`."""
        request = event.request
        now = event.now
        try:
            if event.branch is not None and request.shape.route >= 0:
                self.strip_own_routes(event)  # a Path that leads through ourselves
            routing.decrement_max_forwards(request)
            mark = routing.loop_mark(event.received_uri, request)
            if routing.passed_here_before(request, mark):
                raise SipError("Loop Detected", 482)
            target = next_hop if next_hop is not None else routing.next_hop(request)
        except SipError as error:
            event.reply(error.status, str(error) if error.status != 416 else "")
            return
        if request.method == b"ACK":
            self._forward_ack(event, target, mark)
            return
        branch = event.branch
        if branch is None:
            relay = Relay(event)
            branch = Branch(relay)
            relay.branches.append(branch)
            if request.method == b"INVITE":
                self.reply_trying(event)
                self.timers.set(TIMER_C, now, relay, RINGING)
        branch.send(event, target, mark, now)

    def _forward_ack(self, event: RequestEvent, target: SipUri, mark: bytes) -> None:
        flow: Flow | None
        if event.route_token:
            flow = self.transports.flow_from_token(event.route_token)
        else:
            flow = self.egress.immediate_flow(target)
        if flow is not None:
            self._send_ack(event, flow, mark)
        elif not event.route_token and self._slow_acks < _MOST_SLOW_ACKS:
            self._slow_acks += 1
            self.spawn(self._forward_ack_slowly(event, target, mark))
        else:
            self.counters["acks_dropped"] += 1

    async def _forward_ack_slowly(self, event: RequestEvent, target: SipUri, mark: bytes) -> None:
        from flexipy.transport.errors import FlowError, TransportError

        try:
            for address in await self.egress.targets(target, event.request):
                try:
                    flow = self.transports.flow_for(address) or await self.transports.connect(address)
                except FlowError as refusal:
                    logger.info("%s: %s not reached: %s", event.request.label, address, refusal)
                    continue
                self._send_ack(event, flow, mark)
                return
        except TransportError as error:
            logger.info("%s: ACK not delivered: %s", event.request.label, error)
        finally:
            self._slow_acks -= 1

    def _send_ack(self, event: RequestEvent, flow: Flow, mark: bytes) -> None:
        flow.send(routing.compose(event.request, flow, routing.new_branch(mark), None, b"", b""))

    def reply_trying(self, event: RequestEvent) -> None:
        """Tell the caller at once that the INVITE arrived (RFC 3261 section 16.2)."""
        transaction = event.server_transaction()
        if transaction.state == 0:
            transaction.respond(Response.to_request(event.request, 100), event.now)

    def reply_flow(self, event: RequestEvent) -> Flow:
        """Where responses to a request go: its source, or the port of its Via for clients without rport."""
        if event.reply_port:
            return event.flow.at_port(event.reply_port)
        return event.flow

    def watch(self, flow: Flow) -> None:
        """Before a client transaction begins on a flow: see to it that a connection's end becomes the transaction's."""
        if flow.reliable and not self.layer.uses(flow):
            flow.remove_close_listener(self.flow_closed)
            flow.add_close_listener(self.flow_closed)

    def flow_closed(self, flow: Flow) -> None:
        """A connection that carries requests of ours is gone."""
        self.layer.flow_failed(flow, self.clock())

    def to_tag(self, request: Message) -> bytes:
        """The To tag of our own answers to a request; the same for each retransmission of it.

        The Via has no part in it: some clients give the ACK of a refusal a branch of its own, and that ACK must not
        go on to the person called.
        """
        return routing.own_tag(request.call_id)

    def stamp_response(self, response: Response) -> None:
        """Put the Server header on a response of our own."""
        if self.options.server_header:
            response.append(b"server", b"Server: " + self.options.server_header)

    # --- time and background work ------------------------------------------------------------------------

    def _start_ticking(self) -> None:
        self._tick_due = self.clock() + TICK
        asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        if self._stopping:
            return
        now = self.clock()
        self._loop_lag.late(now - self._tick_due)
        try:
            self.timers.fire(now)
        except Exception:
            self.counters["timer_failures"] += 1
            logger.exception("a timer failed")
        if not self.timers.idle:
            self._start_ticking()
        else:
            self._loop_lag.stopped()

    def spawn(
        self, work: Awaitable[Any], on_failure: Callable[[BaseException], None] | None = None
    ) -> asyncio.Future[Any]:
        """Run something in the background until it ends or the agent stops.

        Args:
            work: the awaitable.
            on_failure: called with an exception that ends it, in place of the log.
        """
        if isinstance(work, Coroutine):
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_task(work)
        else:
            future = asyncio.ensure_future(work)
        self._tasks.add(future)

        def done(task: asyncio.Future[Any]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is not None:
                (on_failure or self._task_failed)(error)

        future.add_done_callback(done)
        return future

    def _task_failed(self, error: BaseException) -> None:
        self.counters["task_failures"] += 1
        logger.error("background work failed", exc_info=error)

    def schedule(self, seconds: float, action: Callable[[], None]) -> None:
        """Run an action every so many seconds until the agent stops."""

        async def repeat() -> None:
            while True:
                await asyncio.sleep(seconds)
                try:
                    action()
                except Exception:
                    self.counters["module_failures"] += 1
                    logger.exception("a periodic action failed")

        self.spawn(repeat())

    def busy(self) -> bool:
        """Whether a caller still waits for a final answer."""
        return any(not server.answered for server in self.layer.servers.values())

    async def stop(self) -> None:
        """Stop timers and background work."""
        self._stopping = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


__all__ = ["Agent", "AgentOptions", "ServerTransaction"]
