"""Redirect: sends callers elsewhere (RFC 3261 section 8.3)."""

from __future__ import annotations

from flexipy.proxy.api import Module, ModuleContext, ModuleError, RequestEvent, SipError, string
from flexipy.sip import names as H
from flexipy.sip.headers import NameAddr
from flexipy.sip.params import encode


class Redirect(Module):
    """Answer 302."""

    name = "Redirect"
    help = "Answers every request that its filter lets in with 302 and the address where to ask instead."
    parameters = (
        string(
            "contact",
            "",
            "The address to ask instead, as in a Contact header: `<sip:192.0.2.7:5065>;expires=100`.",
        ),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        text = context.values.string("contact")
        if not text:
            raise ModuleError("[module::Redirect] contact: say where requests are redirected to")
        try:
            NameAddr.parse(encode(text))
        except SipError as error:
            raise ModuleError(f"[module::Redirect] contact: '{text}' is not an address: {error}") from error
        self._contact = b"Contact: " + encode(text)

    def on_request(self, event: RequestEvent) -> None:
        """Redirect it."""
        response = event.response(302)
        response.append(H.CONTACT, self._contact)
        event.send_response(response)
