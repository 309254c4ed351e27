"""Client transactions: INVITE (RFC 3261 section 17.1.1, RFC 6026 section 7.2) and others (section 17.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from flexipy.sip import names as H
from flexipy.sip.message import Request, Response
from flexipy.sip.parsing import parse
from flexipy.sip.timers import Timed
from flexipy.sip.transaction.states import (
    ACCEPTED,
    COMPLETED,
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


class ClientUser(Protocol):
    """Who sent a request: gets its responses."""

    def on_client_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response that is no retransmission; every 2xx to INVITE counts as new."""

    def on_client_timeout(self, transaction: ClientTransaction, now: float) -> None:
        """No final response in time (timers B and F)."""

    def on_client_error(self, transaction: ClientTransaction, now: float) -> None:
        """The flow failed before a final response."""

    def on_client_closed(self, transaction: ClientTransaction) -> None:
        """Nothing comes any more, not even a 2xx to INVITE again (timer M)."""


class ClientTransaction(Timed):
    """One request sent.

    Attributes:
        branch: the branch of our Via.
        method: its method.
        data: the request's bytes, kept for retransmission, ACK and CANCEL.
        flow: where it was sent.
        state: see `states.py`.
        user: gets the responses; None once it let go.
    """

    __slots__ = ("_deadline", "_interval", "ack", "branch", "data", "flow", "layer", "method", "state", "user")

    def __init__(
        self,
        layer: TransactionLayer,
        branch: bytes,
        method: bytes,
        data: bytes,
        flow: Outlet,
        user: ClientUser | None,
    ) -> None:
        self.epoch = 0
        self.layer = layer
        self.branch = branch
        self.method = method
        self.data = data
        self.flow = flow
        self.user = user
        self.state = TRYING
        self.ack: bytes | None = None
        self._interval = 0.0
        self._deadline = 0.0

    def start(self, now: float) -> bool:
        """Send the request and start timers A/E and B/F.

        Where the request is sent again B and F are the end of that, so that they need no entry of their own: one that
        would nearly always be cancelled, and be kept for half a minute.

        Returns:
            False when the flow refused it; the transaction is then gone and the user has not been called.
        """
        if not self.flow.send(self.data):
            self.terminate()
            return False
        durations = self.layer.durations
        timers = self.layer.timers
        if self.flow.reliable:
            timers.set(durations.timeout, now, self, TIMEOUT)
        else:
            self._deadline = now + durations.timeout
            self._interval = durations.t1
            timers.set(durations.t1, now, self, RETRANSMIT)
        return True

    def receive(self, response: Response, now: float) -> None:
        """A response that matched."""
        if self.method == b"INVITE":
            self._receive_invite(response, now)
        else:
            self._receive_other(response, now)

    def _receive_invite(self, response: Response, now: float) -> None:
        status = response.status
        state = self.state
        if status < 200:
            if state <= PROCEEDING:
                if state == TRYING:
                    self.state = PROCEEDING
                    self.epoch += 1  # A and B end; how long it may ring is the proxy's timer C
                self._tell(response, now)
        elif status < 300:
            if state <= PROCEEDING:
                self.state = ACCEPTED
                self.epoch += 1
                self.data = b""  # nothing is sent again from here on
                self.layer.timers.set(self.layer.durations.timeout, now, self, LINGER)  # timer M
                self._tell(response, now)
            elif state == ACCEPTED:
                self._tell(response, now)
        elif state <= PROCEEDING:
            self._complete_invite(response, now)
        elif state == COMPLETED and self.ack is not None:
            self.flow.send(self.ack)

    def _complete_invite(self, response: Response, now: float) -> None:
        self.ack = ack_for(self.data, response)
        self.data = b""
        self.flow.send(self.ack)
        self.state = COMPLETED
        self.epoch += 1
        if not self.flow.reliable:
            self.layer.timers.set(self.layer.durations.d, now, self, LINGER)  # timer D
        user = self.user
        if self.flow.reliable:
            self.terminate()
        if user is not None:
            self.user = None
            user.on_client_response(self, response, now)

    def _receive_other(self, response: Response, now: float) -> None:
        if self.state > PROCEEDING:
            return
        if response.status < 200:
            self.state = PROCEEDING
            self._tell(response, now)
            return
        # Timer K would wait for repetitions of this answer to drop them: what belongs to no transaction is dropped too.
        user = self.user
        self.terminate()
        if user is not None:
            user.on_client_response(self, response, now)

    def _tell(self, response: Response, now: float) -> None:
        if self.user is not None:
            self.user.on_client_response(self, response, now)

    def on_timer(self, kind: int, now: float) -> None:
        """Timers A, B, D, E, F, M."""
        if kind == RETRANSMIT:
            self._retransmit(now)
            return
        user = self.user
        self.terminate()
        if user is None:
            return
        if kind == TIMEOUT:
            user.on_client_timeout(self, now)
        else:
            user.on_client_closed(self)

    def _retransmit(self, now: float) -> None:
        durations = self.layer.durations
        if not self.flow.send(self.data):
            self.fail(now)
            return
        if self.method == b"INVITE":
            self._interval *= 2
        elif self.state == PROCEEDING:
            self._interval = durations.t2
        else:
            self._interval = min(self._interval * 2, durations.t2)
        left = self._deadline - now
        if self._interval < left:
            self.layer.timers.set(self._interval, now, self, RETRANSMIT)
        else:
            self.layer.timers.set(_rounded(left, durations.t1), now, self, TIMEOUT)

    def fail(self, now: float) -> None:
        """The flow broke: end, and tell the user when no final response had come."""
        user = self.user
        waiting = self.state <= PROCEEDING
        self.terminate()
        if waiting and user is not None:
            user.on_client_error(self, now)

    def give_up_after(self, seconds: float, now: float) -> None:
        """End with a time-out unless a final response comes within that time (RFC 3261 section 9.1, 64*T1)."""
        self.layer.timers.set(seconds, now, self, TIMEOUT)

    def terminate(self) -> None:
        """Leave the layer and let go of everything."""
        self.state = TERMINATED
        self.epoch += 1
        self.layer.forget_client(self)
        self.user = None
        self.data = b""
        self.ack = None


def _rounded(seconds: float, step: float) -> float:
    """To whole steps, at least one: few different durations share few timer queues."""
    return max(1, round(seconds / step)) * step


_ACK_COPIES: Final = frozenset((H.ROUTE, H.FROM, H.CALL_ID, H.MAX_FORWARDS))
_CANCEL_COPIES: Final = frozenset((H.ROUTE, H.FROM, H.TO, H.CALL_ID, H.MAX_FORWARDS))


def _derived(data: bytes, method: bytes, copies: frozenset[bytes]) -> Request:
    original = parse(data)
    assert isinstance(original, Request)
    request = Request(method, original.uri_raw, [])
    request.append(H.VIA, b"Via: " + original.top_via_raw)
    for name, line in zip(original.names, original.lines, strict=True):
        if name in copies:
            request.append(name, line)
    number = original.require(H.CSEQ).split()[0]
    request.append(H.CSEQ, b"CSeq: " + number + b" " + method)
    request.append(H.CONTENT_LENGTH, b"Content-Length: 0")
    return request


def ack_for(data: bytes, response: Response) -> bytes:
    """The ACK that a client transaction sends for a final response that is no 2xx (RFC 3261 section 17.1.1.3).

    Args:
        data: the INVITE as sent.
        response: gives the To with its tag.
    """
    ack = _derived(data, b"ACK", _ACK_COPIES)
    ack.insert(len(ack.lines) - 2, H.TO, b"To: " + response.require(H.TO))
    return bytes(ack)


def cancel_for(data: bytes, reason: bytes | None = None) -> bytes:
    """The CANCEL for a request as sent (RFC 3261 section 9.1).

    Args:
        data: the INVITE as sent.
        reason: a Reason header's value to put in (RFC 3326).
    """
    cancel = _derived(data, b"CANCEL", _CANCEL_COPIES)
    if reason:
        cancel.append(H.REASON, b"Reason: " + reason)
    return bytes(cancel)
