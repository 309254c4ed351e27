"""Forking of INVITE: everybody rings, the first to answer wins, the others hear why (RFC 3261 section 16.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flexipy.proxy.events import RequestEvent
from flexipy.proxy.fork.branch import Branch
from flexipy.proxy.fork.context import NEXT_GROUP, RINGING, TIMER_C, URGENT, Fork
from flexipy.sip.message import Request, Response
from flexipy.sip.transaction import ServerTransaction

ANSWERED_ELSEWHERE: Final = b'SIP;cause=200;text="Call completed elsewhere"'
BUSY_EVERYWHERE: Final = b'SIP;cause=600;text="Busy Everywhere"'
# Answers that concern the call's form rather than the device: the caller should hear of them soon.
_URGENT: Final = frozenset((401, 407, 415, 420, 484, 488, 606))
_LATE_IGNORED: Final = frozenset((408, 430, 503))  # nobody is there: its connection is gone, it does not answer


@dataclass(frozen=True, slots=True)
class CallForkOptions:
    """How calls fork; the Router's parameters, seconds."""

    fork_late: bool = False
    no_global_decline: bool = False
    decline_is_urgent: bool = False
    all_urgent: bool = False
    timeout: float = 90.0
    urgent_timeout: float = 5.0
    current_branches_timeout: float = 10.0


class CallFork(Fork):
    """The fork of one INVITE."""

    __slots__ = ("_cancelled", "_urgent_running", "options")

    def __init__(self, event: RequestEvent, options: CallForkOptions, key: str = "") -> None:
        super().__init__(event, key)
        self.options = options
        self._urgent_running = False
        self._cancelled = False

    def start(self, now: float) -> None:
        """Ring the first group and start the clocks."""
        self.agent.timers.set(self.options.timeout, now, self, RINGING)
        self.next_group(now)
        if self.pending:
            self.agent.timers.set(self.options.current_branches_timeout, now, self, NEXT_GROUP)

    def on_branch_response(self, branch: Branch, response: Response | None, now: float) -> None:
        """Decide what the caller sees of one branch's response."""
        if response is None:
            self._settle(now)
            return
        status = response.status
        if status < 200:
            if not self.done and not self._cancelled:
                self.server.respond(response, now)
        elif status < 300:
            self._won(branch, response, now)
        elif self.done:
            self._settle(now)
        elif status >= 600 and not self.options.no_global_decline:
            self._declined(branch, now)
        else:
            self._one_failed(branch, status, now)

    def _won(self, winner: Branch, response: Response, now: float) -> None:
        # Also the retransmissions of the callee's 200, and the 200 of a second device that crossed our CANCEL:
        # the caller has to see and acknowledge each (RFC 3261 section 16.7 item 5).
        if not self.server.respond(response, now):
            self.server.flow.send(response.__bytes__())  # the caller has heard a refusal meanwhile
        if not self.done:
            self.done = True
            self._cancel_others(winner, now, ANSWERED_ELSEWHERE)
            self._settle(now)

    def _declined(self, decliner: Branch, now: float) -> None:
        self._cancel_others(decliner, now, BUSY_EVERYWHERE)
        self.pending.clear()
        if self.all_finished():
            self._answer_now(now)

    def _one_failed(self, branch: Branch, status: int, now: float) -> None:
        if self._urgent(status) and not self._urgent_running:
            self._urgent_running = True
            self.agent.timers.set(self.options.urgent_timeout, now, self, URGENT)
        if not self.all_finished():
            return
        if not self._cancelled and self.next_group(now):
            if self.pending:
                self.agent.timers.set(self.options.current_branches_timeout, now, self, NEXT_GROUP)
            return
        if self._may_wait(status):
            return
        self._answer_now(now)

    def _urgent(self, status: int) -> bool:
        if self.options.all_urgent:
            return True
        return status in _URGENT or (self.options.decline_is_urgent and status == 603)

    def _may_wait(self, status: int) -> bool:
        # With fork-late a call waits for devices that a push wakes, unless somebody really answered no.
        if not self.options.fork_late or self._cancelled or not self.finished_listeners:
            return False
        return all(branch.status in _LATE_IGNORED for branch in self.branches)

    def _cancel_others(self, winner: Branch, now: float, reason: bytes) -> None:
        self.pending.clear()
        for branch in list(self.branches):
            if branch is not winner:
                branch.cancel(now, reason)

    def _answer_now(self, now: float) -> None:
        ignored = _LATE_IGNORED if self.options.fork_late else frozenset()
        self.answer_best(now, ignored, 487 if self._cancelled else 408)
        self._settle(now)

    def _settle(self, now: float) -> None:
        if self.done and self.all_finished():
            self.finish()

    def finish(self) -> None:
        """The fork is over."""
        super().finish()
        self.branches.clear()

    # --- the caller and the clocks -----------------------------------------------------------------------

    def on_cancel(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        """The caller hangs up while it rings."""
        self._cancelled = True
        self.pending.clear()
        super().on_cancel(transaction, cancel, now)
        if self.all_finished():
            self.answer_with(487, now)
            self._settle(now)

    def replace(self, request: Request, uid: str, priority: float, flow_token: bytes, now: float) -> Branch | None:
        """A device (re-)registered while it rings: its new contact takes the place of its old branch."""
        if self.done or self._cancelled:
            return None
        old = self.branch_of(uid)
        if (
            old is not None
            and old.status >= 180
            and old.destination == request.uri_raw
            and old.flow_token == flow_token
        ):
            return None  # it rings there already
        new = self.add(request, uid, priority, flow_token)
        if new is None:
            return None
        self.pending.remove(new)
        self.launch(new, now)
        if old is not None:
            old.cancel(now)
        return new

    def on_timer(self, kind: int, now: float) -> None:
        """The fork's own time-outs."""
        if self.done:
            return
        if kind == NEXT_GROUP:
            if self.next_group(now) and self.pending:
                self.agent.timers.set(self.options.current_branches_timeout, now, self, NEXT_GROUP)
            return
        if kind == URGENT:
            if any(branch.status in (180, 183) for branch in self.branches):
                return
            self._give_up(now, _LATE_IGNORED if self.options.fork_late else frozenset())
            return
        self._give_up(now, frozenset())

    def _give_up(self, now: float, ignored: frozenset[int]) -> None:
        self.answer_best(now, ignored, 408)
        for branch in list(self.branches):
            branch.cancel(now)
        self._settle(now)


MAX_RINGING: Final = TIMER_C
