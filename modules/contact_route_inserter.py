"""ContactRouteInserter: puts this server's address in place of the client's, so that the next server calls back here.

The client's own address travels along in a URI parameter, `transport:host:port`, and is put back in place when a
request for it comes.
"""

from __future__ import annotations

import secrets

from flexipy.proxy.api import Module, ModuleContext, RequestEvent, ResponseEvent, SipError, SipUri, boolean
from flexipy.sip import names as H
from flexipy.sip.headers import NameAddr, replace_uri
from flexipy.sip.message import Message, Request, unfold
from flexipy.sip.params import encode
from flexipy.sip.uri import parse_host_port, scheme_of
from flexipy.transport.flow import Flow

_PREFIX = "ctrt"
_DEFAULT_PORTS = {"tls": 5061, "wss": 443, "ws": 80}


class ContactRouteInserter(Module):
    """Masquerade contacts, and undo it on the way back."""

    name = "ContactRouteInserter"
    help = (
        "For a server that stands between clients and a registrar elsewhere: replaces the address in the Contact of "
        "REGISTER requests that are sent on by this server's own, so that calls for the client come here, and takes "
        "them to the client."
    )
    parameters = (
        boolean("masquerade-contacts-on-registers", "true", "Do so in REGISTER requests."),
        boolean("masquerade-contacts-for-invites", "false", "Do so in INVITE requests and the answers to them."),
        boolean(
            "insert-domain",
            "false",
            "Remember the domain of the From header in place of the client's address: calls are then routed as any "
            "other for that user and domain.",
        ),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        values = context.values
        self._registers = values.boolean("masquerade-contacts-on-registers")
        self._invites = values.boolean("masquerade-contacts-for-invites")
        self._by_domain = values.boolean("insert-domain")
        self._param = _PREFIX + self._unique_id().lower()
        self._mark = encode(self._param) + b"="

    def _unique_id(self) -> str:
        """Tells our parameter from another server's; kept, since registrations elsewhere outlive a restart."""
        given = self.context.section("global").string("unique-id")
        if given:
            return given
        drawn = secrets.token_hex(8)
        try:
            path = self.context.state_file("unique-id")
            if not path.exists():
                path.write_text(drawn + "\n", "ascii")
            return path.read_text("ascii").strip() or drawn
        except (OSError, UnicodeError) as error:
            self.context.logger.warning("masqueraded contacts will not survive a restart: %s", error)
            return drawn

    def on_request(self, event: RequestEvent) -> None:
        """Masquerade it as it leaves, or bring it back to the client's address."""
        request = event.request
        method = request.method
        if method == b"REGISTER":
            if self._registers and H.CONTACT in request.names:
                self._before_send(event)
            return
        if method == b"INVITE" and self._invites and H.CONTACT in request.names:
            self._before_send(event)
        if self._mark in request.uri_raw.lower():
            self._restore(request)

    def _before_send(self, event: RequestEvent) -> None:
        # Which of our addresses the next server must see is known only once the way out is.
        event.before_send = [*(event.before_send or ()), self._on_its_way]

    def _on_its_way(self, request: Request, flow: Flow) -> None:
        domain = ""
        if self._by_domain and request.method == b"REGISTER":
            domain = request.from_.uri.host
        self._masquerade(request, flow, domain)

    def on_response(self, event: ResponseEvent) -> None:
        """Masquerade the address of who answers a call."""
        response = event.response
        if not self._invites or H.CONTACT not in response.names or response.status >= 300:
            return
        toward_caller = event.branch.context.server.flow
        method = (response.get(H.CSEQ) or b"").rpartition(b" ")[2]
        if method in (b"INVITE", b"SUBSCRIBE") and isinstance(toward_caller, Flow):
            self._masquerade(response, toward_caller, "")

    # --- contacts ----------------------------------------------------------------------------------------

    def _masquerade(self, message: Message, flow: Flow, domain: str) -> None:
        own = SipUri.parse(flow.record_route_uri)
        values = message.get_all(H.CONTACT)
        left = len(values)
        changed: list[bytes] = []
        for raw in values:
            if raw == b"*":
                changed.append(raw)
                continue
            raw = unfold(raw)
            contact = NameAddr.parse(raw)
            if left > 1 and contact.params.get("expires") == "0":
                left -= 1  # an old address that the registrar elsewhere never got to see
                continue
            if scheme_of(contact.uri_raw) in ("sip", "sips"):
                raw = replace_uri(raw, contact.uri_raw, self._disguised(contact.uri, own, domain).raw)
            changed.append(raw)
        message.set_values(H.CONTACT, b"Contact", changed)
        self.context.counters["contacts_masqueraded"] += 1

    def _disguised(self, uri: SipUri, own: SipUri, domain: str) -> SipUri:
        if self._param in uri.params:
            return uri  # the request came by twice
        params = {name: value for name, value in uri.params.items() if name not in ("transport", "maddr")}
        if "transport" in own.params:
            params["transport"] = own.params["transport"]
        transport = "tls" if uri.secure else (uri.param("transport") or "udp").lower()
        place = domain
        if not domain:
            place = uri.with_address(uri.host, uri.port or _DEFAULT_PORTS.get(transport, 5060)).host_port
        params[self._param] = f"{transport}:{place}"
        return SipUri("sip", uri.user, own.host, own.port, params, uri.headers, uri.password)

    def _restore(self, request: Request) -> None:
        uri = request.uri
        transport, _, place = (uri.param(self._param) or "").partition(":")
        try:
            host, port = parse_host_port(place)
        except SipError:
            return
        params = {name: value for name, value in uri.params.items() if name not in (self._param, "transport", "maddr")}
        if transport.lower() != "udp" and port is not None:
            params["transport"] = transport.lower()
        request.uri_raw = SipUri(uri.scheme, uri.user, host, port, params, uri.headers, uri.password).raw
        self.context.counters["contacts_restored"] += 1
