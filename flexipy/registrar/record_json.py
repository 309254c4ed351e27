"""Records as the control socket shows them; the names are Flexisip's (REGISTRAR_GET, REGISTRAR_DUMP)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from flexipy.registrar.binding import NEVER, Record
from flexipy.sip.params import decode


def record_to_json(record: Record) -> str:
    """One record with its bindings; `expires-at` is -1 for one that never lapses."""
    contacts = [
        {
            "contact": decode(binding.uri_raw),
            "expires-at": -1 if binding.expires_at == NEVER else int(binding.expires_at),
            "q": binding.q,
            "unique-id": binding.unique_id,
            "user-agent": decode(binding.user_agent),
            "call-id": decode(binding.call_id),
            "cseq": binding.cseq,
            "alias": 0,
            "static": int(binding.is_static),
            "update-time": int(binding.updated_at),
            "path": [decode(value) for value in binding.path],
            "accept": [decode(binding.accept)] if binding.accept else [],
        }
        for binding in record.bindings
    ]
    return _dump({"contacts": contacts})


def keys_to_json(keys: Iterable[str]) -> str:
    """The keys of all records."""
    return _dump({"aors": list(keys)})


def _dump(value: object) -> str:
    # bytes that were not UTF-8 stand as surrogates in our texts; no JSON reader wants those
    text = json.dumps(value, indent="\t", ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()
