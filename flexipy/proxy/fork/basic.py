"""Forking of everything that is neither a call nor a MESSAGE: NOTIFY, REFER, SUBSCRIBE, OPTIONS ..."""

from __future__ import annotations

from flexipy.proxy.events import RequestEvent
from flexipy.proxy.fork.branch import Branch
from flexipy.proxy.fork.context import NEXT_GROUP, RINGING, Fork
from flexipy.sip.message import Response

_WAIT = 31.0  # seconds: the caller's own timer F ends at 32


class BasicFork(Fork):
    """The first 2xx is the answer; with none, the best of the others (RFC 3261 section 16.7 item 6)."""

    __slots__ = ()

    def __init__(self, event: RequestEvent, key: str = "") -> None:
        super().__init__(event, key)

    def start(self, now: float) -> None:
        """Send to everybody at once; q has no meaning where nobody rings."""
        self.agent.timers.set(_WAIT, now, self, RINGING)
        while self.next_group(now):
            pass

    def on_branch_response(self, branch: Branch, response: Response | None, now: float) -> None:
        """Keep the best."""
        if response is not None and response.status < 200:
            return
        if not self.done and response is not None and response.status < 300:
            self.answer(response, now)
        if self.all_finished() and not self.pending:
            if not self.done:
                self.answer_best(now)
            self.finish()
            self.branches = []

    def on_timer(self, kind: int, now: float) -> None:
        """Nobody answered in time."""
        if kind != NEXT_GROUP and not self.done:
            self.answer_best(now)
