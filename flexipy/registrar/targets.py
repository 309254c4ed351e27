"""Which bindings of a record a request may go to, and in which order."""

from __future__ import annotations

from flexipy.registrar.binding import Binding, Record


def reachable(record: Record, now: float, for_message: bool) -> list[Binding]:
    """The bindings that calls may go to or, for a MESSAGE, also those kept for messages only."""
    if for_message:
        return [b for b in record.bindings if b.expires_at > now or b.message_expires_at > now]
    return [binding for binding in record.bindings if binding.expires_at > now]


def device_bindings(bindings: list[Binding], gr: str) -> list[Binding]:
    """The bindings of the device that a public GRUU names (RFC 5627 section 5.4).

    Args:
        bindings: of the record.
        gr: the `gr` parameter's value, an instance id; conferences leave its `urn:uuid:` away.
    """
    wanted = gr.lower()
    names = (wanted, f"urn:uuid:{wanted}")
    return [b for b in bindings if (b.instance_id or b.unique_id).lower() in names]


def one_flow_each(bindings: list[Binding]) -> list[Binding]:
    """Sort by descending q, the latest first, and keep one flow of each device (RFC 5626 section 7)."""
    found: list[Binding] = []
    devices: set[str] = set()
    for binding in sorted(bindings, key=lambda b: (-b.q, -b.updated_at)):
        if binding.reg_id is not None and binding.instance_id is not None:
            if binding.instance_id in devices:
                continue
            devices.add(binding.instance_id)
        found.append(binding)
    return found
