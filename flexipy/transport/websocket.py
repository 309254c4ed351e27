"""SIP over WebSocket (RFC 7118), plain or over TLS: one SIP message per WebSocket message.

The WebSocket protocol itself is the `websockets` package's sans-IO implementation. Imported only when there
is a WebSocket listening point.
"""

import logging

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from flexipy.sip.framing import PING, PONG
from flexipy.transport.connections import ConnectionTable
from flexipy.transport.listener import Listener
from flexipy.transport.stream import StreamFlow

_log = logging.getLogger(__name__)

_SUBPROTOCOL = Subprotocol("sip")
_GOING_AWAY = 1001
_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
# The package logs what peers do wrong with tracebacks; we count it and say it in one line.
_quiet = logging.getLogger(f"{__name__}.protocol")
_quiet.setLevel(logging.CRITICAL)


class WsFlow(StreamFlow):
    """A WebSocket connection that a client opened; we never open one."""

    __slots__ = ("_message", "_protocol")

    def __init__(
        self,
        table: ConnectionTable,
        transport: bytes,
        listener: Listener | None,
        outgoing: bool,
    ) -> None:
        super().__init__(table, transport, listener, outgoing)
        limit = table.context.options.max_message_size
        self._protocol = ServerProtocol(subprotocols=[_SUBPROTOCOL], max_size=limit, logger=_quiet)
        self._message: bytearray | None = None
        """What has come of a fragmented message."""

    # -- receiving ---------------------------------------------------------------------------------

    def take(self, data: bytes, now: float) -> None:
        """Feed the WebSocket protocol and hand on what it finds."""
        protocol = self._protocol
        protocol.receive_data(data)
        events = protocol.events_received()
        for event in events:
            if isinstance(event, Request):
                self._upgrade(event)
            elif isinstance(event, Frame):
                self._take_frame(event, now)
            if self.closed:
                return
        # Neither a fragment nor a ping completes a message.
        whole = any(isinstance(event, Frame) and event.fin and event.opcode in _DATA for event in events)
        self._set_partial(not events or self._message is not None, whole, now)
        answered = self._flush()
        if protocol.handshake_exc is not None:
            self._refuse_upgrade(answered)
        elif protocol.parser_exc is not None:
            self.table.context.counters.framing_errors += 1
            _log.info("%r closed: %s", self, protocol.parser_exc)
            self.close()
        elif protocol.close_expected():
            self.close()

    def _upgrade(self, request: Request) -> None:
        """Any path and origin will do: who may call is decided by SIP authentication."""
        self._protocol.send_response(self._protocol.accept(request))

    def _refuse_upgrade(self, answered: bool) -> None:
        self.table.context.counters.websocket_handshake_failures += 1
        _log.info("%r: no WebSocket: %s", self, self._protocol.handshake_exc)
        if not answered:
            self.write(_BAD_REQUEST)
        self.close()

    def _take_frame(self, frame: Frame, now: float) -> None:
        if frame.opcode is Opcode.PONG:
            self.table.context.counters.pongs_in += 1
        elif frame.opcode is Opcode.PING:
            self.table.context.counters.keepalives_in += 1
        elif frame.opcode in {Opcode.TEXT, Opcode.BINARY} and frame.fin:
            self._take_message(bytes(frame.data), now)
        elif frame.opcode in {Opcode.TEXT, Opcode.BINARY}:
            self._message = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._message is not None:
            self._message += frame.data
            if frame.fin:
                message, self._message = bytes(self._message), None
                self._take_message(message, now)

    def _take_message(self, message: bytes, now: float) -> None:
        if message in {PING, PONG}:  # some clients keep alive as on TCP
            self.table.context.counters.keepalives_in += 1
            if message == PING:
                self.write(self.encode(PONG))
            return
        message = message.lstrip(b"\r\n")
        if message:
            self.deliver(message, now)

    # -- sending -----------------------------------------------------------------------------------

    def encode(self, data: bytes) -> bytes:
        """A frame with the message: text whenever it can be, for browsers cut the connection at bad UTF-8."""
        protocol = self._protocol
        if protocol.state is not State.OPEN:
            return b""
        if _is_text(data):
            protocol.send_text(data)
        else:
            protocol.send_binary(data)
        return b"".join(protocol.data_to_send())

    def ping(self) -> None:
        """Send a WebSocket ping (RFC 7118 section 6)."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._flush()

    def close(self) -> None:
        """Say good-bye, then close as any stream."""
        if not self.closed and self._protocol.state is State.OPEN:
            self._protocol.send_close(_GOING_AWAY)
            self._flush()
        super().close()

    def _flush(self) -> bool:
        """Write what the protocol has to say; True if it was anything."""
        output = b"".join(self._protocol.data_to_send())
        return bool(output) and self.write(output)


def _is_text(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
