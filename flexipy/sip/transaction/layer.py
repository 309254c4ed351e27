"""The table of transactions and the matching of messages to them (RFC 3261 sections 17.1.3 and 17.2.3)."""

from __future__ import annotations

from typing import Final

from flexipy.sip import names as H
from flexipy.sip.message import Request, Response
from flexipy.sip.params import find_param
from flexipy.sip.timers import Timers
from flexipy.sip.transaction.client import ClientTransaction, ClientUser
from flexipy.sip.transaction.server import ServerTransaction
from flexipy.sip.transaction.states import Durations, Outlet

MAGIC: Final = b"z9hG4bK"


class TransactionLayer:
    """Every transaction that lives.

    Attributes:
        timers: the queues that drive them; the owner calls `timers.fire(now)`.
        servers: server transactions by key.
        clients: client transactions by branch (that of a CANCEL with ` CANCEL` behind it).
    """

    __slots__ = ("clients", "durations", "servers", "timers")

    def __init__(self, timers: Timers, durations: Durations | None = None) -> None:
        self.timers = timers
        self.durations = durations or Durations()
        self.servers: dict[bytes, ServerTransaction] = {}
        self.clients: dict[bytes, ClientTransaction] = {}

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
        return transaction

    def match_response(self, response: Response, via: bytes) -> ClientTransaction | None:
        """The transaction that a response belongs to.

        Args:
            response: as received, our Via still on top.
            via: its topmost Via value.
        """
        branch = find_param(via, b"branch")
        if branch is None:
            return None
        cseq = response.get(H.CSEQ)
        if cseq is None:
            return None
        method = cseq.rpartition(b" ")[2]
        transaction = self.clients.get(branch + b" CANCEL" if method == b"CANCEL" else branch)
        return transaction if transaction is not None and transaction.method == method else None

    def forget_server(self, transaction: ServerTransaction) -> None:
        """Take a transaction out of the table."""
        self.servers.pop(transaction.key, None)

    def forget_client(self, transaction: ClientTransaction) -> None:
        """Take a transaction out of the table."""
        branch = transaction.branch
        self.clients.pop(branch + b" CANCEL" if transaction.method == b"CANCEL" else branch, None)


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
        key = branch + b" " + sent_by
    else:
        from_tag = find_param(request.get(H.FROM) or b"", b"tag") or b""
        cseq = (request.get(H.CSEQ) or b"").split()
        number = cseq[0] if cseq else b""
        key = b" ".join((b"2543", request.call_id, from_tag, number, sent_by, branch or b""))
    return key if method in (b"INVITE", b"ACK") else key + b" " + method
