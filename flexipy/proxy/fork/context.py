"""The response context (RFC 3261 section 16.7): branches on one side, the caller's transaction on the other.

`Relay` is the context of a request that isn't forked. The forks build on `Fork`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from flexipy.proxy.events import FINISHED, RequestEvent
from flexipy.proxy.fork.branch import Branch
from flexipy.sip import names as H
from flexipy.sip.message import Request, Response
from flexipy.sip.status import phrase_bytes
from flexipy.sip.timers import Timed
from flexipy.sip.transaction import ServerTransaction

if TYPE_CHECKING:
    from flexipy.proxy.agent import Agent

RINGING: Final = 1  # timer C, or how long a fork may ring
URGENT: Final = 2
NEXT_GROUP: Final = 3
ACCEPT: Final = 4
TIMER_C: Final = 185.0  # seconds, "larger than 3 minutes" (RFC 3261 section 16.6 item 11)


class ResponseContext(Timed):
    """What branches report to.

    Attributes:
        agent: the proxy core.
        server: the caller's transaction.
        branches: every branch, in the order they were added.
        done: whether the caller has got its final answer.
    """

    __slots__ = ("agent", "branches", "done", "server")

    def __init__(self, event: RequestEvent) -> None:
        self.epoch = 0
        self.agent: Agent = event.agent
        self.server: ServerTransaction = event.server_transaction()
        self.server.user = self
        self.branches: list[Branch] = []
        self.done = False

    @property
    def request(self) -> Request | None:
        """The request as it stood when it came; None once it is answered."""
        return self.server.request

    def on_branch_response(self, branch: Branch, response: Response | None, now: float) -> None:
        """A branch got a response; None stands for a failure after the caller's request was let go."""
        raise NotImplementedError

    def on_cancel(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        """The caller gave up: cancel every branch, its Reason passed on (RFC 3326)."""
        reason = cancel.get(H.REASON)
        for branch in list(self.branches):
            branch.cancel(now, reason)

    def on_server_closed(self, transaction: ServerTransaction, now: float) -> None:
        """The caller never acknowledged, or vanished."""


class Relay(ResponseContext):
    """One branch; every response but 100 goes back as it comes."""

    __slots__ = ()

    def on_branch_response(self, branch: Branch, response: Response | None, now: float) -> None:
        """Pass the response on."""
        if response is None:
            return
        if not branch.overloaded:
            _hide_unavailable(response)
        server = self.server
        invite = server.method == b"INVITE"
        server.respond(response, now)
        if response.status < 200:
            if invite:
                self.epoch += 1
                self.agent.timers.set(TIMER_C, now, self, RINGING)
        elif not self.done:
            self.done = True
            self.epoch += 1
            self.branches = []
            if invite and response.status < 300:
                branch.answered()
            else:
                branch.release()

    def on_timer(self, kind: int, now: float) -> None:
        """Timer C: it rang too long."""
        for branch in list(self.branches):
            branch.cancel(now)


class Fork(ResponseContext):
    """A request to several targets, with the rules that all forks share: groups by q, choosing the best answer.

    Args:
        event: the request; it ends its way here and each branch goes on from this place in the pipeline.
        clock_skew: unused by callers; see subclasses.

    Attributes:
        added: how many targets it was ever given.
        finished_listeners: called once when the fork is over, for who watches the registrar on its behalf.
        key: the registrar's key of the address forked to.
    """

    __slots__ = ("added", "event", "finished_listeners", "key", "pending")

    def __init__(self, event: RequestEvent, key: str = "") -> None:
        super().__init__(event)
        self.event: RequestEvent | None = event
        self.key = key
        self.added = 0
        self.pending: list[Branch] = []
        self.finished_listeners: list[Callable[[], None]] = []
        event.state = FINISHED

    # --- building ----------------------------------------------------------------------------------------

    def add(self, request: Request, uid: str, priority: float = 1.0, flow_token: bytes = b"") -> Branch | None:
        """Add a target; it is sent when its group's turn comes (`start`, `next_group`).

        Args:
            request: the request for it, spliced from a copy of the caller's.
            uid: the binding's unique id; a target with the id of an unfinished branch replaces it.
            priority: q; higher groups first.
            flow_token: send on this flow only.
        """
        event = self.event
        if event is None or self.done:
            return None
        self.added += 1
        branch = Branch(self, uid, priority)
        branch.flow_token = flow_token
        branch.destination = request.uri_raw
        branch.event = event.for_branch(branch, request)
        self.pending.append(branch)
        return branch

    def start(self, now: float) -> None:
        """Send the first group."""
        self.next_group(now)

    def next_group(self, now: float) -> bool:
        """Send the targets with the highest priority that wait; False where none did."""
        if not self.pending:
            return False
        best = max(branch.priority for branch in self.pending)
        group = [branch for branch in self.pending if branch.priority == best]
        self.pending = [branch for branch in self.pending if branch.priority != best]
        for branch in group:
            self.launch(branch, now)
        return True

    def launch(self, branch: Branch, now: float) -> None:
        """Send one target now, through the rest of the pipeline."""
        self.branches.append(branch)
        event = branch.event
        if event is not None:
            event.now = now
            self.agent.pipeline.run(event)

    def branch_of(self, uid: str) -> Branch | None:
        """The unfinished branch to a device."""
        for branch in self.branches:
            if branch.uid == uid and not branch.finished and not branch.cancelled:
                return branch
        return None

    # --- answering ---------------------------------------------------------------------------------------

    def all_finished(self) -> bool:
        """Whether every branch that was sent has its final response."""
        return all(branch.finished for branch in self.branches)

    def answer(self, response: Response, now: float) -> None:
        """Give the caller its final response."""
        if not self.done:
            self.done = True
            if not any(branch.overloaded for branch in self.branches):
                _hide_unavailable(response)
            self.server.respond(response, now)

    def answer_with(self, status: int, now: float) -> None:
        """Give the caller a final response made here."""
        request = self.server.request
        if request is not None and not self.done:
            tag = self.agent.to_tag(request)
            response = Response.to_request(request, status, "", tag)
            self.agent.stamp_response(response)
            self.answer(response, now)

    def best_response(self, ignored: frozenset[int] = frozenset()) -> Response | None:
        """The response to give the caller among those of the finished branches (RFC 3261 section 16.7 item 6)."""
        candidates = [
            branch.response
            for branch in self.branches
            if branch.response is not None and branch.response.status not in ignored
        ]
        if not candidates:
            return None
        best = min(candidates, key=_rank)
        if best.status in (401, 407):
            _gather_challenges(best, candidates)
        return best

    def answer_best(self, now: float, ignored: frozenset[int] = frozenset(), otherwise: int = 408) -> None:
        """Give the caller the best of the branches' responses.

        A 503 would have it avoid this server, a 430 is for proxies only (RFC 3261 section 16.7 item 6, RFC 5626
        section 11.6): it hears 500 where a device said so itself, otherwise that nobody can be reached now; and 503
        where it is this server that lacks something.
        """
        best = self.best_response(ignored)
        if best is None:
            self.answer_with(otherwise, now)
        elif best.status in (430, 503) and not any(branch.overloaded for branch in self.branches):
            refused = any(branch.reached and branch.status == 503 for branch in self.branches)
            self.answer_with(500 if refused else 480, now)
        else:
            self.answer(best, now)

    def finish(self) -> None:
        """The fork is over: tell the listeners and let go of what it holds."""
        self.epoch += 1
        self.event = None
        self.pending.clear()
        if self.finished_listeners:
            listeners, self.finished_listeners = self.finished_listeners, []
            for listener in listeners:
                listener()
        invite = self.server.method == b"INVITE"
        for branch in self.branches:
            if invite and branch.status < 300:
                branch.answered()
            else:
                branch.release()


def _hide_unavailable(response: Response) -> None:
    """One target that is out of service does not mean that this proxy is (RFC 3261 section 16.7 item 6)."""
    if response.status == 503:
        response.status = 500
        response.reason = phrase_bytes(500)
        response.remove(H.RETRY_AFTER)


# Among the 4xx those that tell the caller what to do better (RFC 3261 section 16.7 item 6).
_USEFUL: Final = {401: 0, 407: 0, 415: 1, 420: 1, 484: 1}


def _rank(response: Response) -> tuple[int, int]:
    status = response.status
    if status >= 600:
        return (0, status)
    if status in (408, 487, 503):
        return (status // 100, 900 + status % 100)
    return (status // 100, _USEFUL.get(status, 10) * 10)


def _gather_challenges(best: Response, candidates: list[Response]) -> None:
    for other in candidates:
        if other is best or other.status not in (401, 407):
            continue
        for name, line in zip(other.names, other.lines, strict=True):
            if name in (H.WWW_AUTHENTICATE, H.PROXY_AUTHENTICATE):
                best.append(name, line)
