"""The embedded store: a dictionary and, if bindings shall survive a restart, a journal beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from flexipy.registrar.binding import Change, Record


class ChangeLog(Protocol):
    """What the memory store asks of a journal."""

    def write(self, record: Record, changes: list[Change]) -> None:
        """Write changes down before returning."""
        ...


class MemoryStore:
    """Records in this process.

    Args:
        journal: writes each change down; None for bindings that end with the process.
        records: what the journal restored.
    """

    local = True

    def __init__(self, journal: ChangeLog | None = None, records: dict[str, Record] | None = None) -> None:
        self._records: dict[str, Record] = records if records is not None else {}
        self._journal = journal

    def __len__(self) -> int:
        return len(self._records)

    def load(self, key: str) -> Record | None:
        """The record of a key, None where there is none."""
        return self._records.get(key)

    def save(self, record: Record, changes: list[Change]) -> None:
        """Keep a changed record; one without bindings is forgotten."""
        if record.bindings:
            self._records[record.key] = record
        else:
            self._records.pop(record.key, None)
        if self._journal is not None:
            self._journal.write(record, changes)

    def keys(self) -> Iterator[str]:
        """The keys of all records."""
        return iter(list(self._records))

    def records(self) -> Iterator[Record]:
        """All records."""
        return iter(list(self._records.values()))
