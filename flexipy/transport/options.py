"""Limits and settings common to all transports; the configuration room fills them in."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_TLS_CIPHERS = "HIGH:!SSLv2:!SSLv3:!TLSv1:!EXP:!ADH:!RC4:!3DES:!aNULL:!eNULL"


@dataclass(slots=True)
class TransportOptions:
    """Durations in seconds, sizes in bytes; 0 switches a duration or limit off."""

    idle_timeout: float = 3600.0
    """[global] idle-timeout: a stream connection without traffic is closed after this."""
    keepalive_interval: float = 1800.0
    """[global] keepalive-interval: CRLFCRLF (or a WebSocket ping) is sent on streams this often."""
    udp_mtu: int = 1460
    """[global] udp-mtu: the proxy sends longer requests over a stream."""
    max_message_size: int = 262144
    """[global] max-message-size: the longest message taken from a stream."""
    max_header_size: int = 65536
    max_connections: int = 20000
    max_connections_per_ip: int = 2000
    max_opened: int = 4096
    """Connections that we open to others, for requests that ask for it."""
    send_queue_limit: int = 1 << 20
    """Bytes queued toward one peer, above which `Flow.send` returns False."""
    udp_backlog_limit: int = 4 << 20
    """Bytes queued on one UDP socket that the kernel would not take."""
    udp_flow_limit: int = 65536
    udp_buffer_size: int = 8 << 20
    """Asked of the kernel for each UDP socket; it may give less."""
    handshake_timeout: float = 30.0
    """Until an incoming connection must have completed TLS, WebSocket and its first message."""
    message_timeout: float = 30.0
    """Until a message that has begun on a stream must be complete."""
    send_timeout: float = 30.0
    """Until a peer that stopped reading is given up."""
    connect_timeout: float = 5.0
    drain_timeout: float = 2.0
    """How long `Transports.close` waits for queued output."""
    reuse_port: bool = False
    """SO_REUSEPORT, for several workers on the same ports."""
    tls_certificates_file: str = ""
    tls_certificates_private_key: str = ""
    """Empty: the key is in the certificate file."""
    tls_certificates_ca_file: str = ""
    """Verifies client certificates, and servers that we connect to (else the system's authorities)."""
    tls_ciphers: str = DEFAULT_TLS_CIPHERS
    tls_require_peer_certificate: bool = False
    tls_verify_outgoing: bool = True
    tls_check_interval: float = 60.0
    """[global] tls-certificates-check-interval, in seconds: how often certificate files are looked at."""
    tls_sni: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Further certificates: server name -> (certificate file, key file or empty)."""
    flow_token_path: str = ""
    """File that keeps the key of flow tokens across restarts; empty: a new key at each start."""
