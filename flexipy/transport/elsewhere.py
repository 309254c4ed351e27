"""Several processes on the same listening points: what `Transports` asks of the others, and tells them."""

from __future__ import annotations

from typing import Protocol

from flexipy.transport.flow import Flow
from flexipy.transport.stream import StreamFlow
from flexipy.transport.target import Target


class Elsewhere(Protocol):
    """The connections of the other processes."""

    def find(self, target: Target) -> Flow | None:
        """One that may carry messages to a target."""

    def find_exact(self, transport: bytes, local: tuple[str, int], remote: tuple[str, int]) -> Flow | None:
        """The one with these two ends."""


class Watcher(Protocol):
    """Is told of each connection of this process."""

    def opened(self, flow: StreamFlow) -> None:
        """It is up."""

    def closed(self, flow: StreamFlow) -> None:
        """It is gone."""
