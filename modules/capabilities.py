"""Capabilities: answers OPTIONS that ask this server itself (RFC 3261 section 11)."""

from __future__ import annotations

from typing import Final

from flexipy.proxy.api import Module, ModuleContext, RequestEvent
from flexipy.registrar.registrar import Registrar
from flexipy.sip import names as H

_ALLOW: Final = (
    b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, SUBSCRIBE, NOTIFY, REFER, INFO, UPDATE, "
    b"PRACK, PUBLISH"
)
_ACCEPT: Final = b"Accept: */*"


class Capabilities(Module):
    """Answer OPTIONS."""

    name = "Capabilities"
    help = (
        "Answers OPTIONS requests for the server itself, which have no user in their address, with 200 and what the "
        "server can do. Clients use them to see whether it is there."
    )
    enabled_by_default = True
    methods = frozenset((b"OPTIONS",))

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        self._supported = b"Supported: path"

    async def start(self) -> None:
        """See what there is to tell."""
        if self.context.optional(Registrar) is not None:
            self._supported = b"Supported: path, outbound, gruu"

    def on_request(self, event: RequestEvent) -> None:
        """Answer it when nobody but the server can be meant."""
        request = event.request
        if H.ROUTE in request.names or event.route_token:
            return
        own, user = self.context.agent.is_own(request.uri_raw)
        if not own or user:
            return
        response = event.response(200)
        response.append(H.ALLOW, _ALLOW)
        response.append(H.ACCEPT, _ACCEPT)
        response.append(H.SUPPORTED, self._supported)
        # Nothing is lost when a retransmission is answered anew, and nothing need be kept.
        event.send_stateless(response)
