"""The registrar: registers, finds and forgets bindings, and tells who listens (RFC 3261 section 10).

Sans-IO as far as its store is: with a local store every method returns its result; where the store must wait,
the same methods return awaitables of it. Times are wall clock seconds, because bindings outlive the process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from flexipy.registrar.answer import contact_values, own_first
from flexipy.registrar.binding import Binding, Change, ChangeKind, Record
from flexipy.registrar.events import Listener, Subscribers, Subscription
from flexipy.registrar.expiry import ExpiryQueue
from flexipy.registrar.finding import BindingFinder, then
from flexipy.registrar.gruu import base_of
from flexipy.registrar.registration import RegistrarOptions, Registration
from flexipy.registrar.static_records import StaticRecord
from flexipy.registrar.store import Store
from flexipy.registrar.update import apply_registration, binding_by_hand, put_binding
from flexipy.sip.message import Request, Response
from flexipy.sip.uri import SipUri


class Registrar(BindingFinder):
    """Bindings of addresses-of-record.

    Args:
        store: where records are kept; those of a local store are watched for expiry from now on.
        options: limits and what is handed out.

    Attributes:
        answer_edits: called with each REGISTER that is accepted, its answer, which they may splice, and the bindings
            that the answer lists.
        conditions: called with each REGISTER that is no mere refresh; they refuse it by a RegistrationError.
    """

    def __init__(self, store: Store, options: RegistrarOptions | None = None) -> None:
        super().__init__(store, options if options is not None else RegistrarOptions())
        self.answer_edits: list[Callable[[Request, Response, list[Binding]], None]] = []
        self.conditions: list[Callable[[Request], None]] = []
        self._local = store.local
        self._subscribers = Subscribers()
        self._expiry = ExpiryQueue()
        for record in store.records():
            for binding in record.bindings:
                self._expiry.watch(binding)

    # --- registering -------------------------------------------------------------------------------------

    def register(self, registration: Registration, now: float) -> list[Binding] | Awaitable[list[Binding]]:
        """Do what a REGISTER asks for; without contacts it only asks.

        Args:
            registration: its content.
            now: wall clock seconds.

        Returns:
            The bindings of the address-of-record after the change, the requester's own (same Call-ID) first.

        Raises:
            RegistrationError: it is refused, with the status to send; nothing has changed.
        """
        loaded = self._store.load(registration.aor_key)
        if loaded is None or type(loaded) is Record:
            record = loaded if loaded is not None else Record(registration.aor_key)
            if now >= record.earliest and record.bindings and self._local:
                self._sweep(record, now)
            if registration.contacts or registration.star:
                changes = apply_registration(record, registration, self.options, now)
                if changes:
                    saving = self._store.save(record, changes)
                    if saving is not None:
                        return then(saving, lambda _: self._finish(record, changes, registration, now))
                    self._changed(record.key, changes)
            return self._answer(record, registration, now)
        assert not isinstance(loaded, Record)
        return self._register_later(loaded, registration, now)

    def refresh(
        self, key: str, source: int, call_id: bytes, cseq: int, flow_token: bytes, now: float
    ) -> list[Binding] | None:
        """Renew a binding from a REGISTER that says just what the last one said: nearly every REGISTER.

        Args:
            key: of the record.
            source: as in `Registration.source`.
            call_id: of the request.
            cseq: of the request.
            flow_token: of the request.
            now: wall clock seconds.

        Returns:
            What `register` returns; None where it has to be asked: no such binding, a replay, a store that waits.
        """
        record = self._store.load(key)
        if type(record) is not Record:
            return None
        for binding in record.bindings:
            if binding.source == source:
                break
        else:
            return None
        if binding.expires_at <= now or (binding.call_id == call_id and cseq <= binding.cseq):
            return None
        passed = now - binding.updated_at
        binding.expires_at += passed
        if binding.message_expires_at:
            binding.message_expires_at += passed
        binding.updated_at = now
        binding.call_id = call_id
        binding.cseq = cseq
        binding.flow_token = flow_token
        changes = [(ChangeKind.EXTENDED, binding)]
        if self._store.save(record, changes) is not None:
            return None  # pragma: no cover - a store that loads at once also saves at once
        if not 0 < binding.due <= binding.expires_at:
            self._expiry.watch(binding)
        if key in self._subscribers.by_key:
            self._subscribers.tell(key, changes)
        bindings = record.bindings
        if self._static:
            bindings = self._static.merged(key, bindings)
        return [binding] if len(bindings) == 1 else own_first(bindings, call_id, now)

    async def _register_later(
        self, loading: Awaitable[Record | None], registration: Registration, now: float
    ) -> list[Binding]:
        record = await loading or Record(registration.aor_key)
        if registration.contacts or registration.star:
            changes = apply_registration(record, registration, self.options, now)
            if changes:
                saving = self._store.save(record, changes)
                if saving is not None:
                    await saving
                self._changed(record.key, changes)
        return self._answer(record, registration, now)

    def _finish(self, record: Record, changes: list[Change], registration: Registration, now: float) -> list[Binding]:
        self._changed(record.key, changes)
        return self._answer(record, registration, now)

    def _changed(self, key: str, changes: list[Change]) -> None:
        if self._local:
            watch = self._expiry.watch
            for kind, binding in changes:
                if kind is not ChangeKind.REMOVED:
                    watch(binding)
        if key in self._subscribers.by_key:
            self._subscribers.tell(key, changes)

    def _answer(self, record: Record, registration: Registration, now: float) -> list[Binding]:
        bindings = record.bindings
        if self._static:
            bindings = self._static.merged(record.key, bindings)
        return own_first(bindings, registration.call_id, now)

    def contact_values(self, registration: Registration, bindings: Iterable[Binding], now: float) -> list[bytes]:
        """Contact header values for the 200 to a REGISTER.

        Args:
            registration: the request.
            bindings: what `register` returned.
            now: wall clock seconds.

        Returns:
            One value each, with `expires` and, where the request supports GRUU and the device has an instance
            id, `pub-gruu` and `temp-gruu`.
        """
        gruus = registration.supports_gruu
        return self.answer_values(base_of(registration.aor), registration.call_id, gruus, bindings, now)

    def answer_values(
        self, base: bytes, call_id: bytes, supports_gruu: bool, bindings: Iterable[Binding], now: float
    ) -> list[bytes]:
        """`contact_values`, told what it needs of the request.

        Args:
            base: the URI of its address-of-record (`gruu.base_of`).
            call_id: its Call-ID.
            supports_gruu: whether it wants GRUUs.
            bindings: to be listed.
            now: wall clock seconds.
        """
        options = self.options
        gruus = self._gruus if supports_gruu and options.enable_gruu else None
        return contact_values(base, call_id, bindings, options, gruus, now)

    # --- changing from inside ----------------------------------------------------------------------------

    def put(self, binding: Binding, now: float) -> Awaitable[None] | None:
        """Add a ready-made binding, or replace that of the same unique id (a conference's own)."""
        return self._edit(binding.key, lambda record: put_binding(record, binding, self.options, now))

    def upsert(
        self, key: str, uri: SipUri, expires: int, now: float, unique_id: str | None = None
    ) -> Binding | Awaitable[Binding]:
        """Bind a contact by hand.

        Args:
            key: the record's.
            uri: the contact.
            expires: seconds from now.
            now: wall clock seconds.
            unique_id: of the binding to replace, or for the new one; made up where None.

        Returns:
            The binding.
        """
        binding = binding_by_hand(key, uri, now + expires, now, unique_id)
        saving = self.put(binding, now)
        return binding if saving is None else then(saving, lambda _: binding)

    def delete(self, key: str, unique_id: str) -> bool | Awaitable[bool]:
        """Remove one binding; whether there was one."""
        gone: list[Change] = []

        def remove(record: Record) -> list[Change]:
            gone.extend((ChangeKind.REMOVED, b) for b in record.bindings if b.unique_id == unique_id)
            record.bindings = [b for b in record.bindings if b.unique_id != unique_id]
            return gone

        saving = self._edit(key, remove)
        return bool(gone) if saving is None else then(saving, lambda _: bool(gone))

    def clear(self, key: str) -> int | Awaitable[int]:
        """Remove all bindings of a key but static ones; how many there were."""
        gone: list[Change] = []

        def remove(record: Record) -> list[Change]:
            gone.extend((ChangeKind.REMOVED, binding) for binding in record.bindings)
            record.bindings = []
            return gone

        saving = self._edit(key, remove)
        return len(gone) if saving is None else then(saving, lambda _: len(gone))

    def _edit(self, key: str, edit: Callable[[Record], list[Change]]) -> Awaitable[None] | None:
        loaded = self._store.load(key)
        if loaded is None or isinstance(loaded, Record):
            record = loaded if loaded is not None else Record(key)
            changes = edit(record)
            if not changes:
                return None
            saving = self._store.save(record, changes)
            if saving is not None:
                return then(saving, lambda _: self._changed(key, changes))
            self._changed(key, changes)
            return None
        return self._edit_later(loaded, key, edit)

    async def _edit_later(
        self, loading: Awaitable[Record | None], key: str, edit: Callable[[Record], list[Change]]
    ) -> None:
        record = await loading or Record(key)
        changes = edit(record)
        if changes:
            saving = self._store.save(record, changes)
            if saving is not None:
                await saving
            self._changed(key, changes)

    def set_static_records(self, records: Iterable[StaticRecord], now: float) -> None:
        """Take these static records in place of the former ones; tells who listens what came and went."""
        for change in self._static.replace(records, now):
            self._subscribers.tell(change[1].key, [change])

    # --- listening and time ------------------------------------------------------------------------------

    def subscribe(self, key: str, listener: Listener) -> Subscription:
        """Tell a listener of each change of a record, from now until the subscription is cancelled."""
        return self._subscribers.add(key, listener)

    def tell(self, key: str, changes: Iterable[Change]) -> None:
        """Tell listeners of changes that another node or a remote store made."""
        self._subscribers.tell(key, changes)

    def replicated(self, key: str, changes: list[Change]) -> None:
        """Another process changed a record of the local store: watch its bindings and tell who listens."""
        self._changed(key, changes)

    def is_awaited(self, binding: Binding) -> bool:
        """Whether it matters to anybody here that another process renewed a binding of the local store."""
        return not 0 < binding.due <= binding.expires_at or binding.key in self._subscribers.by_key

    def expire(self, now: float) -> float | None:
        """Remove what lapsed and tell who listens; call it about once a second.

        Returns:
            The earliest time at which something may lapse, None for nothing.
        """
        for binding in self._expiry.due(now):
            record = self._store.load(binding.key)
            if not isinstance(record, Record) or binding not in record.bindings:
                continue  # removed or replaced since
            if binding.lapses_at > now:  # calls no longer, messages still
                self._subscribers.tell(binding.key, [(ChangeKind.EXPIRED, binding)])
            else:
                self._sweep(record, now)
        return self._expiry.next_due()

    def _sweep(self, record: Record, now: float) -> None:
        lapsed = [binding for binding in record.bindings if binding.lapses_at <= now]
        if lapsed:
            record.bindings = [binding for binding in record.bindings if binding.lapses_at > now]
            changes = [(ChangeKind.EXPIRED, binding) for binding in lapsed]
            self._store.save(record, changes)
            # who outlived its expiry for messages was announced when that came
            self._subscribers.tell(record.key, [c for c in changes if not c[1].message_expires_at])
        record.earliest = min((binding.lapses_at for binding in record.bindings), default=0.0)
