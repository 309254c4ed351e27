"""An answer over HTTP, whichever version it came by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

MOST_BODY: Final = 64 << 10  # bytes of an answer that are read


@dataclass(slots=True)
class HttpResponse:
    """An answer; names of headers in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def retry_after(self) -> float:
        """Seconds that the service asks to wait; 0 for none or a date (RFC 9110 section 10.2.3)."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0.0
