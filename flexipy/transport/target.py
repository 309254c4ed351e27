"""Where a message is to go, as RFC 3263 finds it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """One transport, address and port to try."""

    transport: bytes
    ip: str
    """Canonical, no brackets."""
    port: int
    tls_name: str = ""
    """The domain that a TLS server's certificate must name (RFC 5922); empty: its address must be in it."""

    def __str__(self) -> str:
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"{self.transport.decode().lower()} {host}:{self.port}"
