"""Finding bindings: by record, by Request-URI, by GRUU (RFC 3261 section 16.5, RFC 5626, RFC 5627)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from flexipy.registrar.binding import Binding, Record
from flexipy.registrar.gruu import TemporaryGruus, is_temporary
from flexipy.registrar.purr import Purrs
from flexipy.registrar.registration import RegistrarOptions
from flexipy.registrar.static_records import StaticBindings
from flexipy.registrar.store import Store
from flexipy.registrar.targets import device_bindings, one_flow_each, reachable
from flexipy.sip.uri import SipUri

T = TypeVar("T")
R = TypeVar("R")


class BindingFinder:
    """Reads records and chooses among their bindings; the reading half of the registrar.

    Args:
        store: where records are kept.
        options: the registrar's.

    Attributes:
        purrs: names for bindings that devices put into the Contacts of their calls.
    """

    def __init__(self, store: Store, options: RegistrarOptions) -> None:
        self.options = options
        self._store = store
        self._static = StaticBindings()
        self._gruus = TemporaryGruus(options.gruu_secret)
        self.purrs = Purrs(options.gruu_secret)

    def fetch(self, key: str, now: float) -> Record | Awaitable[Record | None] | None:
        """The record of a key as it stands: read it, don't change it.

        Returns:
            None where nothing is bound. Lapsed bindings are not in it; those kept for messages only are, see
            `Binding.is_active`.
        """
        loaded = self._store.load(key)
        if loaded is None or type(loaded) is Record:
            if loaded is not None and now < loaded.earliest and not self._static:
                return loaded
            return self._visible(loaded, key, now)
        assert not isinstance(loaded, Record)
        return then(loaded, lambda record: self._visible(record, key, now))

    def _visible(self, record: Record | None, key: str, now: float) -> Record | None:
        bindings: list[Binding] = [] if record is None else record.bindings
        living = [binding for binding in bindings if binding.lapses_at > now]
        if record is not None and len(living) == len(bindings) and not self._static:
            record.earliest = min((binding.lapses_at for binding in living), default=0.0)
            return record
        if self._static:
            living = self._static.merged(key, living)
        return Record(key, living) if living else None

    def lookup(
        self, uri: SipUri, key: str, now: float, include_expired_for_messages: bool = False
    ) -> list[Binding] | Awaitable[list[Binding]]:
        """Where a request to a URI goes.

        Args:
            uri: the Request-URI; a GRUU leads to its one device.
            key: the record's key for that URI; a temporary GRUU brings its own.
            now: wall clock seconds.
            include_expired_for_messages: also those that stay reachable for MESSAGE.

        Returns:
            Bindings by descending q, the latest first among equals; of a device with several flows the latest
            one (`other_flows` has the rest). Empty where nobody is there.
        """
        tag: bytes | None = None
        gr = uri.param("gr") if "gr" in uri.params else None
        if gr is not None and is_temporary(uri):
            owner = self._gruus.read(uri)
            if owner is None:
                return []
            key, tag = owner

        def choose(record: Record | None) -> list[Binding]:
            if record is None:
                return []
            bindings = reachable(record, now, include_expired_for_messages)
            if tag is not None:
                bindings = [binding for binding in bindings if self._gruus.belongs_to(binding, tag)]
            elif gr:
                bindings = device_bindings(bindings, gr)
            return bindings if len(bindings) < 2 else one_flow_each(bindings)

        found = self.fetch(key, now)
        if found is None or isinstance(found, Record):
            return choose(found)
        return then(found, choose)

    def owner_of_temporary(self, uri: SipUri) -> str | None:
        """The key of the record that a temporary GRUU leads to; None for any other URI.

        One that somebody made up gives a key without meaning, as `lookup` then finds nothing.
        """
        if "gr" not in uri.params or not is_temporary(uri):
            return None
        owner = self._gruus.read(uri)
        return "" if owner is None else owner[0]

    def other_flows(self, binding: Binding, now: float) -> list[Binding] | Awaitable[list[Binding]]:
        """The other flows of a binding's device, latest first, for when its own is dead (RFC 5626)."""
        if binding.reg_id is None or binding.instance_id is None:
            return []

        def choose(record: Record | None) -> list[Binding]:
            flows = [] if record is None else record.active(now)
            flows = [b for b in flows if b.instance_id == binding.instance_id and b is not binding]
            return sorted(flows, key=lambda flow: -flow.updated_at)

        found = self.fetch(binding.key, now)
        if found is None or isinstance(found, Record):
            return choose(found)
        return then(found, choose)

    def keys(self) -> Iterator[str] | Awaitable[Iterator[str]]:
        """The keys of all records, static ones included (REGISTRAR_DUMP)."""
        static = self._static.keys()
        keys = self._store.keys()
        if isinstance(keys, Awaitable):
            return then(keys, lambda found: iter(dict.fromkeys([*found, *static])))
        return iter(dict.fromkeys([*keys, *static]))


async def then(waiting: Awaitable[T], use: Callable[[T], R]) -> R:
    """Apply a function to what is waited for."""
    return use(await waiting)
