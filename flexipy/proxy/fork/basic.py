"""Forking of everything that is neither a call nor a MESSAGE: NOTIFY, REFER, SUBSCRIBE, OPTIONS ..."""

from __future__ import annotations

from typing import Final

from flexipy.proxy.events import RequestEvent
from flexipy.proxy.fork.branch import Branch
from flexipy.proxy.fork.context import NEXT_GROUP, RINGING, Fork
from flexipy.sip.message import Request, Response

_WAIT = 31.0  # seconds: the caller's own timer F ends at 32


_NOBODY_THERE: Final = (408, 430, 503)


class BasicFork(Fork):
    """The first 2xx is the answer; with none, the best of the others (RFC 3261 section 16.7 item 6).

    Args:
        event: the request.
        key: of the record in the registrar.
        late: wait for a device that comes back, as long as the sender waits.
    """

    __slots__ = ("_late",)

    def __init__(self, event: RequestEvent, key: str = "", late: bool = False) -> None:
        super().__init__(event, key)
        self._late = late

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
        if self.all_finished() and not self.pending and not self._may_wait():
            if not self.done:
                self.answer_best(now)
            self.finish()
            self.branches = []

    def _may_wait(self) -> bool:
        return self._late and not self.done and all(branch.status in _NOBODY_THERE for branch in self.branches)

    def replace(self, request: Request, uid: str, flow_token: bytes, now: float) -> Branch | None:
        """The device has come back: its new contact gets the request, unless the old one has answered."""
        old = self.branch_of(uid)
        if not self._late or self.done:
            return None
        if old is not None and old.destination == request.uri_raw and old.flow_token == flow_token:
            return None  # it is on its way there already
        new = self.add(request, uid, 1.0, flow_token)
        if new is not None:
            self.pending.remove(new)
            self.launch(new, now)
        return new

    def on_timer(self, kind: int, now: float) -> None:
        """Nobody answered in time."""
        if kind == NEXT_GROUP or self.done:
            return
        self._late = False
        self.answer_best(now)
        if self.all_finished():
            self.finish()
            self.branches = []
