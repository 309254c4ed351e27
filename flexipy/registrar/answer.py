"""The Contact values that answer a REGISTER (RFC 3261 section 10.3 step 8, RFC 5627 section 5.3)."""

from __future__ import annotations

import random
from collections.abc import Iterable

from flexipy.registrar.binding import Binding
from flexipy.registrar.gruu import TemporaryGruus, has_gruu, public_gruu
from flexipy.registrar.registration import RegistrarOptions
from flexipy.sip.uri import SipUri


def contact_values(
    aor: SipUri,
    call_id: bytes,
    bindings: Iterable[Binding],
    options: RegistrarOptions,
    gruus: TemporaryGruus | None,
    now: float,
) -> list[bytes]:
    """One value for each binding, with its remaining time and GRUUs (None: without); see `Registrar.contact_values`."""
    shorten = options.expire_randomizer_max
    values: list[bytes] = []
    for binding in bindings:
        if binding.is_static or binding.expires_at > now + options.max_expires:
            left = options.max_expires
        else:
            left = round(binding.expires_at - now) or 1
            if shorten and binding.call_id == call_id:
                left -= left * random.randint(0, shorten) // 100
        value = b"<%b>%b;expires=%d" % (binding.uri.raw, binding.contact_params, left)
        if gruus is not None and binding.instance_id is not None and has_gruu(binding.instance_id):
            value += b';pub-gruu="%b"' % public_gruu(aor, binding.instance_id)
            if options.enable_temporary_gruu:
                value += b';temp-gruu="%b"' % gruus.make(binding, aor)
        values.append(value)
    return values


def own_first(bindings: list[Binding], call_id: bytes, now: float) -> list[Binding]:
    """The active bindings, the requester's before others: clients take the first GRUU listed for theirs."""
    if len(bindings) == 1:
        return [bindings[0]] if bindings[0].expires_at > now else []
    active = [binding for binding in bindings if binding.expires_at > now]
    active.sort(key=lambda binding: binding.call_id != call_id)
    return active
