"""The table of transactions and the matching of messages to them (RFC 3261 sections 17.1.3 and 17.2.3)."""

from __future__ import annotations

from typing import Final

from flexipy.sip import names as H
from flexipy.sip.message import Request, Response
from flexipy.sip.params import find_param
from flexipy.sip.searching import value_of
from flexipy.sip.timers import Timed, Timers
from flexipy.sip.transaction.client import ClientTransaction, ClientUser
from flexipy.sip.transaction.server import ServerTransaction
from flexipy.sip.transaction.states import LINGER, Durations, Outlet

_CANCEL: Final = b" CANCEL"
MAGIC: Final = b"z9hG4bK"
_FINALS_SIZE: Final = 16 << 20  # bytes in each of two generations


class FinalResponses(Timed):
    """Final responses by transaction key, each kept for one to two times `duration` seconds.

    In a flood, when they would fill more than `_FINALS_SIZE` bytes, the oldest go sooner.
    """

    __slots__ = ("_duration", "_new", "_old", "_size", "_ticking", "_timers")

    def __init__(self, timers: Timers, duration: float) -> None:
        self.epoch = 0
        self._timers = timers
        self._duration = duration
        self._new: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._size = 0
        self._ticking = False

    def keep(self, key: bytes, data: bytes, now: float) -> None:
        """Keep a response."""
        if not self._ticking:
            self._ticking = True
            self._timers.set(self._duration, now, self, LINGER)
        self._new[key] = data
        self._size += len(key) + len(data)
        if self._size > _FINALS_SIZE:
            self._turn()

    def _turn(self) -> None:
        self._old, self._new, self._size = self._new, {}, 0

    def get(self, key: bytes) -> bytes | None:
        """The response kept under a key."""
        found = self._new.get(key)
        return found if found is not None else self._old.get(key)

    def on_timer(self, kind: int, now: float) -> None:
        """A generation ends."""
        self._turn()
        self._ticking = bool(self._old)
        if self._ticking:
            self._timers.set(self._duration, now, self, LINGER)


class TransactionLayer:
    """Every transaction that lives.

    Attributes:
        timers: the queues that drive them; the owner calls `timers.fire(now)`.
        servers: server transactions by key.
        clients: client transactions by branch (that of a CANCEL with ` CANCEL` behind it).
    """

    __slots__ = ("_by_flow", "_finals", "clients", "durations", "servers", "timers")

    def __init__(self, timers: Timers, durations: Durations | None = None) -> None:
        self.timers = timers
        self.durations = durations or Durations()
        self.servers: dict[bytes, ServerTransaction] = {}
        self.clients: dict[bytes, ClientTransaction] = {}
        # Only of reliable flows: one that closes takes its transactions along.
        self._by_flow: dict[Outlet, set[ClientTransaction]] = {}
        self._finals = FinalResponses(timers, self.durations.timeout)

    def answer_at_once(self, key: bytes, data: bytes, flow: Outlet, now: float) -> None:
        """Send the final response to a request, no INVITE, that needed no transaction until now.

        Args:
            key: as for `create_server`.
            data: the response.
            flow: where it goes.
            now: monotonic seconds.
        """
        flow.send(data)
        if not flow.reliable:
            self._finals.keep(key, data, now)

    def keep_answer(self, key: bytes, data: bytes, now: float) -> None:
        """Keep the final response to a request, no INVITE, that came over UDP.

        Its transaction would only wait for retransmissions (timer J); the response alone does the same.
        """
        self._finals.keep(key, data, now)

    def given_answer(self, key: bytes) -> bytes | None:
        """The final response that was given to a request, no INVITE, if this is a retransmission of it."""
        return self._finals.get(key)

    def create_server(self, key: bytes, request: Request, flow: Outlet) -> ServerTransaction:
        """A transaction for a new request, entered in the table."""
        transaction = ServerTransaction(self, key, request, flow)
        self.servers[key] = transaction
        return transaction

    def create_client(
        self, branch: bytes, method: bytes, data: bytes, flow: Outlet, user: ClientUser | None
    ) -> ClientTransaction:
        """A transaction for a request to send, entered in the table; call its `start` next."""
        transaction = ClientTransaction(self, branch, method, data, flow, user)
        key = branch + b" CANCEL" if method == b"CANCEL" else branch
        self.clients[key] = transaction
        if flow.reliable:
            self._by_flow.setdefault(flow, set()).add(transaction)
        return transaction

    def uses(self, flow: Outlet) -> bool:
        """Whether a reliable flow carries a client transaction, so that `flow_failed` will be told of its end."""
        return flow in self._by_flow

    def flow_failed(self, flow: Outlet, now: float) -> None:
        """A connection closed: nothing more comes for its client transactions (RFC 3261 section 17.1.4)."""
        for transaction in list(self._by_flow.pop(flow, ())):
            transaction.fail(now)

    def match_response(self, response: Response, via: bytes) -> ClientTransaction | None:
        """The transaction that a response belongs to.

        Args:
            response: as received, our Via still on top.
            via: its topmost Via value.
        """
        branch = find_param(via, b"branch")
        if branch is None:
            return None
        index = response.shape.cseq
        if index < 0:
            return None
        line = response.lines[index]
        transaction = self.clients.get(branch + _CANCEL if line[-7:] == _CANCEL else branch)
        if transaction is not None:
            method = transaction.method
            size = len(method)
            if line[-size:] == method and line[-size - 1 : -size] == b" ":
                return transaction
        method = value_of(line).rpartition(b" ")[2]
        transaction = self.clients.get(branch + _CANCEL if method == b"CANCEL" else branch)
        return transaction if transaction is not None and transaction.method == method else None

    def forget_server(self, transaction: ServerTransaction) -> None:
        """Take a transaction out of the table."""
        self.servers.pop(transaction.key, None)

    def forget_client(self, transaction: ClientTransaction) -> None:
        """Take a transaction out of the table."""
        branch = transaction.branch
        self.clients.pop(branch + b" CANCEL" if transaction.method == b"CANCEL" else branch, None)
        if transaction.flow.reliable:
            living = self._by_flow.get(transaction.flow)
            if living is not None:
                living.discard(transaction)
                if not living:
                    del self._by_flow[transaction.flow]


def server_key(request: Request, via: bytes, sent_by: bytes, method: bytes) -> bytes:
    """The key under which a request's server transaction stands (RFC 3261 section 17.2.3).

    Args:
        request: the request; read only where its branch lacks the magic cookie (RFC 2543 clients).
        via: its topmost Via value as received.
        sent_by: the sent-by out of that Via.
        method: b"INVITE" for ACK and for the INVITE a CANCEL points at, else the request's own.
    """
    branch = find_param(via, b"branch")
    if branch is not None and branch[:7] == MAGIC and len(branch) > 7:
        if method == b"INVITE" or method == b"ACK":
            return b"%b %b" % (branch, sent_by)
        return b"%b %b %b" % (branch, sent_by, method)
    from_tag = find_param(request.get(H.FROM) or b"", b"tag") or b""
    cseq = (request.get(H.CSEQ) or b"").split()
    number = cseq[0] if cseq else b""
    key = b" ".join((b"2543", request.call_id, from_tag, number, sent_by, branch or b""))
    return key if method in (b"INVITE", b"ACK") else key + b" " + method
