"""A flow (RFC 5626): a path to one remote that works in both directions.

For UDP it is a listening socket and a remote address, for streams one connection. Subclasses live next to
their protocol: `udp.py`, `stream.py`, `websocket.py`.
"""

import itertools
import logging
from collections.abc import Callable

from mypy_extensions import mypyc_attr

from flexipy.transport.addresses import host_port
from flexipy.transport.listener import Listener, stamp

_log = logging.getLogger(__name__)
_next_id = itertools.count(1).__next__


@mypyc_attr(allow_interpreted_subclasses=True)
class Flow:
    """What the rest of the server knows of a path to a remote.

    Attributes:
        transport: b"UDP", b"TCP", b"TLS", b"WS" or b"WSS".
        listener: the listening point it belongs to; of an outgoing connection the one we advertise.
        remote: numeric address (no brackets) and port.
        local: the concrete address and port of ours that it uses.
        id: unique in this process.
        via_prefix: our Via header line up to and including `branch=`.
        record_route_uri: our URI for a Record-Route toward this remote.
        via_stamp: what RFC 3581 puts on the Via of a request from here, `;received=192.0.2.1;rport=5060`.
        remote_host_port: `remote` as it stands in a header.
        peer_names: names in the verified certificate of a TLS peer (RFC 5922), else empty.

    """

    __slots__ = (
        "_close_listeners",
        "closed",
        "id",
        "listener",
        "local",
        "peer_names",
        "record_route_uri",
        "reliable",
        "remote",
        "remote_host_port",
        "secure",
        "transport",
        "via_prefix",
        "via_stamp",
    )

    def __init__(self, transport: bytes, listener: Listener | None) -> None:
        self.transport = transport
        self.listener = listener
        self.reliable = transport != b"UDP"
        self.secure = transport in {b"TLS", b"WSS"}
        self.closed = False
        self.id: int = _next_id()
        self.remote: tuple[str, int] = ("", 0)
        self.local: tuple[str, int] = ("", 0)
        self.via_prefix = b""
        self.via_stamp = b""
        self.record_route_uri = b""
        self.remote_host_port = b""
        self.peer_names: tuple[str, ...] = ()
        self._close_listeners: list[Callable[[Flow], None]] | None = None

    def locate(self, local: tuple[str, int], remote: tuple[str, int]) -> None:
        """Set both ends and what follows from them."""
        self.local = local
        self.remote = remote
        self.remote_host_port = host_port(*remote)
        self.via_stamp = b";received=%b;rport=%d" % (remote[0].encode(), remote[1])
        if self.listener is None:
            self.via_prefix, self.record_route_uri = stamp(self.transport, *local)
        else:
            self.via_prefix, self.record_route_uri = self.listener.stamp(local[0])

    def send(self, data: bytes) -> bool:
        """Send one message.

        Returns:
            False if it certainly does not leave: the flow is closed, its queue full or the kernel refused.

        """
        raise NotImplementedError

    def at_port(self, port: int) -> "Flow":
        """The flow to another port of the same remote, where there can be one; else this flow."""
        return self

    def close(self) -> None:
        """Close the path once queued output is gone; a UDP flow has nothing to close."""

    def add_close_listener(self, callback: "Callable[[Flow], None]") -> None:
        """Call `callback(flow)` once, when the flow is gone; at once if it already is."""
        if self.closed:
            self._notify(callback)
        elif self._close_listeners is None:
            self._close_listeners = [callback]
        else:
            self._close_listeners.append(callback)

    def remove_close_listener(self, callback: "Callable[[Flow], None]") -> None:
        """Forget a callback; one that is not there is not an error."""
        if self._close_listeners is not None and callback in self._close_listeners:
            self._close_listeners.remove(callback)

    def mark_closed(self) -> None:
        """The path is gone: tell who asked to know. Only the transports call this."""
        if self.closed:
            return
        self.closed = True
        callbacks, self._close_listeners = self._close_listeners, None
        for callback in callbacks or ():
            self._notify(callback)

    def _notify(self, callback: "Callable[[Flow], None]") -> None:
        try:
            callback(self)
        except Exception:
            _log.exception("a close listener of %s failed", self)

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<{self.transport.decode()} flow {self.id} {self.remote_host_port.decode()}{state}>"
