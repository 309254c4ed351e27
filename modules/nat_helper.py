"""NatHelper: makes clients behind a NAT reachable.

Two strategies. contact-correction: a Contact that names the address which the client itself sees is rewritten to
the one its messages come from. flow-token: the proxy stays in the route with a token that names the client's flow
(RFC 5626 section 5).
"""

from __future__ import annotations

from typing import Final

from flexipy.proxy.api import (
    Module,
    ModuleContext,
    RequestEvent,
    Response,
    ResponseEvent,
    boolean,
    enum,
    expression,
    string,
)
from flexipy.sip import names as H
from flexipy.sip.headers import NameAddr, replace_uri
from flexipy.sip.message import Message, unfold
from flexipy.sip.params import split_values
from flexipy.sip.searching import contains, sent_by_of
from flexipy.sip.uri import SipUri, scheme_of
from flexipy.transport.specs import DEFAULT_PORTS

_DIALOG: Final = frozenset((b"INVITE", b"SUBSCRIBE", b"REFER", b"UPDATE", b"NOTIFY"))
_CORRECTED: Final = _DIALOG | {b"REGISTER"}


class NatHelper(Module):
    """Correct contacts, or keep flows."""

    name = "NatHelper"
    help = (
        "Makes clients behind a NAT or on a connection of their own reachable, either by correcting the address in "
        "their Contact or by a token that names the connection they use."
    )
    enabled_by_default = True
    parameters = (
        enum(
            "nat-traversal-strategy",
            "contact-correction",
            "`contact-correction` rewrites a Contact that names the client's own idea of its address. `flow-token` "
            "leaves it alone and puts a token for the client's connection in Record-Route and Path (RFC 5626).",
            ("contact-correction", "flow-token"),
        ),
        expression(
            "force-flow-token",
            "user-agent contains 'Linphone'",
            "With `flow-token`: clients that get a token even when they don't ask for one with `;ob` in their Contact.",
        ),
        string(
            "flow-token-path",
            "/var/lib/flexisip/flow-token-hash-key",
            "File with the key that protects flow tokens; made when missing. Where its folder cannot be written the "
            "key is kept in the state directory.",
        ),
        string(
            "contact-correction-param",
            "verified",
            "URI parameter that marks a Contact as already corrected, so that the next proxy leaves it alone.",
        ),
        boolean(
            "fix-record-routes",
            "false",
            "Correct also the Record-Route that a proxy behind a NAT put in.",
            implemented=False,
        ),
        enum(
            "fix-record-routes-policy",
            "safe",
            "`safe` corrects only a Record-Route whose host equals that of the Via; `always` corrects every one.",
            ("safe", "always"),
            implemented=False,
        ),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        values = context.values
        self._by_token = values.string("nat-traversal-strategy") == "flow-token"
        self._force_token = values.expression("force-flow-token")
        self._mark = values.string("contact-correction-param").lower()
        self._mark_bytes = self._mark.encode()

    def on_request(self, event: RequestEvent) -> None:
        """Correct the Contact, or remember the flow."""
        request = event.request
        method = request.method
        if method not in _CORRECTED or request.shape.contact < 0:
            return
        if self._by_token:
            if self._wants_token(event):
                event.incoming_token = self.context.transports.flow_token(event.flow)
            return
        shape = request.shape
        if shape.vias > 1 or sent_by_of(request.lines[shape.via]) == event.flow.remote_host_port:
            return  # the address in the Via is the one it sends from, or another proxy was first
        host, port = _sent_by(request)
        self._correct(request, event.flow.remote, event.flow.transport, host, port)

    def _wants_token(self, event: RequestEvent) -> bool:
        contact = event.request.get(H.CONTACT) or b""
        if event.request.count(H.VIA) > 1:
            return False
        if contact.find(b";ob") >= 0 or contact.find(b"reg-id=") >= 0:
            return True
        return self._force_token is not None and self._force_token(event)

    def _correct(
        self, message: Message, address: tuple[str, int], transport: bytes, host: str, port: int | None
    ) -> None:
        """Rewrite each Contact that names `host` and `port` so that it names `address`."""
        index = message.shape.contact
        values = split_values(unfold(message.lines[index].partition(b":")[2]))
        changed = False
        for place, raw in enumerate(values):
            corrected = self._corrected(raw, address, transport, host, port)
            if corrected is not None:
                values[place] = corrected
                changed = True
        if changed:
            message.lines[index] = b"Contact: " + b", ".join(values)
            self.context.counters["contacts_corrected"] += 1

    def _corrected(
        self, raw: bytes, address: tuple[str, int], transport: bytes, host: str, port: int | None
    ) -> bytes | None:
        if raw == b"*":
            return None
        contact = NameAddr.parse(raw)
        if scheme_of(contact.uri_raw) not in ("sip", "sips"):
            return None
        uri = contact.uri
        if uri.host != host or not _same_port(uri.port, port, transport):
            return None
        if self._mark in uri.params or "gr" in uri.params:
            return None
        return replace_uri(raw, contact.uri_raw, self._moved(uri, address, transport).raw)

    def _moved(self, uri: SipUri, address: tuple[str, int], transport: bytes) -> SipUri:
        params = dict(uri.params)
        if transport != b"UDP":
            params["transport"] = transport.decode().lower()
        if self._mark:
            params[self._mark] = None
        return SipUri(uri.scheme, uri.user, address[0], address[1], params, uri.headers, uri.password)

    def on_response(self, event: ResponseEvent) -> None:
        """Correct the Contact of a device that answers directly."""
        response = event.response
        index = response.shape.contact
        if index < 0 or response.status < 180 or response.status >= 300 or self._by_token:
            return
        flow = event.flow
        request = event.branch.request
        if flow is None or request is None or request.method not in _DIALOG or request.shape.route >= 0:
            return
        if contains(response.lines[index], flow.remote_host_port):
            return
        if not self._answered_directly(request.uri_raw, flow.remote):
            return
        contact = _sole_contact(response)
        if contact is not None:
            self._correct(response, flow.remote, flow.transport, contact.host, contact.port)

    @staticmethod
    def _answered_directly(uri_raw: bytes, remote: tuple[str, int]) -> bool:
        # The request named the device's very address, so the response comes from the device, not from a proxy.
        if scheme_of(uri_raw) not in ("sip", "sips"):
            return False
        uri = SipUri.parse(uri_raw)
        return (uri.host, _port(uri)) == remote


def _port(uri: SipUri) -> int:
    return uri.port or (5061 if uri.secure else 5060)


def _same_port(contact: int | None, sent_by: int | None, transport: bytes) -> bool:
    # Either may leave the transport's usual port out; a browser on WSS leaves out both (RFC 7118 section 5).
    return contact == sent_by or {contact, sent_by} == {None, DEFAULT_PORTS[transport]}


def _sent_by(message: Message) -> tuple[str, int | None]:
    via = message.top_via
    return via.host, via.port


def _sole_contact(response: Response) -> SipUri | None:
    contacts = response.contacts()
    if len(contacts) != 1 or scheme_of(contacts[0].uri_raw) not in ("sip", "sips"):
        return None
    return contacts[0].uri
