"""SIP over TCP and TLS: one connection, one flow.

The flow is its own asyncio protocol. It owns no timer: `tick` is called for every connection by the sweep of
`connections.py` and finds out what is overdue.
"""

import asyncio
import contextlib
import logging
import ssl
import time
from typing import TYPE_CHECKING, cast

from flexipy.sip.framing import PING, PONG, FramingError, StreamFramer
from flexipy.transport.flow import Flow
from flexipy.transport.listener import Listener

if TYPE_CHECKING:
    from flexipy.transport.connections import ConnectionTable

_log = logging.getLogger(__name__)


class StreamFlow(Flow, asyncio.Protocol):
    """A TCP or TLS connection.

    Attributes:
        outgoing: we opened it.
        tls_name: the name its certificate was verified for, when we opened it with TLS.
        admitted_ip: address that it is counted under until it is gone; empty when not counted.
        opened_at: monotonic time of accept or connect.

    """

    __slots__ = (
        "_blocked_since",
        "_closing_since",
        "_framer",
        "_greeted",
        "_held",
        "_last_activity",
        "_last_ping",
        "_partial_since",
        "_sent",
        "_transport",
        "admitted_ip",
        "opened_at",
        "outgoing",
        "table",
        "tls_name",
    )

    def __init__(
        self,
        table: "ConnectionTable",
        transport: bytes,
        listener: Listener | None,
        outgoing: bool,
        tls_name: str = "",
    ) -> None:
        super().__init__(transport, listener)
        self.table = table
        self.outgoing = outgoing
        self.tls_name = tls_name
        self.admitted_ip = ""
        self.opened_at = self._last_activity = self._last_ping = time.monotonic()
        self._transport: asyncio.Transport | None = None
        self._framer: StreamFramer | None = None
        self._greeted = outgoing
        self._sent = False
        self._partial_since = 0.0
        self._blocked_since = 0.0
        self._held = False
        self._closing_since = 0.0

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.closed:  # given up while it was being made
            self._transport.abort()
            return
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if not local or not remote:  # gone already
            self._transport.abort()
            return
        self.locate((local[0], local[1]), (remote[0], remote[1]))
        if self.secure:
            self.peer_names = certificate_names(transport.get_extra_info("peercert"))
        options = self.table.context.options
        self._framer = StreamFramer(options.max_header_size, options.max_message_size)
        self.table.add(self)
        _log.debug("%r opened", self)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._last_activity = now
        self.table.context.counters.bytes_in += len(data)
        if not self.closed:
            self.take(data, now)

    def pause_writing(self) -> None:
        """The peer does not read as fast as we write: stop reading from it too."""
        self._blocked_since = time.monotonic()
        self._read_or_not()

    def resume_writing(self) -> None:
        self._blocked_since = 0.0
        self._read_or_not()

    def hold(self) -> None:
        """Read no more from the peer until `release`: its messages are more than can be dealt with."""
        self._held = True
        self._read_or_not()

    def release(self) -> None:
        """Read on."""
        self._held = False
        if self._partial_since:  # nobody could complete what had begun
            self._partial_since = time.monotonic()
        self._read_or_not()

    def _read_or_not(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            with contextlib.suppress(RuntimeError):
                if self._blocked_since or self._held:
                    transport.pause_reading()
                else:
                    transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._framer = None
        self.table.remove(self)
        self.mark_closed()
        _log.debug("%r lost: %s", self, exc or "end of stream")

    # -- messages ----------------------------------------------------------------------------------

    def take(self, data: bytes, now: float) -> None:
        """Cut what arrived into messages and hand them on."""
        framer = self._framer
        if framer is None:
            return
        counters = self.table.context.counters
        events = framer.feed(data)
        for event in events:
            if event is PING:
                counters.keepalives_in += 1
                self.write(PONG)
            elif event is PONG:
                counters.pongs_in += 1
            else:
                self.deliver(event, now)
            if self.closed:
                return
        if framer.error is not None:
            self._refuse(framer.error)
        else:
            self._set_partial(framer.pending, bool(events), now)

    def _set_partial(self, pending: bool, completed: bool, now: float) -> None:
        """Note since when a message has been incomplete."""
        if not pending:
            self._partial_since = 0.0
        elif completed or not self._partial_since:
            self._partial_since = now

    def deliver(self, message: bytes, now: float) -> None:
        """Hand one message to the server; nothing that happens there harms the connection."""
        context = self.table.context
        context.counters.messages_in += 1
        self._greeted = True
        try:
            context.on_message(message, self, now)
        except Exception:
            context.counters.handler_errors += 1
            _log.exception("a message from %r could not be handled", self)

    def _refuse(self, error: FramingError) -> None:
        self.table.context.counters.framing_errors += 1
        _log.info("%r closed: %s", self, error)
        response = error.response()
        if response is not None:
            self.send(response)
        self.close()

    def send(self, data: bytes) -> bool:
        if not self.write(self.encode(data)):
            return False
        self._sent = True
        counters = self.table.context.counters
        counters.messages_out += 1
        counters.bytes_out += len(data)
        return True

    def encode(self, data: bytes) -> bytes:
        """A message as it goes over the wire; empty when that is not possible now."""
        return data

    def write(self, data: bytes) -> bool:
        """Queue bytes for the peer; False when closed or when too much is queued already."""
        transport = self._transport
        if self.closed or not data or transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() + len(data) > self.table.context.options.send_queue_limit:
            self.table.context.counters.queue_full += 1
            return False
        transport.write(data)
        return True

    # -- time --------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Close what is overdue, keep alive what is not.

        Args:
            now: monotonic time in seconds.

        """
        options, counters = self.table.context.options, self.table.context.counters
        if self._sent:
            self._sent, self._last_activity = False, now
        if self._closing_since:
            if now - self._closing_since > options.send_timeout:
                self.abort()
        elif not self._greeted and 0 < options.handshake_timeout < now - self.opened_at:
            counters.handshake_timeouts += 1
            self._overdue("no first message")
        elif self._partial_since and not self._held and 0 < options.message_timeout < now - self._partial_since:
            counters.slow_messages += 1
            self._overdue("message not completed")
        elif self._blocked_since and 0 < options.send_timeout < now - self._blocked_since:
            counters.stuck_closed += 1
            self._overdue("the peer does not read")
            self.abort()
        elif 0 < options.idle_timeout < now - self._last_activity:
            counters.idle_closed += 1
            self._overdue("idle")
        elif 0 < options.keepalive_interval <= now - self._last_ping:
            self._last_ping = now
            self.ping()

    def _overdue(self, reason: str) -> None:
        _log.info("%r closed: %s", self, reason)
        self.close()

    def ping(self) -> None:
        """Send a keep-alive (RFC 5626 section 4.4.1)."""
        if self.write(PING) and self._framer is not None:
            self._framer.ping_sent()

    def close(self) -> None:
        if self._closing_since == 0.0:
            self._closing_since = time.monotonic()
            if self._transport is not None:
                self._transport.close()
            self.mark_closed()

    def abort(self) -> None:
        """Drop the connection with what is queued on it."""
        if self._transport is not None:
            self._transport.abort()
        self.mark_closed()


def certificate_names(certificate: object) -> tuple[str, ...]:
    """Names in a verified certificate as `SSLSocket.getpeercert` gives it.

    Returns:
        DNS names, addresses and URIs of subjectAltName; the common name only if there are none.

    Source: RFC 5922 section 7.1.

    """
    if not isinstance(certificate, dict):
        return ()
    fields: ssl._PeerCertRetDictType = certificate
    alternatives = cast("tuple[tuple[str, str], ...]", fields.get("subjectAltName", ()))
    names = [value for kind, value in alternatives if kind in {"DNS", "URI", "IP Address"}]
    if not names:
        subject = cast("tuple[tuple[tuple[str, str], ...], ...]", fields.get("subject", ()))
        names = [value for part in subject for kind, value in part if kind == "commonName"]
    return tuple(names)
