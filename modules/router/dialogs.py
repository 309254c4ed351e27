"""Requests within a call whose device has slept or moved: where it is now, and whether it has to be waited for.

A device is known again by the reference in its Contact (RFC 8599 section 6.2.3); without one by the connection that
the call was set up over, if that is gone and the registrar still knows it. By UDP, where nothing is ever gone, only the
reference helps.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

from flexipy.proxy.api import ModuleContext, RequestEvent, SipError
from flexipy.registrar.binding import Binding, Record
from flexipy.registrar.domains import ManagedDomains
from flexipy.registrar.purr import PARAMETER
from flexipy.registrar.registrar import Registrar
from flexipy.sip import names as H
from flexipy.sip.uri import SipUri, scheme_of

_MARK: Final = PARAMETER.encode() + b"="
_TRANSPORT: Final = b"transport="
_PUSHABLE: Final = b"pn-"
_MOST_MOVED: Final = 10_000


class DialogDevices:
    """Finds the devices of calls that stand.

    Args:
        context: the Router's.
        registrar: knows where they are.
        domains: which addresses are ours.
    """

    def __init__(self, context: ModuleContext, registrar: Registrar, domains: ManagedDomains) -> None:
        self._context = context
        self._registrar = registrar
        self._domains = domains
        # Call-ID and the connection that is gone, and whose it was: it has another by the next request of the call.
        self._moved: OrderedDict[tuple[bytes, bytes], tuple[str, str]] = OrderedDict()

    def concerns(self, event: RequestEvent) -> bool:
        """Whether a request may be for a device that has slept or moved; to be asked of each request."""
        raw = event.request.uri_raw
        if _MARK in raw:
            return True
        token = event.route_token
        if token:
            return self._is_gone(token)
        if _TRANSPORT not in raw or not event.request.tag(H.TO) or scheme_of(raw) not in ("sip", "sips"):
            return False
        return self._context.agent.egress.immediate_flow(event.request.uri) is None

    def find(self, event: RequestEvent) -> Binding | None:
        """The device that a request within a call is for, as it is registered now; None for all other requests."""
        request = event.request
        if not request.tag(H.TO) or scheme_of(request.uri_raw) not in ("sip", "sips") or H.ROUTE in request.names:
            return None
        purr = request.uri.param(PARAMETER)
        named = self._registrar.purrs.read(purr) if purr else None
        if named is not None:
            return self._binding(*named)
        return self._by_connection(event)

    def is_away(self, binding: Binding) -> bool:
        """Whether nothing can be sent to a device before it comes back."""
        if binding.flow_token:
            return self._is_gone(binding.flow_token)
        if binding.path or binding.uri.param("transport") in (None, "udp"):
            return False
        return self._context.agent.egress.immediate_flow(binding.uri) is None

    def may_sleep(self, binding: Binding) -> bool:
        """Whether a request may not reach a device, and a push would help."""
        if _PUSHABLE not in binding.uri.raw:
            return False
        if binding.flow_token or binding.path:
            return self.is_away(binding)
        return True  # by UDP nobody knows before it answers

    def _is_gone(self, token: bytes) -> bool:
        flow = self._context.transports.flow_from_token(token)
        return flow is None or flow.closed

    def _binding(self, key: str, unique_id: str) -> Binding | None:
        record = self._registrar.fetch(key, time.time())
        return record.get(unique_id) if isinstance(record, Record) else None

    def _by_connection(self, event: RequestEvent) -> Binding | None:
        request = event.request
        token, target = event.route_token, request.uri
        gone = (request.call_id, token or target.raw)
        known = self._moved.get(gone)
        if known is not None:
            return self._binding(*known)
        try:
            peer = request.to.uri
        except SipError:
            return None
        if not self._domains.manages(peer.host):
            return None
        record = self._registrar.fetch(self._domains.key(peer.user, peer.host, peer.aor), time.time())
        for binding in record.bindings if isinstance(record, Record) else ():
            if _PUSHABLE in binding.uri.raw and _went_by(binding, token, target):
                self._moved[gone] = (binding.key, binding.unique_id)
                if len(self._moved) > _MOST_MOVED:
                    self._moved.popitem(last=False)
                return binding
        return None


def _went_by(binding: Binding, token: bytes, target: SipUri) -> bool:
    """Whether a device is the one at the other end of a connection, or at an address."""
    if token:
        return binding.flow_token == token
    return (binding.uri.host, binding.uri.port) == (target.host, target.port)
