"""One target of a request: sent, tried on the next address when one fails, cancelled, answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flexipy.proxy import routing
from flexipy.proxy.events import RequestEvent, ResponseEvent
from flexipy.sip import names as H
from flexipy.sip.errors import SipError
from flexipy.sip.message import Request, Response
from flexipy.sip.parsing import parse
from flexipy.sip.transaction import ClientTransaction
from flexipy.sip.transaction.client import cancel_for
from flexipy.sip.transaction.states import PROCEEDING
from flexipy.sip.uri import SipUri
from flexipy.transport.errors import FlowError, ResolutionError

if TYPE_CHECKING:
    from flexipy.proxy.fork.context import ResponseContext
    from flexipy.transport.flow import Flow
    from flexipy.transport.resolver import Target


class Branch:
    """A branch of a response context (RFC 3261 section 16.6).

    Attributes:
        context: gets the responses.
        event: the request event that carries this branch through the pipeline.
        uid: the unique id of the binding it goes to, or the URI.
        key: of that binding's record in the registrar, or empty.
        priority: the binding's q.
        destination: the request URI before any module changed it.
        flow: the flow it was sent on last.
        flow_token: send on that flow only (RFC 5626), or empty.
        status: of the last response; 0 before any.
        response: the final response, kept until the context has chosen.
        transaction: the client transaction while one lives.
        cancelled: whether the context gave it up.
        overloaded: whether this server itself lacks what the request needs, which its caller may know.
        reached: whether `status` is an answer from there, not one made up here.
    """

    __slots__ = (
        "_cancel_reason",
        "_cancel_sent",
        "_held",
        "_kept",
        "_mark",
        "_targets",
        "_uri",
        "cancelled",
        "context",
        "destination",
        "event",
        "flow",
        "flow_token",
        "key",
        "overloaded",
        "priority",
        "reached",
        "response",
        "status",
        "transaction",
        "uid",
    )

    def __init__(self, context: ResponseContext, uid: str = "", priority: float = 1.0) -> None:
        self.context = context
        self.event: RequestEvent | None = None
        self.uid = uid
        self.key = ""
        self.destination = b""
        self.priority = priority
        self.flow_token = b""
        self.status = 0
        self.response: Response | None = None
        self.transaction: ClientTransaction | None = None
        self.cancelled = False
        self.reached = False
        self.overloaded = False
        self.flow: Flow | None = None
        self._cancel_sent = False
        self._held: list[ResponseEvent] | None = None
        self._kept = b""
        self._mark = b""
        self._cancel_reason: bytes | None = None
        self._targets: list[Target] | None = None
        self._uri: SipUri | None = None

    @property
    def finished(self) -> bool:
        """Whether a final response came or was made up."""
        return self.status >= 200

    @property
    def request(self) -> Request | None:
        """The branch's request as the modules left it; None once the branch is released."""
        event = self.event
        if event is not None:
            return event.request
        if not self._kept:
            return None
        request = parse(self._kept)
        return request if isinstance(request, Request) else None

    # --- sending -----------------------------------------------------------------------------------------

    def send(self, event: RequestEvent, uri: SipUri, mark: bytes, now: float) -> None:
        """Send the request toward a URI, on the flow that its token names where it has one.

        Args:
            event: the request.
            uri: the next hop.
            mark: for loop detection, see `routing.loop_mark`.
            now: monotonic seconds.
        """
        self.event = event
        self._mark = mark
        self._uri = uri
        egress = event.agent.egress
        token = self.flow_token or event.route_token
        if token:
            flow = event.agent.transports.flow_from_token(token)
            if flow is None or flow.closed:
                self.fail(430, now)
            else:
                self.transmit(flow, now)
            return
        immediate = egress.immediate_flow(uri)
        if immediate is not None and egress.fits(event.request, immediate):
            self.transmit(immediate, now)
        else:
            event.agent.spawn(self._send_slowly(event, uri), self._failed_inside)

    async def _send_slowly(self, event: RequestEvent, uri: SipUri) -> None:
        agent = event.agent
        try:
            self._targets = await agent.egress.targets(uri, event.request)
        except ResolutionError as error:
            agent.logger.info("%s: cannot find %s: %s", event.request.label, uri, error)
            if not self.finished:
                self.fail(503 if error.temporary else 404, agent.clock())
            return
        await self._try_next()

    async def _try_next(self) -> None:
        event = self.event
        if event is None:
            return
        agent = event.agent
        while self._targets:
            target = self._targets.pop(0)
            if self._given_up():
                break
            try:
                flow = agent.transports.flow_for(target)
                if flow is None:
                    flow = await agent.transports.connect(target)
            except FlowError as error:
                agent.logger.info("%s: %s not reached: %s", event.request.label, target, error)
                agent.resolver.mark_failed(target)
                continue
            if self._given_up():
                break
            self.transmit(flow, agent.clock())
            return
        if not self.finished:
            self.fail(487 if self.cancelled else 503, agent.clock())

    def _given_up(self) -> bool:
        return self.cancelled or self.finished

    def transmit(self, flow: Flow, now: float) -> None:
        """Add our Via and Record-Route and send on a flow in a new client transaction."""
        event = self.event
        assert event is not None
        request = event.request
        agent = event.agent
        method = request.method
        branch = routing.new_branch(self._mark)
        recorded = event.record_route
        if recorded is None:
            recorded = routing.forms_dialog(method)
        came_by = event.flow if recorded else None
        token = self.flow_token if came_by is not None else b""
        if event.before_send is not None:
            request = request.copy()
            for edit in event.before_send:
                edit(request, flow)
        data = routing.compose(request, flow, branch, came_by, event.incoming_token, token)
        agent.watch(flow)
        transaction = agent.layer.create_client(branch, method, data, flow, self)
        self.transaction = transaction
        self.flow = flow
        if not transaction.start(now):
            self.on_client_error(transaction, now)

    def cancel(self, now: float, reason: bytes | None = None) -> None:
        """Give the branch up: CANCEL once a provisional response is there (RFC 3261 section 9.1)."""
        if self.cancelled or self.finished:
            return
        self.cancelled = True
        self._cancel_reason = reason
        transaction = self.transaction
        if transaction is None:
            if self._targets is None and self._uri is None:
                self.fail(487, now)
        elif transaction.state == PROCEEDING:
            self._send_cancel(transaction, now)

    def _send_cancel(self, transaction: ClientTransaction, now: float) -> None:
        if transaction.method != b"INVITE":
            return
        self._cancel_sent = True
        layer = transaction.layer
        data = cancel_for(transaction.data, self._cancel_reason)
        layer.create_client(transaction.branch, b"CANCEL", data, transaction.flow, None).start(now)
        transaction.give_up_after(layer.durations.timeout, now)

    # --- what the client transaction tells ---------------------------------------------------------------

    def on_client_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response arrived."""
        status = response.status
        if transaction is not self.transaction:
            return
        if status < 200 and self.cancelled and not self._cancel_sent:
            self._send_cancel(transaction, now)
        if status == 100:
            return
        if status == 503 and self._targets and not self.cancelled:
            self._next_address(now)
            return
        response.pop_first_value(H.VIA)
        self.reached = True
        self._pass_on(response, self.flow, now)

    def on_client_timeout(self, transaction: ClientTransaction, now: float) -> None:
        """No answer in time."""
        if transaction is self.transaction and not self.finished:
            if self._targets and not self.cancelled:
                self._next_address(now)
            else:
                self.fail(487 if self.cancelled else 408, now)

    def on_client_error(self, transaction: ClientTransaction, now: float) -> None:
        """The flow broke."""
        if transaction is self.transaction and not self.finished:
            if self._targets and not self.cancelled:
                self._next_address(now)
            else:
                self.fail(503, now)

    def on_client_closed(self, transaction: ClientTransaction) -> None:
        """The 200 will not come again: let go of what is tied to this branch, and it of us."""
        if transaction is self.transaction:
            self.transaction = None
            self.release()

    def _next_address(self, now: float) -> None:
        event = self.event
        if event is not None:
            event.agent.counters["failovers"] += 1
            event.agent.spawn(self._try_next(), self._failed_inside)

    def _failed_inside(self, error: BaseException) -> None:
        """A fault on the way out: whoever waits for this branch must hear of its end."""
        agent = self.context.agent
        status = 500
        if isinstance(error, SipError):  # a module could not edit what leaves
            status = error.status
            self.overloaded = status == 503
        else:
            agent.counters["task_failures"] += 1
            agent.logger.error("sending on failed", exc_info=error)
        if not self.finished:
            self.fail(status, agent.clock())

    # --- answers -----------------------------------------------------------------------------------------

    def answer_locally(self, response: Response, now: float) -> None:
        """A module answered the branch's request instead of sending it on."""
        if not self.finished:
            self.overloaded = response.status == 503
            self._pass_on(response, None, now)

    def fail(self, status: int, now: float) -> None:
        """The branch ends without a response of its own: take it for this one."""
        self.reached = False
        event = self.event
        request = self.context.request if event is None else event.request
        if request is None:
            self.status = status
            self.context.on_branch_response(self, None, now)
            return
        tag = self.context.agent.to_tag(request)
        self._pass_on(Response.to_request(request, status, "", tag), None, now)

    def _pass_on(self, response: Response, flow: Flow | None, now: float) -> None:
        agent = self.context.agent
        event = ResponseEvent(agent, response, flow, self, now)
        if self._held is not None:
            self._held.append(event)  # responses of one branch keep their order
        elif agent.pipeline.run_response(event):
            self._deliver(response, now)
        else:
            self._held = [event]

    def resume(self, event: ResponseEvent) -> None:
        """A module lets a response go that it held; those that came after it follow."""
        run = self.context.agent.pipeline.run_response
        while self._held and run(self._held[0]):
            self._deliver(self._held.pop(0).response, event.now)
        if not self._held:
            self._held = None

    def _deliver(self, response: Response, now: float) -> None:
        first_final = response.status >= 200 and self.status < 200
        self.status = response.status
        if first_final:
            self.response = response
        self.context.on_branch_response(self, response, now)

    def answered(self) -> None:
        """The caller has this branch's 200 to INVITE, which may come again and is to be edited in the same way then.

        Until the client transaction ends the request is kept for that, as bytes where no module knows its event.
        """
        event = self.event
        if event is not None and not event.awaits_repetitions:
            self._kept = bytes(event.request)
            self.event = None
        self.response = None
        self._targets = None

    def release(self) -> None:
        """Let go of the request and the response; the context is done with this branch."""
        self.event = None
        self.response = None
        self._kept = b""
        self._targets = None
