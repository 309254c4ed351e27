"""A transaction layer with an outlet that keeps what is sent, and time that only a test moves."""

from __future__ import annotations

from flexipy.sip.message import Request, Response
from flexipy.sip.parsing import parse
from flexipy.sip.timers import Timers
from flexipy.sip.transaction import ClientTransaction, ServerTransaction, TransactionLayer
from flexipy.sip.transaction.layer import server_key


class Outlet:
    """Where transactions send."""

    def __init__(self, reliable: bool) -> None:
        self.reliable = reliable
        self.sent: list[bytes] = []
        self.times: list[float] = []
        self.broken = False
        self.stage: Stage | None = None

    def send(self, data: bytes) -> bool:
        if self.broken:
            return False
        self.sent.append(data)
        self.times.append(self.stage.now if self.stage is not None else 0.0)
        return True


class User:
    """Who uses a transaction: notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_client_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self.told.append(str(response.status))

    def on_client_timeout(self, transaction: ClientTransaction, now: float) -> None:
        self.told.append("timeout")

    def on_client_error(self, transaction: ClientTransaction, now: float) -> None:
        self.told.append("error")

    def on_client_closed(self, transaction: ClientTransaction) -> None:
        self.told.append("over")

    def on_cancel(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        self.told.append("cancel")

    def on_server_closed(self, transaction: ServerTransaction, now: float) -> None:
        self.told.append("closed")


class Stage:
    """A layer, an outlet, a user and the time."""

    def __init__(self, method: str, reliable: bool) -> None:
        self.now = 0.0
        self.timers = Timers()
        self.layer = TransactionLayer(self.timers)
        self.outlet = Outlet(reliable)
        self.outlet.stage = self
        self.user = User()
        self.request = make_request(method)

    def client(self) -> ClientTransaction:
        method = self.request.method
        transaction = self.layer.create_client(b"z9hG4bKours", method, bytes(self.request), self.outlet, self.user)
        assert transaction.start(self.now)
        return transaction

    def server(self) -> ServerTransaction:
        via = self.request.top_via_raw
        key = server_key(self.request, via, b"host", self.request.method)
        transaction = self.layer.create_server(key, self.request, self.outlet)
        transaction.user = self.user
        return transaction

    def response(self, status: int, tag: str = "t") -> Response:
        return Response.to_request(self.request, status, "", tag.encode())

    def passes(self, seconds: float) -> None:
        """Let time pass in steps of 10 ms."""
        for _ in range(round(seconds * 100)):
            self.now = round(self.now + 0.01, 2)
            self.timers.fire(self.now)

    @property
    def open(self) -> int:
        return len(self.layer.clients) + len(self.layer.servers)

    @property
    def kinds(self) -> list[str]:
        """Methods and statuses of what was sent."""
        found = [parse(data) for data in self.outlet.sent]
        return [each.method.decode() if isinstance(each, Request) else str(each.status) for each in found]


def make_request(method: str, branch: str = "z9hG4bKours") -> Request:
    return Request.build(
        method,
        "sip:bob@b.test",
        [
            ("Via", f"SIP/2.0/UDP host;branch={branch}"),
            ("Max-Forwards", "70"),
            ("Route", "<sip:proxy.test;lr>"),
            ("From", "<sip:alice@a.test>;tag=1"),
            ("To", "<sip:bob@b.test>"),
            ("Call-ID", "c1"),
            ("CSeq", f"7 {method}"),
            ("Proxy-Authorization", "Digest x"),
        ],
        b"body",
    )
