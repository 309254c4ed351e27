"""Static records: addresses that an operator binds in a file (`static-records-file`).

One record a line, the address-of-record and its contacts, which may stand in brackets:

    <sip:everyone@myhouse> <sip:homescreen@myhouse>, <sip:bob@sip.example.org>

A contact keeps its own URI; whether it is of a domain of ours and has to be looked up again is the router's
business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flexipy.registrar.binding import NEVER, Binding, Change, ChangeKind
from flexipy.registrar.contact import parameter_bytes
from flexipy.sip.errors import SipError
from flexipy.sip.headers import NameAddr
from flexipy.sip.params import decode, encode
from flexipy.sip.uri import SipUri

CALL_ID = b"static-record"


@dataclass(slots=True, frozen=True)
class StaticRecord:
    """One line of the file.

    Attributes:
        key: of the record it adds to.
        aor: the address-of-record.
        contacts: where it leads.
    """

    key: str
    aor: SipUri
    contacts: tuple[NameAddr, ...]


class _BadLineError(ValueError):
    """What is wrong with a line, for its reader."""


def parse(
    text: str, filename: str, key_of: Callable[[SipUri], str] = lambda uri: uri.aor
) -> tuple[list[StaticRecord], list[str]]:
    """Read a static records file.

    Args:
        text: its content.
        filename: for the messages.
        key_of: makes a record's key of an address; other than the default where domains are merged.

    Returns:
        The records of the good lines, and for each bad one `file:line: what is wrong`.
    """
    records: list[StaticRecord] = []
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            aor, contacts = _parse_line(line)
            records.append(StaticRecord(key_of(aor), aor, contacts))
        except _BadLineError as error:
            problems.append(f"{filename}:{number}: {error}")
    return records, problems


def _parse_line(line: str) -> tuple[SipUri, tuple[NameAddr, ...]]:
    first, rest = _first_address(line)
    aor = _address(first).uri
    if not rest:
        raise _BadLineError(f"{first} has no contact")
    try:
        pieces = [piece for piece in _split(rest) if piece]
    except SipError as error:
        raise _BadLineError(str(error)) from None
    contacts = tuple(_address(piece) for piece in pieces)
    if not contacts:
        raise _BadLineError(f"{first} has no contact")
    for contact in contacts:
        if contact.uri.matches(aor):
            raise _BadLineError(f"{first} leads to itself")
    return aor, contacts


def _split(text: str) -> list[str]:
    """Contacts, separated by commas or, between brackets, by spaces; a `#` after a space begins a comment."""
    out: list[str] = []
    current = ""
    depth = quoted = False
    for index, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif quoted:
            pass
        elif character in "<>":
            depth = character == "<"
            if depth and ">" in current:
                out.append(current.strip())
                current = ""
        elif character == "," and not depth:
            out.append(current.strip())
            current = ""
            continue
        elif character == "#" and not depth and index and text[index - 1].isspace():
            break
        current += character
    if depth or quoted:
        raise _BadLineError("a bracket or quote is not closed")
    out.append(current.strip())
    return out


def _first_address(line: str) -> tuple[str, str]:
    if line.startswith("<"):
        first, closed, rest = line.partition(">")
        if not closed:
            raise _BadLineError("a bracket is not closed")
        return f"{first}>", rest.strip().lstrip(",").strip()
    first, _, rest = line.partition(" ")
    if "\t" in first:
        first, _, more = line.partition("\t")
        rest = more
    return first, rest.strip()


def _address(text: str) -> NameAddr:
    try:
        address = NameAddr.parse(encode(text))
        address.uri  # noqa: B018 -- read it now: a broken one is the operator's mistake, not a caller's
    except SipError as error:
        if "sip:" not in text and "sips:" not in text:
            raise _BadLineError(f"{text} is not a SIP address, did you mean <sip:{text.strip('<>')}>?") from None
        raise _BadLineError(f"{text}: {error}") from None
    return address


class StaticBindings:
    """The bindings made of static records, by record key."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: dict[str, tuple[Binding, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def keys(self) -> list[str]:
        """The keys that have static bindings."""
        return list(self._by_key)

    def get(self, key: str) -> tuple[Binding, ...]:
        """The static bindings of a record."""
        return self._by_key.get(key, ())

    def merged(self, key: str, bindings: list[Binding]) -> list[Binding]:
        """A record's own bindings and its static ones, except those whose device has registered itself."""
        static = self._by_key.get(key)
        if static is None:
            return bindings
        more = [s for s in static if not any(s.uri.matches(own.uri) for own in bindings)]
        return bindings + more

    def replace(self, records: Iterable[StaticRecord], now: float) -> list[Change]:
        """Put new records in the place of the old; what is in both stays the same object.

        Args:
            records: the new ones.
            now: wall clock seconds, the time of registration of new ones.

        Returns:
            Bindings that came and that went.
        """
        known = {(b.key, b.unique_id): b for bindings in self._by_key.values() for b in bindings}
        by_key: dict[str, dict[str, Binding]] = {}
        added: list[Change] = []
        for record in records:
            place = by_key.setdefault(record.key, {})
            for contact in record.contacts:
                binding = _binding(record, contact, now)
                old = known.pop((binding.key, binding.unique_id), None)
                if old is None and binding.unique_id not in place:
                    added.append((ChangeKind.ADDED, binding))
                place.setdefault(binding.unique_id, old or binding)
        self._by_key = {key: tuple(place.values()) for key, place in by_key.items()}
        return [(ChangeKind.REMOVED, old) for old in known.values()] + added


def _binding(record: StaticRecord, contact: NameAddr, now: float) -> Binding:
    params = parameter_bytes(contact.params)
    try:
        q = min(max(float(contact.params.get("q") or 1.0), 0.0), 1.0)
    except ValueError:
        q = 1.0
    return Binding(
        record.key,
        f"static-{decode(contact.uri_raw + params)}",
        contact.uri,
        params,
        q=q,
        call_id=CALL_ID,
        expires_at=NEVER,
        updated_at=now,
        is_static=True,
    )
