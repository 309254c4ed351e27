"""What a journal's lines add up to when the server starts."""

from __future__ import annotations

from collections.abc import Iterable

from flexipy.registrar.binding import Binding, Record
from flexipy.registrar.journal_lines import BadLineError, fields_of, read_binding, refresh
from flexipy.sip.params import decode


class Replay:
    """Applies lines in order; a bad one is left out and noted.

    Attributes:
        bad: number of each bad line and what is wrong with it.
        torn: the last line has no end.
    """

    def __init__(self, lines: Iterable[bytes], first_number: int) -> None:
        self.bad: list[tuple[int, str]] = []
        self.torn = False
        self._records: dict[str, Record] = {}
        for number, line in enumerate(lines, first_number):
            self.torn = not line.endswith(b"\n")
            try:
                self._apply(line)
            except BadLineError as error:
                self.bad.append((number, str(error)))

    def living(self, now: float) -> dict[str, Record]:
        """The records with what has not lapsed.

        Args:
            now: wall clock seconds.
        """
        for record in self._records.values():
            record.bindings = [binding for binding in record.bindings if binding.lapses_at > now]
            record.earliest = min((binding.lapses_at for binding in record.bindings), default=0.0)
        return {key: record for key, record in self._records.items() if record.bindings}

    def _apply(self, line: bytes) -> None:
        if line == b"\n":
            return
        if self.torn:
            raise BadLineError("incomplete")
        fields = fields_of(line[:-1])
        kind = fields[0]
        if kind == b"B":
            self._bind(read_binding(fields))
            return
        if kind not in (b"R", b"D") or len(fields) < 3:
            raise BadLineError("unknown kind of line")
        record = self._records.get(decode(fields[1]))
        found = None if record is None else record.get(decode(fields[2]))
        if record is None or found is None:
            return  # while it is rewritten, a binding's changes may stand before the binding itself
        if kind == b"R":
            refresh(found, fields)
        else:
            record.bindings.remove(found)

    def _bind(self, binding: Binding) -> None:
        record = self._records.get(binding.key)
        if record is None:
            record = self._records[binding.key] = Record(binding.key)
        binding.key = record.key  # one string for all
        old = record.get(binding.unique_id)
        if old is None:
            record.bindings.append(binding)
        else:
            record.bindings[record.bindings.index(old)] = binding
