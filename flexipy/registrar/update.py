"""The rules by which a REGISTER changes a record (RFC 3261 section 10.3, RFC 5626 section 6).

Pure decisions on a record in memory; storing, expiry and events are the registrar's.
"""

from __future__ import annotations

import random

from flexipy.registrar.binding import PLACEHOLDER, Binding, Change, ChangeKind, Record
from flexipy.registrar.contact import parameter_bytes, requested_binding
from flexipy.registrar.registration import RegistrarOptions, Registration, RegistrationError
from flexipy.sip.params import encode
from flexipy.sip.uri import SipUri

_ADDED = ChangeKind.ADDED
_REPLACED = ChangeKind.REPLACED
_EXTENDED = ChangeKind.EXTENDED
_REMOVED = ChangeKind.REMOVED


def apply_registration(
    record: Record, registration: Registration, options: RegistrarOptions, now: float
) -> list[Change]:
    """Change a record as a REGISTER asks; all of its contacts or, when it is refused, none.

    Returns:
        What changed, in order.

    Raises:
        RegistrationError: the request is refused and the record is as before.
    """
    if registration.star:
        return _remove_all(record, registration)
    contacts = registration.contacts
    if len(contacts) == 1:
        wanted = requested_binding(contacts[0], registration, options, now)
        match, stale = _compare(record, wanted)
        if match is not None and match.call_id == wanted.call_id and wanted.cseq <= match.cseq:
            _check_replay(match, wanted)
            return []
        changes: list[Change] = []
        wanted.source = registration.source
        _put(record, wanted, match, stale, now, changes)
    else:
        changes = _apply_several(record, registration, options, now)
    if len(record.bindings) > options.max_contacts_by_aor:
        _drop_oldest(record, options.max_contacts_by_aor, changes)
    return changes


def put_binding(record: Record, wanted: Binding, options: RegistrarOptions, now: float) -> list[Change]:
    """Put a ready-made binding in the place of that with the same unique id, or add it."""
    changes: list[Change] = []
    _put(record, wanted, record.get(wanted.unique_id), None, now, changes)
    if len(record.bindings) > options.max_contacts_by_aor:
        _drop_oldest(record, options.max_contacts_by_aor, changes)
    return changes


def binding_by_hand(key: str, uri: SipUri, expires_at: float, now: float, unique_id: str | None) -> Binding:
    """A binding that an operator made; `unique_id` is an instance id in angle brackets, or any other name."""
    if unique_id is None:
        unique_id = f"fs-cli-gen-{random.getrandbits(64):016x}"
    params, instance_id = b"", None
    if unique_id.startswith("<"):
        params, instance_id = parameter_bytes({"+sip.instance": unique_id}), unique_id.strip("<>")
    return Binding(
        key, unique_id, uri, params, instance_id, call_id=b"fs-cli-upsert", expires_at=expires_at, updated_at=now
    )


def _apply_several(record: Record, registration: Registration, options: RegistrarOptions, now: float) -> list[Change]:
    if len(registration.contacts) > options.max_contacts_per_registration:
        raise RegistrationError(403, "Too Many Contacts")
    wanted = [requested_binding(contact, registration, options, now) for contact in registration.contacts]
    wanted = _without_ambiguous(wanted, now)
    fresh: list[Binding] = []
    for binding in wanted:  # first pass: refuse before anything changes
        match, _ = _compare(record, binding)
        if match is not None and match.call_id == binding.call_id and binding.cseq <= match.cseq:
            _check_replay(match, binding)
        else:
            fresh.append(binding)
    changes: list[Change] = []
    for binding in fresh:
        match, stale = _compare(record, binding)
        if stale:
            # contacts of one request don't push each other out
            stale = [other for other in stale if other not in fresh]
        _put(record, binding, match, stale, now, changes)
    return changes


def _without_ambiguous(wanted: list[Binding], now: float) -> list[Binding]:
    """Drop a removal of a device that the same request also registers: Linphone sends both after a move."""
    kept = {binding.unique_id for binding in wanted if binding.lapses_at > now}
    return [b for b in wanted if b.lapses_at > now or not b.unique_id or b.unique_id not in kept]


def _check_replay(match: Binding, wanted: Binding) -> None:
    """An older or repeated request of the same Call-ID changes nothing.

    Raises:
        RegistrationError: it is older than the binding and only the URI tells them apart, where RFC 3261
            section 10.3 wants it to fail. A device's late request is answered as things stand.
    """
    if wanted.cseq < match.cseq and match.is_placeholder:
        raise RegistrationError(400, "Replayed CSeq")


def _compare(record: Record, wanted: Binding) -> tuple[Binding | None, list[Binding] | None]:
    """The binding that a request speaks of, and those that it shows to be stale."""
    match: Binding | None = None
    stale: list[Binding] | None = None
    unique_id = wanted.unique_id
    host = b""
    for other in record.bindings:
        if other.unique_id == unique_id:
            match = other
            continue
        host = host or encode(wanted.uri.host)
        # a look at the bytes first: nearly always this spares the parsing
        same_uri = other.uri_raw == wanted.uri_raw or (host in other.uri_raw.lower() and other.uri.matches(wanted.uri))
        if same_uri and not unique_id and other.is_placeholder and match is None:
            match = other
        elif _is_stale(other, wanted, same_uri):
            stale = [other] if stale is None else [*stale, other]
    return match, stale


def _is_stale(other: Binding, wanted: Binding, same_uri: bool) -> bool:
    """Whether another binding is a former life of this device.

    It is when somebody else's contact now answers at its address, the way there (Path) being the same; or
    when it has the same push token: the app was installed again and took a new instance id.
    """
    if other.instance_id is not None and other.instance_id == wanted.instance_id:
        return False  # the other flow of one device
    if same_uri:
        return other.path == wanted.path
    ours = wanted.uri.params
    if "pn-prid" in ours or "pn-tok" in ours:
        token = _push_token(wanted.uri)
        return token is not None and token == _push_token(other.uri)
    return False


def _push_token(uri: SipUri) -> tuple[str | None, ...] | None:
    params = uri.params
    for names in (("pn-provider", "pn-prid", "pn-param"), ("pn-type", "pn-tok", "app-id")):
        token = tuple(params.get(name) for name in names)
        if all(token):
            return token
    return None


def _put(
    record: Record,
    wanted: Binding,
    match: Binding | None,
    stale: list[Binding] | None,
    now: float,
    changes: list[Change],
) -> None:
    bindings = record.bindings
    if match is not None:
        match.source = wanted.source
    if stale is not None:
        for other in stale:
            bindings.remove(other)
            changes.append((_REMOVED, other))
    lapses_at = wanted.lapses_at
    if lapses_at <= now:
        if match is not None:
            bindings.remove(match)
            changes.append((_REMOVED, match))
        return
    if lapses_at < record.earliest or not bindings:
        record.earliest = lapses_at
    if match is None:
        if not wanted.unique_id:
            wanted.unique_id = f"{PLACEHOLDER}{random.getrandbits(64):016x}"
        wanted.key = record.key  # one string for all
        if bindings:
            bindings.append(wanted)
        else:
            record.bindings = [wanted]  # appending would make room for four
        changes.append((_ADDED, wanted))
    elif _is_same_content(match, wanted):
        match.cseq = wanted.cseq
        match.expires_at = wanted.expires_at
        match.message_expires_at = wanted.message_expires_at
        match.updated_at = now
        match.flow_token = wanted.flow_token
        changes.append((_EXTENDED, match))
    else:
        wanted.key, wanted.unique_id = record.key, match.unique_id
        bindings[bindings.index(match)] = wanted
        changes.append((_REPLACED, wanted))


def _is_same_content(old: Binding, new: Binding) -> bool:
    return (
        old.uri_raw == new.uri_raw
        and old.contact_params == new.contact_params
        and old.call_id == new.call_id
        and old.path == new.path
        and old.user_agent == new.user_agent
        and old.accept == new.accept
        and old.reg_id == new.reg_id
    )


def _remove_all(record: Record, registration: Registration) -> list[Change]:
    """`Contact: *` (RFC 3261 section 10.3 step 6)."""
    if registration.contacts or registration.default_expires != 0:
        raise RegistrationError(400, "Invalid Wildcard Contact")
    for binding in record.bindings:
        if binding.call_id == registration.call_id and binding.cseq >= registration.cseq:
            raise RegistrationError(400, "Replayed CSeq")
    changes = [(_REMOVED, binding) for binding in record.bindings]
    record.bindings = []
    return changes


def _drop_oldest(record: Record, limit: int, changes: list[Change]) -> None:
    by_age = sorted(record.bindings, key=lambda binding: binding.updated_at)
    for binding in by_age[: len(by_age) - limit]:
        record.bindings.remove(binding)
        changes.append((_REMOVED, binding))
