"""Where records live: the contract between the registrar and its stores.

A store that must wait (Redis) returns an awaitable where one in memory returns the value; the registrar's own
methods then do the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import Protocol

from flexipy.registrar.binding import Change, Record


class Store(Protocol):
    """Keeps records by key.

    Attributes:
        local: records are kept in this process and the registrar watches their expiry. A remote store lets
            its server do so and tells subscribers through `Registrar.tell`.
    """

    local: bool

    def load(self, key: str) -> Record | Awaitable[Record | None] | None:
        """The record of a key, None where there is none. The registrar may change what it gets."""
        ...

    def save(self, record: Record, changes: list[Change]) -> Awaitable[None] | None:
        """Keep a changed record; one without bindings is forgotten.

        Args:
            record: as it is now.
            changes: how it came to be so, for a store that writes only those.
        """
        ...

    def keys(self) -> Iterator[str] | Awaitable[Iterator[str]]:
        """The keys of all records; the store may change while they are iterated."""
        ...

    def records(self) -> Iterator[Record]:
        """All records of a local store; empty for a remote one."""
        ...
