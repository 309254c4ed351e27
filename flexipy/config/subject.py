"""What boolean expressions are asked about, and what they are compiled to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Subject(Protocol):
    """What an expression is asked about; the proxy's events implement it."""

    def value(self, name: str) -> str | None:
        """Return the text of one of `expression.VARIABLES`, or None when the message has no such part."""

    def flag(self, name: str) -> bool:
        """Return one of `expression.FLAGS`."""


Filter = Callable[[Subject], bool]
"""A compiled expression."""
