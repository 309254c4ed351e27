"""Requests within a call whose device has slept or moved: where it is now, and whether it has to be waited for.

A device is known again by the reference in its Contact (RFC 8599 section 6.2.3); without one by the connection that
the call was set up over, or the address, as long as the registrar knows that; and from then on by the call.
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

    def find(self, event: RequestEvent) -> Binding | None:
        """The device that a request within a call is for, as it is registered now; None for all other requests.

        Only devices that can be pushed: whether they are awake is not known before they answer, since a phone that
        falls asleep closes no connection.
        """
        request = event.request
        raw = request.uri_raw
        if not request.tag(H.TO) or H.ROUTE in request.names or scheme_of(raw) not in ("sip", "sips"):
            return None
        purr = request.uri.param(PARAMETER) if _MARK in raw else None
        named = self._registrar.purrs.read(purr) if purr else None
        if named is not None:
            return self._binding(*named)
        found = self._by_connection(event)
        if found is None and event.route_token and b"gr=" in raw and self._is_gone(event.route_token):
            event.route_token = b""  # the device's own address leads to where it is now
        return found

    def is_there(self, event: RequestEvent, binding: Binding) -> bool:
        """Whether a request goes to where its device is now already."""
        if event.route_token:
            return event.route_token == binding.flow_token
        return not binding.flow_token and _at(binding, event.request.uri)

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
            if _PUSHABLE in binding.uri_raw and _went_by(binding, token, target):
                self._moved[gone] = (binding.key, binding.unique_id)
                if len(self._moved) > _MOST_MOVED:
                    self._moved.popitem(last=False)
                return binding
        return None


def _went_by(binding: Binding, token: bytes, target: SipUri) -> bool:
    """Whether a device is the one at the other end of a connection, or at an address."""
    return binding.flow_token == token if token else _at(binding, target)


def _at(binding: Binding, target: SipUri) -> bool:
    return (binding.uri.host, binding.uri.port) == (target.host, target.port)
