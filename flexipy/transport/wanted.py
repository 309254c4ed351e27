"""What a URI says about where to send (RFC 3263 section 4.1), before DNS is asked."""

_SECURED = {b"UDP": b"TLS", b"TCP": b"TLS", b"TLS": b"TLS", b"WS": b"WSS", b"WSS": b"WSS"}

Question = tuple[str, int | None, bytes | None, bool]
"""Host, port, transport, secure: as they stand in a URI."""


def wanted_transport(transport: bytes | None, secure: bool) -> bytes:
    """The transport to use when DNS is not asked about it."""
    if transport is None:
        return b"TLS" if secure else b"UDP"
    return _SECURED.get(transport, transport) if secure else transport
