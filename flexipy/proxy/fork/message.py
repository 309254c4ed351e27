"""Forking of MESSAGE: each device gets it, also one that is off now and registers later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flexipy.proxy.events import RequestEvent
from flexipy.proxy.fork.branch import Branch
from flexipy.proxy.fork.context import ACCEPT, RINGING, Fork
from flexipy.sip.message import Request, Response


@dataclass(frozen=True, slots=True)
class MessageForkOptions:
    """How MESSAGEs fork; the Router's parameters, seconds."""

    fork_late: bool = True
    accept_timeout: float = 5.0
    delivery_timeout: float = 604800.0


class MessageFork(Fork):
    """The fork of one MESSAGE.

    The sender hears the first device's 2xx, or 202 when none answered within `accept_timeout`; the fork then lives on
    until every device has it or `delivery_timeout` is over.

    Attributes:
        delivered: unique ids of the devices that have it (or refused it for good).
        keeper: told when the message has to outlive its sender's transaction, before the sender hears that it is
            accepted, and after each delivery from then on.
    """

    __slots__ = ("_kept", "delivered", "expected", "keeper", "options")

    def __init__(
        self,
        event: RequestEvent,
        options: MessageForkOptions,
        key: str = "",
        keeper: Callable[[MessageFork], None] | None = None,
    ) -> None:
        super().__init__(event, key)
        self.options = options
        self.delivered: set[str] = set()
        self.expected: set[str] = set()
        self.keeper = keeper
        self._kept = False

    @classmethod
    def restored(
        cls,
        event: RequestEvent,
        options: MessageForkOptions,
        key: str,
        keeper: Callable[[MessageFork], None],
        delivered: set[str],
        now: float,
    ) -> MessageFork:
        """A message that an earlier process accepted: its sender has been answered, its devices have not."""
        fork = cls(event, options, key, keeper)
        fork.done = True
        fork.delivered = delivered
        fork._kept = True
        fork.agent.timers.set(options.delivery_timeout, now, fork, RINGING)
        return fork

    def start(self, now: float) -> None:
        """Send to every device that is there."""
        timers = self.agent.timers
        if self.options.fork_late:
            timers.set(self.options.accept_timeout, now, self, ACCEPT)
            timers.set(self.options.delivery_timeout, now, self, RINGING)
        self.expected = {branch.uid for branch in self.pending}
        while self.next_group(now):
            pass
        if not self.branches and self.options.fork_late:
            self.accept(now)

    def accept(self, now: float) -> None:
        """Tell the sender that the message is kept for later."""
        self._keep()
        self.answer_with(202, now)

    def _keep(self) -> None:
        if self.keeper is not None:
            self._kept = True
            self.keeper(self)

    def on_branch_response(self, branch: Branch, response: Response | None, now: float) -> None:
        """Note who has it."""
        status = branch.status
        if status < 200:
            return
        if status < 300:
            self.delivered.add(branch.uid)
            if self._kept:
                self._keep()
            if response is not None:
                self.answer(response, now)
        elif status not in (408, 430, 480, 503):
            self.delivered.add(branch.uid)  # it was reached and does not want it; sending again would not help
        self._settle(now)

    def _settle(self, now: float) -> None:
        if not self.all_finished():
            return
        waits = self.options.fork_late and bool(self.finished_listeners)
        missing = waits and not self.expected <= self.delivered
        if waits and (missing or not self.expected):
            if not self.done and self.branches and not self.delivered:
                self.accept(now)
            elif not self._kept:
                self._keep()
            for branch in self.branches:
                branch.response = None
            self.branches = []
            return
        if not self.done:
            self.answer_best(now)
        self.finish()
        self.branches = []

    def deliver(self, request: Request, uid: str, flow_token: bytes, now: float, key: str = "") -> bool:
        """A device is there, or can be woken: send it the message unless it has it.

        Args:
            request: for the device.
            uid: of its binding.
            flow_token: of its binding.
            now: monotonic seconds.
            key: of its record, where that is not the fork's own.

        Returns:
            Whether it was sent.
        """
        if uid in self.delivered or self.branch_of(uid) is not None or self.event is None:
            return False
        branch = Branch(self, uid)
        branch.flow_token = flow_token
        branch.key = key
        branch.event = self.event.for_branch(branch, request)
        self.expected.add(uid)
        self.launch(branch, now)
        return True

    def on_timer(self, kind: int, now: float) -> None:
        """The sender has waited long enough, or the message is too old."""
        if kind == ACCEPT:
            if not self.done:
                self.accept(now)
            return
        if not self.done:
            self.answer_best(now)
        self.finish()
        self.branches = []
