"""A bare SIP phone for what no ready-made client can be made to do: it sends just what a test says."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from flexipy.sip import names as H
from flexipy.sip.digest import answer, compute_ha1, parse_challenge
from flexipy.sip.message import Request, Response
from flexipy.sip.params import decode
from flexipy.sip.parsing import parse
from tests.harness.events import PATIENCE, Events
from tests.harness.server import DOMAIN, Server, password_of
from tests.harness.sip_wire import Wire, open_wire

Headers = Sequence[tuple[str, str]]

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\n"
_SDP_TYPE = ("Content-Type", "application/sdp")


class Transaction:
    """A request that the phone sent, and what came back.

    Attributes:
        request: as sent last, with the credentials that were asked for.
        responses: all of them, each taken once.
    """

    def __init__(self, phone: SipPhone, request: Request) -> None:
        self.phone = phone
        self.request = request
        self.responses: Events[Response] = Events(f"answers to {phone.user}'s {decode(request.method)}")
        self._final: Response | None = None

    async def response(self, status: int, timeout: float = PATIENCE) -> Response:
        """Wait for a response of that status."""
        return await self.responses.take(lambda response: response.status == status, str(status), timeout)

    async def final(self, timeout: float = PATIENCE) -> Response:
        """Wait for the final response; the same again once it is there."""
        if self._final is None:
            self._final = await self.responses.take(lambda response: response.status >= 200, "final response", timeout)
        return self._final

    def cancel(self, headers: Headers = ()) -> Transaction:
        """Take an INVITE back."""
        names = (H.FROM, H.TO, H.CALL_ID)
        kept = [("Via", decode(self.request.require(H.VIA)))]
        kept += [(decode(name), decode(self.request.require(name))) for name in names]
        cseq = self.request.cseq.number
        cancel = Request.build("CANCEL", decode(self.request.uri_raw), [*kept, ("CSeq", f"{cseq} CANCEL"), *headers])
        cancel.append(H.MAX_FORWARDS, b"Max-Forwards: 70")
        return self.phone.send(cancel)


class Dialog:
    """A call that stands, seen from the phone (RFC 3261 section 12)."""

    def __init__(self, phone: SipPhone, local: str, remote: str, target: str, routes: list[str], call_id: str) -> None:
        self.phone = phone
        self.local = local
        self.remote = remote
        self.target = target
        self.routes = routes
        self.call_id = call_id
        self._sequence = itertools.count(100)

    def _headers(self, sequence: int, method: str) -> Headers:
        return (
            *(("Route", route) for route in self.routes),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{sequence} {method}"),
        )

    async def request(self, method: str, headers: Headers = (), body: bytes = b"") -> Response:
        """Send a request within the call and wait for its final response; a 2xx to an INVITE is acknowledged."""
        sequence = next(self._sequence)
        basic = self._headers(sequence, method)
        transaction = await self.phone.ask(method, self.target, (*basic, *headers), body)
        response = await transaction.final()
        if method == "INVITE" and response.status < 300:
            self.acknowledge(transaction.request.cseq.number)
        return response

    def acknowledge(self, sequence: int, body: bytes = b"") -> None:
        """Send the ACK for a 2xx, with the answer to its description where the INVITE had none."""
        headers = (*self._headers(sequence, "ACK"), *((_SDP_TYPE,) if body else ()))
        self.phone.send(self.phone.build("ACK", self.target, headers, body))

    async def bye(self) -> Response:
        """Hang up."""
        return await self.request("BYE")


class Incoming:
    """A request that reached the phone."""

    def __init__(self, phone: SipPhone, request: Request) -> None:
        self.phone = phone
        self.request = request
        self.tag = secrets.token_hex(4)

    def answer(self, status: int, headers: Headers = (), body: bytes = b"") -> Dialog | None:
        """Send a response; the call that stands with a 2xx to an INVITE."""
        request = self.request
        response = Response.to_request(request, status, "", self.tag.encode())
        for line in request.get_all(H.RECORD_ROUTE):
            response.append(H.RECORD_ROUTE, b"Record-Route: " + line)
        if request.method == b"INVITE" and 100 < status < 300:
            response.append(H.CONTACT, f"Contact: <{self.phone.contact}>".encode())
            body = body or (SDP if status >= 180 and status != 180 else b"")
        for name, value in headers:
            response.append(H.canonical(name.encode()), f"{name}: {value}".encode())
        if body:
            response.set_body(body, b"application/sdp")
        self.phone.reply(request, response)
        if request.method != b"INVITE" or not 200 <= status < 300:
            return None
        return Dialog(
            self.phone,
            decode(response.require(H.TO)),
            decode(request.require(H.FROM)),
            decode(request.contacts()[0].uri_raw),
            [decode(route) for route in request.get_all(H.RECORD_ROUTE)],
            decode(request.call_id),
        )


class SipPhone:
    """A phone with one wire to the server.

    Args:
        server: to reach.
        user: an account of it.
        transport: udp, tcp, tls, ws or wss.
        host: 127.0.0.1 or ::1.
        password: another than the right one.

    Attributes:
        requests: what reached it, each taken once.
        contact: its URI for others.
        last_credentials: the Authorization that it sent last.
    """

    def __init__(
        self,
        server: Server,
        user: str,
        transport: str = "udp",
        host: str = "127.0.0.1",
        password: str | None = None,
        domain: str = DOMAIN,
    ) -> None:
        self.server = server
        self.user = user
        self.domain = domain
        self.transport = transport
        self.host = host
        self.password = password_of(user) if password is None else password
        self.uri = f"sip:{user}@{domain}"
        self.contact = ""
        self.last_credentials = ""
        self.requests: Events[Incoming] = Events(f"requests to {user}")
        self._wire: Wire | None = None
        self._sent_by = ""
        self._transactions: dict[tuple[bytes, bytes], Transaction] = {}
        self._replies: dict[tuple[bytes, bytes], bytes] = {}
        self._register_call_id = secrets.token_hex(8)
        self._sequence = itertools.count(1)

    # --- life --------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the wire, a new one after a loss."""
        port = self.server.port(self.transport, self.host)
        self._wire = await open_wire(self.transport, self.host, port, self._receive, self.server.authority.file)
        host, port = self._wire.local
        self._sent_by = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self.transport in ("ws", "wss"):
            # A browser does not know its own address (RFC 7118 section 5).
            self._sent_by = f"{secrets.token_hex(6)}.invalid"
        suffix = "" if self.transport == "udp" else f";transport={self.transport.replace('wss', 'ws')}"
        self.contact = f"sip:{self.user}@{self._sent_by}{suffix}"

    @property
    def wire(self) -> Wire:
        """The way to the server."""
        assert self._wire is not None
        return self._wire

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._wire is not None:
            await self._wire.close()

    # --- sending -----------------------------------------------------------------------------------------

    def build(self, method: str, uri: str, headers: Headers = (), body: bytes = b"") -> Request:
        """A request with everything that it needs and the test did not give."""
        given = {name.lower() for name, _ in headers}
        via = f"SIP/2.0/{self.transport.upper()} {self._sent_by};rport;branch=z9hG4bK{secrets.token_hex(8)}"
        usual = (
            ("Via", via),
            ("Max-Forwards", "70"),
            ("From", f"<{self.uri}>;tag={secrets.token_hex(4)}"),
            ("To", f"<{uri}>"),
            ("Call-ID", secrets.token_hex(8)),
            ("CSeq", f"{next(self._sequence)} {method}"),
        )
        basic = [(name, value) for name, value in usual if name.lower() not in given]
        if method in ("INVITE", "SUBSCRIBE", "NOTIFY", "UPDATE") and "contact" not in given:
            basic.append(("Contact", f"<{self.contact}>"))
        return Request.build(method, uri, [*basic, *headers], body)

    def send(self, request: Request) -> Transaction:
        """Send a request as it is."""
        transaction = Transaction(self, request)
        self._transactions[_branch(request.top_via_raw), request.method] = transaction
        self.wire.send(bytes(request))
        return transaction

    async def ask(self, method: str, uri: str, headers: Headers = (), body: bytes = b"") -> Transaction:
        """Send a request and, where a password is asked for, once more with it."""
        first = self.build(method, uri, headers, body)
        transaction = self.send(first)
        challenged = await transaction.responses.take(lambda response: response.status > 100, "answer")
        if challenged.status not in (401, 407):
            transaction.responses.add(challenged)
            return transaction
        if method == "INVITE":
            self._acknowledge_failure(first, challenged)
        return self.send(self._with_password(first, challenged))

    async def request(self, method: str, uri: str, headers: Headers = (), body: bytes = b"") -> Response:
        """Send a request, with the password where asked for it, and wait for the final response."""
        return await (await self.ask(method, uri, headers, body)).final()

    def _with_password(self, request: Request, challenged: Response) -> Request:
        register = challenged.status == 401
        challenge = parse_challenge(challenged.require(H.WWW_AUTHENTICATE if register else H.PROXY_AUTHENTICATE))
        ha1 = compute_ha1(challenge.algorithm, self.user, challenge.realm, self.password)
        method, uri = decode(request.method), decode(request.uri_raw)
        credentials = answer(challenge, self.user, ha1, method, uri, secrets.token_hex(4))
        again = request.copy()
        via = decode(request.top_via_raw).partition(";branch=")[0]
        again.set(H.VIA, f"Via: {via};branch=z9hG4bK{secrets.token_hex(8)}".encode())
        again.set(H.CSEQ, f"CSeq: {next(self._sequence) + 1000} {method}".encode())
        name = b"Authorization" if register else b"Proxy-Authorization"
        again.append(name.lower(), name + b": " + credentials)
        self.last_credentials = decode(credentials)
        return again

    def _acknowledge_failure(self, invite: Request, response: Response) -> None:
        ack = Request(b"ACK", invite.uri_raw, [])
        for name, title in ((H.VIA, b"Via"), (H.MAX_FORWARDS, b"Max-Forwards"), (H.FROM, b"From")):
            ack.append(name, title + b": " + invite.require(name))
        for route in invite.get_all(H.ROUTE):
            ack.append(H.ROUTE, b"Route: " + route)
        ack.append(H.TO, b"To: " + response.require(H.TO))
        ack.append(H.CALL_ID, b"Call-ID: " + invite.call_id)
        ack.append(H.CSEQ, b"CSeq: %d ACK" % invite.cseq.number)
        ack.set_body(b"")
        self.wire.send(bytes(ack))

    # --- receiving ---------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        message = parse(data)
        if isinstance(message, Response):
            transaction = self._transactions.get((_branch(message.top_via_raw), message.cseq.method.encode()))
            if transaction is not None:
                self._answered(transaction, message)
            return
        key = (_branch(message.top_via_raw), message.method)
        if key in self._replies:
            if self._replies[key]:
                self.wire.send(self._replies[key])
            return
        if message.method != b"ACK":
            self._replies[key] = b""
        incoming = Incoming(self, message)
        if message.method == b"CANCEL":
            incoming.answer(200)
        self.requests.add(incoming)

    def _answered(self, transaction: Transaction, response: Response) -> None:
        if transaction.request.method == b"INVITE" and response.status >= 300 and response.status not in (401, 407):
            self._acknowledge_failure(transaction.request, response)
        transaction.responses.add(response)

    def reply(self, request: Request, response: Response) -> None:
        """Send a response to a request, again for each time that it comes again."""
        data = bytes(response)
        self._replies[_branch(request.top_via_raw), request.method] = data
        self.wire.send(data)

    async def incoming(self, method: str, timeout: float = PATIENCE) -> Incoming:
        """Wait for a request of that method."""
        wanted = method.encode()
        return await self.requests.take(lambda found: found.request.method == wanted, method, timeout)

    def has_got(self, method: str) -> bool:
        """Whether such a request came at all."""
        return self.requests.any(lambda found: found.request.method == method.encode())

    # --- what one does with a telephone ------------------------------------------------------------------

    async def register(self, expires: int = 600, parameters: str = "", headers: Headers = ()) -> Response:
        """Register its contact.

        Args:
            expires: seconds; 0 takes it back.
            parameters: of the contact, such as `;+sip.instance="<urn:uuid:...>"`.
            headers: further ones.
        """
        own = (
            ("To", f"<{self.uri}>"),
            ("Call-ID", self._register_call_id),
            ("Contact", f"<{self.contact}>{parameters}"),
            ("Expires", str(expires)),
        )
        return await self.request("REGISTER", f"sip:{self.domain}", (*own, *headers))

    async def message(self, uri: str, text: str) -> Response:
        """Send a text."""
        return await self.request("MESSAGE", uri, (("Content-Type", "text/plain"),), text.encode())

    async def invite(self, uri: str, headers: Headers = ()) -> Transaction:
        """Begin a call."""
        return await self.ask("INVITE", uri, (_SDP_TYPE, *headers), SDP)

    async def connected(self, call: Transaction, body: bytes = b"") -> Dialog:
        """Wait until a call that it made is answered, and acknowledge."""
        response = await call.final()
        assert response.status == 200, response
        dialog = Dialog(
            self,
            decode(call.request.require(H.FROM)),
            decode(response.require(H.TO)),
            decode(response.contacts()[0].uri_raw),
            [decode(route) for route in reversed(response.get_all(H.RECORD_ROUTE))],
            decode(response.call_id),
        )
        dialog.acknowledge(call.request.cseq.number, body)
        return dialog


def _branch(via: bytes) -> bytes:
    return via.partition(b";branch=")[2].partition(b";")[0].strip()
