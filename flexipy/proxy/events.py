"""A request or response on its way through the pipeline. Part of the public module API."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from flexipy.proxy import subject
from flexipy.sip import names as H
from flexipy.sip.message import Request, Response
from flexipy.sip.params import encode
from flexipy.sip.uri import SipUri

if TYPE_CHECKING:
    from flexipy.proxy.agent import Agent
    from flexipy.proxy.fork.branch import Branch
    from flexipy.proxy.fork.context import ResponseContext
    from flexipy.sip.transaction import ServerTransaction
    from flexipy.transport.flow import Flow


# How far a request event is. Plain numbers for the sake of speed, as in `flexipy.sip.transaction.states`.
RUNNING: Final = 0
SUSPENDED: Final = 1
FINISHED: Final = 2  # answered, forked, forwarded or dropped


class RequestEvent:
    """A request offered to the modules.

    Attributes:
        request: the request; modules may splice it.
        flow: where it came from.
        now: when it came, monotonic seconds.
        state: RUNNING, SUSPENDED or FINISHED.
        branch: the branch of a fork that this event carries, None on the way to the fork.
        route_token: the flow token (RFC 5626) out of our own Route that points at the next hop, or empty.
        reply_port: where a client over UDP without rport wants its responses; 0: at its source.
        received_uri: the request URI as it came, before any module changed it (for loop detection).
        identity: `user@domain` once authenticated, else empty.
        trusted: whether it comes from a host that need not authenticate.
        record_route: whether the proxy stays in the dialog; None leaves it to the method.
        incoming_token: a flow token to put in our Record-Route toward the sender, or empty.
        before_send: called with the request and the flow it leaves by; they splice a copy that is sent. For what
            depends on the way out. None while there are none.
        awaits_repetitions: set by a module that asks the branch of a response for this very event, which is let go
            otherwise when a 200 to INVITE has been passed on, and it may come again.
    """

    __slots__ = (
        "agent",
        "awaits_repetitions",
        "before_send",
        "branch",
        "context",
        "cursor",
        "flow",
        "identity",
        "incoming_token",
        "key",
        "now",
        "received_uri",
        "record_route",
        "reply_port",
        "request",
        "route_token",
        "state",
        "transaction",
        "trusted",
    )

    def __init__(self, agent: Agent, request: Request, flow: Flow, key: bytes, now: float) -> None:
        self.agent = agent
        self.request = request
        self.flow = flow
        self.key = key
        self.now = now
        self.cursor = 0
        self.state = RUNNING
        self.transaction: ServerTransaction | None = None
        self.context: ResponseContext | None = None
        self.branch: Branch | None = None
        self.route_token = b""
        self.reply_port = 0
        self.received_uri = request.uri_raw
        self.incoming_token = b""
        self.identity = ""
        self.trusted = False
        self.record_route: bool | None = None
        self.before_send: list[Callable[[Request, Flow], None]] | None = None
        self.awaits_repetitions = False

    # --- what modules ask --------------------------------------------------------------------------------

    @property
    def method(self) -> bytes:
        """The request's method."""
        return self.request.method

    @property
    def finished(self) -> bool:
        """Whether the request was answered, forked or sent on."""
        return self.state == FINISHED

    @property
    def local_target(self) -> bool:
        """Whether no foreign Route stands in the way: the request URI decides where it goes."""
        return self.request.shape.route < 0

    def value(self, name: str) -> str | None:
        """A variable of the filter language, for `filter=` expressions."""
        return subject.request_value(self, name)

    def flag(self, name: str) -> bool:
        """A boolean of the filter language."""
        return name == "is_request"

    # --- what modules do ---------------------------------------------------------------------------------

    def server_transaction(self) -> ServerTransaction:
        """The transaction that answers the request, made at the first call."""
        transaction = self.transaction
        if transaction is None:
            transaction = self.agent.layer.create_server(self.key, self.request, self.agent.reply_flow(self))
            self.transaction = transaction
        return transaction

    def response(self, status: int, reason: str = "") -> Response:
        """A response to the request, to be completed and handed to `send_response`."""
        tag = b"" if status == 100 else self.agent.to_tag(self.request)
        return Response.to_request(self.request, status, reason, tag)

    def reply(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Answer the request, which ends its way (a provisional answer does not).

        Args:
            status: the status code.
            reason: another phrase than the usual.
            headers: name and value of headers to add.
        """
        if self.request.method == b"ACK":
            self.state = FINISHED
            return
        response = self.response(status, reason)
        for name, value in headers:
            response.append(H.canonical(encode(name)), encode(f"{name}: {value}"))
        self.send_response(response)

    def send_response(self, response: Response) -> None:
        """Answer with a response made by `response()`."""
        status = response.status
        if status >= 200:
            self.state = FINISHED
        if self.request.method == b"ACK":
            return
        branch = self.branch
        if branch is not None:
            branch.answer_locally(response, self.now)
            return
        agent = self.agent
        agent.stamp_response(response)
        if self.transaction is None and status >= 200 and self.request.method != b"INVITE":
            agent.layer.answer_at_once(self.key, response.__bytes__(), agent.reply_flow(self), self.now)
        else:
            self.server_transaction().respond(response, self.now)

    def send_stateless(self, response: Response) -> None:
        """Answer without a transaction: a challenge, which costs an attacker more than us (RFC 3261 section 26.3.2.4).

        A retransmitted request is then answered anew.
        """
        self.state = FINISHED
        if self.request.method == b"ACK":
            return
        self.agent.stamp_response(response)
        self.agent.reply_flow(self).send(response.__bytes__())

    def drop(self) -> None:
        """End the request without an answer; a branch counts as one that nobody answered."""
        self.state = FINISHED
        if self.branch is not None:
            self.branch.fail(408, self.now)
        elif self.transaction is not None and not self.transaction.answered:
            self.transaction.terminate()

    def forward(self, next_hop: SipUri | None = None) -> None:
        """Send the request on.

        Args:
            next_hop: where to; None takes the topmost Route, or else the request URI.
        """
        self.state = FINISHED
        self.agent.forward(self, next_hop)

    def resume(self) -> None:
        """Let a request go on that a module held with an awaitable. Called by the pipeline."""
        if self.state == SUSPENDED:
            self.state = RUNNING
            self.agent.pipeline.run(self)

    def for_branch(self, branch: Branch, request: Request) -> RequestEvent:
        """The event that takes a fork's branch through the rest of the pipeline."""
        event = RequestEvent(self.agent, request, self.flow, self.key, self.now)
        event.cursor = self.cursor
        event.transaction = self.transaction
        event.branch = branch
        event.context = branch.context
        event.received_uri = self.received_uri
        event.identity = self.identity
        event.trusted = self.trusted
        event.record_route = self.record_route
        event.incoming_token = self.incoming_token
        event.before_send = self.before_send
        return event


class ResponseEvent:
    """A response on its way back.

    Attributes:
        response: the response, our own Via already taken off; modules may splice it.
        flow: where it came from; None for one made here.
        branch: the branch it answers.
    """

    __slots__ = ("agent", "branch", "cursor", "flow", "now", "response")

    def __init__(self, agent: Agent, response: Response, flow: Flow | None, branch: Branch, now: float) -> None:
        self.agent = agent
        self.response = response
        self.flow = flow
        self.branch = branch
        self.now = now
        self.cursor = 0

    def value(self, name: str) -> str | None:
        """A variable of the filter language."""
        return subject.response_value(self, name)

    def flag(self, name: str) -> bool:
        """A boolean of the filter language."""
        return name == "is_response"
