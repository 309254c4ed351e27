"""The Contact values that answer a REGISTER (RFC 3261 section 10.3 step 8, RFC 5627 section 5.3)."""

from __future__ import annotations

import random
from collections.abc import Iterable

from flexipy.registrar.binding import Binding
from flexipy.registrar.gruu import TemporaryGruus, has_gruu, public_gruu
from flexipy.registrar.registration import RegistrarOptions


def contact_values(
    base: bytes,
    call_id: bytes,
    bindings: Iterable[Binding],
    options: RegistrarOptions,
    gruus: TemporaryGruus | None,
    now: float,
    source: int = 0,
) -> list[bytes]:
    """One value for each binding, with its remaining time and GRUUs.

    Args:
        base: the address-of-record's URI, as `gruu.base_of` makes it.
        call_id: of the REGISTER.
        bindings: to be listed.
        options: limits.
        gruus: makes the temporary ones; None for an answer without GRUUs.
        now: wall clock seconds.
        source: of the REGISTER, if it only renewed its binding (`Registration.source`).
    """
    shorten = options.expire_randomizer_max
    values: list[bytes] = []
    for binding in bindings:
        if binding.is_static or binding.expires_at > now + options.max_expires:
            left = options.max_expires
        else:
            left = round(binding.expires_at - now) or 1
            if shorten and binding.call_id == call_id:
                left -= left * random.randint(0, shorten) // 100
        instance_id = binding.instance_id
        if gruus is None or instance_id is None or not (binding.shown or has_gruu(instance_id)):
            values.append(b"<%b>%b;expires=%d" % (binding.uri.raw, binding.contact_params, left))
            continue
        if source and binding.source == source:  # it was answered from the same lines, so with the same address
            lasting = binding.shown = binding.shown or _lasting(binding, base)
        else:
            lasting = _lasting(binding, base)
        if options.enable_temporary_gruu:
            values.append(b'%b;expires=%d;temp-gruu="%b"' % (lasting, left, gruus.make(binding, base)))
        else:
            values.append(b"%b;expires=%d" % (lasting, left))
    return values


def _lasting(binding: Binding, base: bytes) -> bytes:
    """What stays the same from answer to answer."""
    assert binding.instance_id is not None
    gruu = public_gruu(base, binding.instance_id)
    return b'<%b>%b;pub-gruu="%b"' % (binding.uri.raw, binding.contact_params, gruu)


def own_first(bindings: list[Binding], call_id: bytes, now: float) -> list[Binding]:
    """The active bindings, the requester's before others: clients take the first GRUU listed for theirs."""
    if len(bindings) == 1:
        return [bindings[0]] if bindings[0].expires_at > now else []
    active = [binding for binding in bindings if binding.expires_at > now]
    active.sort(key=lambda binding: binding.call_id != call_id)
    return active
