"""What can be wrong with a configuration: an exception for one value, a `Problem` for a line of a report."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ConfigError(Exception):
    """A value, name or file that cannot be used. The message is meant for the person who wrote it."""


class Severity(enum.Enum):
    """How bad a problem is. The value is the word printed."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to tell the author of a configuration.

    Args:
        file: The file as it was named, or `--set section/name` for the command line.
        line: Line number from 1, or 0 when the problem has no line.
        severity: An ERROR keeps the server from starting.
        message: What is wrong, and what to write instead where that is known.
    """

    file: str
    line: int
    severity: Severity
    message: str

    @property
    def is_error(self) -> bool:
        """Whether the server must not start with it."""
        return self.severity is Severity.ERROR

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.severity.value}: {self.message}"


def shorten(text: str, limit: int = 60) -> str:
    """Return text fit to be quoted in a one-line message: printable and not too long."""
    clean = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."
