"""Counters of the transport room, for logs, statistics and tests."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Plain integers that only grow; read them whenever you like."""

    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    keepalives_in: int = 0
    """CRLF pings, empty and NUL datagrams."""
    pongs_in: int = 0
    stun_requests: int = 0
    handler_errors: int = 0
    """Exceptions that `on_message` let out."""
    framing_errors: int = 0
    """Stream connections closed for bytes that are not SIP or too long."""
    datagrams_dropped: int = 0
    """Datagrams that are neither SIP, STUN nor a keep-alive."""
    socket_errors: int = 0
    """ICMP and other errors reported on a UDP socket."""
    queue_full: int = 0
    """Messages refused because an output queue was at its limit."""
    connections_in: int = 0
    connections_out: int = 0
    connections_refused: int = 0
    """Incoming connections over a limit."""
    connect_failures: int = 0
    accept_errors: int = 0
    idle_closed: int = 0
    handshake_timeouts: int = 0
    """Connections that never completed TLS, WebSocket or their first message."""
    slow_messages: int = 0
    """Connections closed in the middle of a message that would not end."""
    stuck_closed: int = 0
    """Connections closed because the peer stopped reading."""
    tls_handshake_failures: int = 0
    websocket_handshake_failures: int = 0
