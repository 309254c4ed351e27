"""Server transactions: INVITE (RFC 3261 section 17.2.1, RFC 6026 section 7.1) and others (section 17.2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from flexipy.sip.message import Request, Response
from flexipy.sip.timers import Timed
from flexipy.sip.transaction.states import (
    ACCEPTED,
    COMPLETED,
    CONFIRMED,
    LINGER,
    PROCEEDING,
    RETRANSMIT,
    TERMINATED,
    TIMEOUT,
    TRYING,
    Outlet,
)

if TYPE_CHECKING:
    from flexipy.sip.transaction.layer import TransactionLayer


class ServerUser(Protocol):
    """Who answers a request: told what happens to its transaction."""

    def on_cancel(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        """The caller cancels; the CANCEL itself has been answered 200."""

    def on_server_closed(self, transaction: ServerTransaction, now: float) -> None:
        """The transaction ended without an ACK to a final response (timer H) or with a dead flow."""


class ServerTransaction(Timed):
    """One request being answered.

    Attributes:
        key: its key in the layer.
        method: the request's method.
        request: the request, until the final response is sent; None afterwards.
        flow: where responses go.
        state: see `states.py`.
        user: told about CANCEL; set by who takes the request on.
    """

    __slots__ = ("_interval", "_last", "flow", "key", "layer", "method", "request", "state", "to_tag", "user")

    def __init__(self, layer: TransactionLayer, key: bytes, request: Request, flow: Outlet) -> None:
        self.epoch = 0
        self.layer = layer
        self.key = key
        self.method = request.method
        self.request: Request | None = request
        self.flow = flow
        self.state = TRYING
        self.user: ServerUser | None = None
        self.to_tag = b""
        self._last: bytes | None = None
        self._interval = 0.0

    @property
    def answered(self) -> bool:
        """Whether a final response went out."""
        return self.state >= COMPLETED

    def respond(self, response: Response, now: float) -> bool:
        """Send a response to the caller.

        A 2xx to INVITE may be sent again (each retransmission of the callee's passes); any other response
        after the first final one is dropped.

        Returns:
            Whether it was sent.
        """
        status = response.status
        state = self.state
        if state >= COMPLETED and not (state == ACCEPTED and 200 <= status < 300):
            return False
        data = response.__bytes__()
        sent = self.flow.send(data)
        if status < 200:
            self._last = data
            self.state = PROCEEDING
        elif self.method == b"INVITE":
            self._finish_invite(status, data, now)
        else:
            self._finish(data, now)
        return sent

    def _finish(self, data: bytes, now: float) -> None:
        self.terminate()
        if not self.flow.reliable:
            self.layer.keep_answer(self.key, data, now)  # in place of timer J

    def _finish_invite(self, status: int, data: bytes, now: float) -> None:
        durations = self.layer.durations
        timers = self.layer.timers
        if self.state == ACCEPTED:
            return
        self.epoch += 1
        if status < 300:
            self.state = ACCEPTED
            self.request = None
            self._last = None
            timers.set(durations.timeout, now, self, LINGER)  # timer L
            return
        self.state = COMPLETED
        self.request = None
        self._last = data
        timers.set(durations.timeout, now, self, TIMEOUT)  # timer H
        if not self.flow.reliable:
            self._interval = durations.t1
            timers.set(self._interval, now, self, RETRANSMIT)  # timer G

    def receive(self, request: Request, now: float) -> bool:
        """A request that matched: a retransmission, or the ACK to a non-2xx response.

        Returns:
            True when it ends here; False for an ACK that must be passed on (to a 2xx).
        """
        if request.method == b"ACK":
            if self.state == COMPLETED:
                self.state = CONFIRMED
                self.epoch += 1
                self._last = None
                if self.flow.reliable:
                    self.terminate()
                else:
                    self.layer.timers.set(self.layer.durations.t4, now, self, LINGER)  # timer I
            return self.state != ACCEPTED
        if self._last is not None and self.state in (PROCEEDING, COMPLETED):
            self.flow.send(self._last)
        return True

    def on_timer(self, kind: int, now: float) -> None:
        """Timers G, H, I, L."""
        if kind == RETRANSMIT:
            if self._last is not None:
                self.flow.send(self._last)
                self._interval = min(self._interval * 2, self.layer.durations.t2)
                self.layer.timers.set(self._interval, now, self, RETRANSMIT)
            return
        user = self.user
        self.terminate()
        if kind == TIMEOUT and user is not None:
            user.on_server_closed(self, now)

    def terminate(self) -> None:
        """Leave the layer and let go of everything."""
        self.state = TERMINATED
        self.epoch += 1
        self.layer.forget_server(self)
        self._last = None
        self.request = None
        self.user = None
