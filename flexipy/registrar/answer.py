"""The Contact values that answer a REGISTER (RFC 3261 section 10.3 step 8, RFC 5627 section 5.3)."""

from __future__ import annotations

import random
from collections.abc import Iterable

from flexipy.registrar.binding import Binding
from flexipy.registrar.gruu import TemporaryGruus
from flexipy.registrar.registration import RegistrarOptions
from flexipy.sip.digits import decimal
from flexipy.sip.params import encode


def contact_values(
    base: bytes,
    call_id: bytes,
    bindings: Iterable[Binding],
    options: RegistrarOptions,
    gruus: TemporaryGruus | None,
    now: float,
) -> list[bytes]:
    """One value for each binding, with its remaining time and GRUUs.

    Args:
        base: the address-of-record's URI, as `gruu.base_of` makes it.
        call_id: of the REGISTER.
        bindings: to be listed.
        options: limits.
        gruus: makes the temporary ones; None for an answer without GRUUs.
        now: wall clock seconds.
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
        contact = binding.uri_raw
        instance_id = binding.instance_id
        if gruus is None or instance_id is None or not binding.has_gruu:
            values.append(b"<%b>%b;expires=%b" % (contact, binding.contact_params, decimal(left)))
            continue
        instance = encode(instance_id)
        params = binding.params_with(instance)
        # the public one is made in place (RFC 5627 section 3.1.1)
        if options.enable_temporary_gruu:
            temporary = gruus.make(binding.key, instance, binding.call_id, base)
            values.append(
                b'<%b>%b;pub-gruu="%b;gr=%b";expires=%b;temp-gruu="%b"'
                % (contact, params, base, instance, decimal(left), temporary)
            )
        else:
            values.append(b'<%b>%b;pub-gruu="%b;gr=%b";expires=%b' % (contact, params, base, instance, decimal(left)))
    return values


def own_first(bindings: list[Binding], call_id: bytes, now: float) -> list[Binding]:
    """The active bindings, the requester's before others: clients take the first GRUU listed for theirs."""
    if len(bindings) == 1:
        return [bindings[0]] if bindings[0].expires_at > now else []
    active = [binding for binding in bindings if binding.expires_at > now]
    active.sort(key=lambda binding: binding.call_id != call_id)
    return active
