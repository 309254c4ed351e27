"""Every worker has every binding: changes go to the others as lines of the journal, before the 200 leaves.

A record is changed where the REGISTER arrives, after what the others said of it has been taken in, which a lookup does,
too: whoever knows of a registration by its 200 finds it at any worker. Two workers that change a record within the same
fraction of a millisecond change different bindings, since each device speaks for itself; should it be the same one, the
later time counts everywhere. The first worker also writes the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from flexipy.registrar.binding import Binding, Change, ChangeKind, Record
from flexipy.registrar.journal import Journal
from flexipy.registrar.journal_lines import (
    BadLineError,
    binding_line,
    fields_of,
    is_refresh,
    lines_of,
    read_binding,
    refresh,
)
from flexipy.sip.params import decode

_CHUNK: Final = 200  # records told at once

OnChanges = Callable[[str, list[Change]], None]
Concerns = Callable[[Binding], bool]


class Replication:
    """What the store needs of the other workers; a service that the Registrar module asks for.

    Args:
        index: the number of this worker.
        publish: sends lines to all other workers before it returns.
        take_in: has the lines applied that have arrived.
        later: calls something soon, but not before this turn of the loop ends.
    """

    def __init__(
        self,
        index: int,
        publish: Callable[[bytes], None],
        take_in: Callable[[], None],
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        self.index = index
        self.publish = publish
        self.take_in = take_in
        self._later = later
        self._news: list[tuple[str, list[Change]]] = []
        self._store: ReplicatedStore | None = None
        self._on_changes: OnChanges = _nobody_listens
        self._concerns: Concerns = _always
        self._early: list[bytes] = []
        self._seen: set[tuple[str, str]] | None = None

    @property
    def writes_journal(self) -> bool:
        """Whether this is the worker that keeps bindings over a restart."""
        return self.index == 0

    def connect(self, store: ReplicatedStore, on_changes: OnChanges, concerns: Concerns) -> None:
        """Set what is kept in step.

        Args:
            store: this worker's.
            on_changes: told of what the others changed.
            concerns: whether it need be told of a binding that was renewed, which is nearly all that happens.
        """
        self._store = store
        self._on_changes = on_changes
        self._concerns = concerns
        early, self._early = self._early, []
        for lines in early:
            self.apply(lines)

    def apply(self, lines: bytes) -> None:
        """What another worker published."""
        if self._store is None:
            self._early.append(lines)
            return
        seen = self._seen
        if seen is not None:
            seen.update(self._store.named_in(lines))
        for change in self._store.apply(lines):
            kind, binding = change
            if kind is not ChangeKind.EXTENDED or self._concerns(binding):
                self._announce(binding.key, [change])

    def _announce(self, key: str, changes: list[Change]) -> None:
        # Not at once: lines are also applied in the middle of a lookup, and who hears of them may begin anything.
        if not self._news:
            self._later(self._announce_all)
        self._news.append((key, changes))

    def catch_up(self) -> None:
        """Take in what has arrived and let who waits for it hear of it now. Not to be called while anything goes on."""
        self.take_in()
        if self._news:
            self._announce_all()

    def _announce_all(self) -> None:
        news, self._news = self._news, []
        for key, changes in news:
            self._on_changes(key, changes)

    # --- beginning anew ----------------------------------------------------------------------------------

    def begin_learning(self) -> None:
        """From now on note which bindings the others tell of: there may be more here, from before."""
        self._seen = set()

    def end_learning(self) -> None:
        """All have told what they know: what none of them knows is gone."""
        seen, self._seen = self._seen, None
        if seen is None or self._store is None:
            return
        for key, changes in self._store.prune(seen):
            self._announce(key, changes)

    def tell(self) -> Iterator[bytes]:
        """Lines for a worker that begins anew: all that is known at the moment at which each is asked for."""
        if self._store is None:
            return
        keys = list(self._store.keys())
        for start in range(0, len(keys), _CHUNK):
            self.take_in()
            lines: list[bytes] = []
            for key in keys[start : start + _CHUNK]:
                record = self._store.peek(key)
                lines += [binding_line(binding) for binding in record.bindings] if record is not None else []
            if lines:
                yield b"".join(lines)


class ReplicatedStore:
    """Records in each worker's memory, kept in step.

    Args:
        replication: the way to the others.
        journal: writes each change down; None in all workers but the first.
        records: what the journal restored.
    """

    local = True

    def __init__(
        self, replication: Replication, journal: Journal | None = None, records: dict[str, Record] | None = None
    ) -> None:
        self._replication = replication
        self._journal = journal
        self._records: dict[str, Record] = records if records is not None else {}

    def load(self, key: str) -> Record | None:
        """The record of a key, None where there is none."""
        self._replication.take_in()
        return self._records.get(key)

    def peek(self, key: str) -> Record | None:
        """The record of a key as it is known here."""
        return self._records.get(key)

    def save(self, record: Record, changes: list[Change]) -> None:
        """Keep a changed record and let the others know; one without bindings is forgotten."""
        if record.bindings:
            self._records[record.key] = record
        else:
            self._records.pop(record.key, None)
        lines = lines_of(changes)
        if lines:
            if self._journal is not None:
                self._journal.write_lines(lines)
            self._replication.publish(lines)

    def keys(self) -> Iterator[str]:
        """The keys of all records."""
        self._replication.take_in()
        return iter(list(self._records))

    def records(self) -> Iterator[Record]:
        """All records."""
        return iter(list(self._records.values()))

    # --- what others changed -----------------------------------------------------------------------------

    def apply(self, lines: bytes) -> list[Change]:
        """Do what another worker did; what changed by it."""
        if self._journal is not None:
            self._journal.write_lines(lines)
        changes: list[Change] = []
        for line in lines.split(b"\n")[:-1]:
            change = self._renew(line) if is_refresh(line) else self._apply(line)
            if change is not None:
                changes.append(change)
        return changes

    @staticmethod
    def named_in(lines: bytes) -> list[tuple[str, str]]:
        """The bindings that lines are about, by key and unique id."""
        fields = [fields_of(line) for line in lines.split(b"\n")[:-1]]
        return [(decode(found[1]), decode(found[2])) for found in fields]

    def _apply(self, line: bytes) -> Change | None:
        try:
            fields = fields_of(line)
            if fields[0] == b"B":
                return self._bind(read_binding(fields))
            record = self._records.get(decode(fields[1]))
            found = None if record is None else record.get(decode(fields[2]))
            if record is None or found is None:
                return None
        except BadLineError:  # pragma: no cover - nothing between two processes damages it
            return None
        self._remove(record, [found])
        return ChangeKind.REMOVED, found

    def _renew(self, line: bytes) -> Change | None:
        fields = line.split(b"\t")[1:]  # behind the checksum: nothing between two processes damages it
        record = self._records.get(decode(fields[1]))
        found = None if record is None else record.get(decode(fields[2]))
        if found is None or float(fields[4]) < found.updated_at:
            return None
        refresh(found, fields)
        found.source = 0  # what this worker knew it by may no longer be what the device says
        return ChangeKind.EXTENDED, found

    def _bind(self, binding: Binding) -> Change | None:
        record = self._records.get(binding.key)
        if record is None:
            record = self._records[binding.key] = Record(binding.key)
        binding.key = record.key  # one string for all
        record.earliest = min(record.earliest, binding.lapses_at)
        old = record.get(binding.unique_id)
        if old is None:
            record.bindings.append(binding)
            return ChangeKind.ADDED, binding
        if binding.updated_at < old.updated_at:
            return None
        bindings = list(record.bindings)
        bindings[bindings.index(old)] = binding
        record.bindings = bindings
        return ChangeKind.REPLACED, binding

    def _remove(self, record: Record, gone: list[Binding]) -> None:
        record.bindings = [binding for binding in record.bindings if binding not in gone]
        if not record.bindings:
            self._records.pop(record.key, None)

    def prune(self, known: set[tuple[str, str]]) -> list[tuple[str, list[Change]]]:
        """Forget each binding that is not among those, by key and unique id; what went."""
        pruned: list[tuple[str, list[Change]]] = []
        for record in list(self._records.values()):
            gone = [binding for binding in record.bindings if (record.key, binding.unique_id) not in known]
            if gone:
                self._remove(record, gone)
                changes = [(ChangeKind.REMOVED, binding) for binding in gone]
                if self._journal is not None:
                    self._journal.write_lines(lines_of(changes))
                pruned.append((record.key, changes))
        return pruned


def _nobody_listens(key: str, changes: list[Change]) -> None:
    pass


def _always(binding: Binding) -> bool:
    return True
