"""LoadBalancer: spreads calls over other servers; all requests of a call go to the same one."""

from __future__ import annotations

import zlib
from typing import Final

from flexipy.proxy.api import (
    Module,
    ModuleContext,
    ModuleError,
    RequestEvent,
    ResponseEvent,
    SipError,
    SipUri,
    string_list,
)
from flexipy.sip import names as H
from flexipy.sip.headers import NameAddr
from flexipy.sip.params import encode

_REST: Final = 30.0  # seconds that a server which did not answer gets no new calls
_NOT_REACHED: Final = frozenset((408, 503))


class _Server:
    """One of the servers.

    Attributes:
        uri: its address, loose routing asked for (RFC 3261 section 16.6 item 6).
        line: the Route header line that leads there.
        avoid_until: no new calls before that, monotonic seconds.
    """

    __slots__ = ("avoid_until", "line", "uri")

    def __init__(self, text: str) -> None:
        uri = NameAddr.parse(encode(text)).uri
        self.uri = uri if "lr" in uri.params else uri.with_params(lr="")
        self.line = b"Route: <" + self.uri.raw + b">"
        self.avoid_until = 0.0


class LoadBalancer(Module):
    """Put a Route to one of several servers on each request."""

    name = "LoadBalancer"
    help = (
        "Spreads requests over several servers by their Call-ID, so that all of a call meet the same one. A server "
        "that could not be reached is left out for half a minute."
    )
    parameters = (
        string_list("routes", "", "SIP addresses of the servers: `<sip:192.0.2.22> <sip:192.0.2.23;transport=tcp>`."),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        self._servers: list[_Server] = []
        for text in context.values.strings("routes"):
            try:
                self._servers.append(_Server(text))
            except SipError as error:
                raise ModuleError(f"[module::LoadBalancer] routes: '{text}': {error}") from error
        self._by_line = {server.line: server for server in self._servers}
        self._places = {_place(server.uri) for server in self._servers}

    def on_request(self, event: RequestEvent) -> None:
        """Choose a server, unless the request's own route leads to one already."""
        if not self._servers or event.route_token or (event.branch is not None and event.branch.flow_token):
            return
        request = event.request
        index = request.shape.route
        if index < 0:
            index = len(request.lines)
        elif _place(NameAddr.parse(request.get_all(H.ROUTE)[0]).uri) in self._places:
            return
        request.insert(index, H.ROUTE, self._choose(request.call_id, event.now).line)

    def _choose(self, call_id: bytes, now: float) -> _Server:
        # Not hash(), which differs between processes: all workers and restarts must agree.
        number = zlib.crc32(call_id)
        server = self._servers[number % len(self._servers)]
        if server.avoid_until <= now:
            return server
        others = [other for other in self._servers if other.avoid_until <= now]
        return others[number % len(others)] if others else server

    def on_response(self, event: ResponseEvent) -> None:
        """Note which server could not be reached."""
        if event.flow is not None or event.response.status not in _NOT_REACHED:
            return
        request = event.branch.request
        if request is None or request.shape.route < 0:
            return
        server = self._by_line.get(request.lines[request.shape.route])
        if server is not None:
            server.avoid_until = event.now + _REST
            self.context.counters["balanced_servers_lost"] += 1
            self.context.logger.warning("%s does not answer: no new calls for %.0f s", server.uri, _REST)


def _place(uri: SipUri) -> tuple[str, int]:
    return uri.host, uri.port or (5061 if uri.secure else 5060)
