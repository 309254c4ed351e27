"""Records on the control socket."""

from __future__ import annotations

import json

from registrar_samples import NOW, local_registrar, registration

from flexipy.registrar.record_json import keys_to_json, record_to_json


def test_a_record_is_shown_with_the_names_that_flexisip_uses() -> None:
    registrar = local_registrar()
    registrar.register(registration("<sip:a@10.0.0.1;line=L1>;q=0.5", path=(b"<sip:edge;lr>",)), NOW)
    [contact] = json.loads(record_to_json(registrar.fetch("alice@sip.example.org", NOW)))["contacts"]
    assert contact["contact"] == "sip:a@10.0.0.1;line=L1"
    assert contact["expires-at"] == NOW + 600
    assert contact["unique-id"] == "L1"
    assert contact["q"] == 0.5
    assert contact["path"] == ["<sip:edge;lr>"]
    assert contact["call-id"] == "call-1"


def test_keys_are_listed() -> None:
    assert json.loads(keys_to_json(iter(["a@x", "b@x"]))) == {"aors": ["a@x", "b@x"]}
