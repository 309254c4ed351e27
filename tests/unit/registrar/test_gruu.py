"""GRUUs lead to one device (RFC 5627), flows of one device count once (RFC 5626)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registrar_samples import NOW, URN, local_registrar, registration

from flexipy.registrar.binding import Binding
from flexipy.registrar.gruu import TemporaryGruus, base_of
from flexipy.registrar.registration import RegistrarOptions
from flexipy.sip.uri import SipUri

KEY = "alice@sip.example.org"
ALICE = SipUri.parse(b"sip:alice@sip.example.org")
PHONE = f'<sip:a@10.0.0.1>;+sip.instance="<{URN}>"'
TABLET = '<sip:a@10.0.0.2>;+sip.instance="<urn:uuid:tablet>"'


def gruus_of(value: bytes) -> tuple[SipUri, SipUri]:
    public = re.search(rb'pub-gruu="([^"]+)"', value)
    temporary = re.search(rb'temp-gruu="([^"]+)"', value)
    assert public
    assert temporary
    return SipUri.parse(public[1]), SipUri.parse(temporary[1])


def test_gruus_are_handed_out_when_supported() -> None:
    registrar = local_registrar()
    request = registration(PHONE, gruu=True)
    [value] = registrar.contact_values(request, registrar.register(request, NOW), NOW)
    public, temporary = gruus_of(value)
    assert str(public) == f"sip:alice@sip.example.org;gr={URN}"
    assert "alice" not in str(temporary)
    assert temporary.param("gr") == ""


@pytest.mark.parametrize("options", [RegistrarOptions(), RegistrarOptions(enable_gruu=False)])
def test_gruus_are_not_handed_out_otherwise(options: RegistrarOptions) -> None:
    registrar = local_registrar(options)
    request = registration(PHONE, gruu=not options.enable_gruu)
    [value] = registrar.contact_values(request, registrar.register(request, NOW), NOW)
    assert b"gruu" not in value


def test_an_instance_id_that_would_break_the_header_gets_no_gruu() -> None:
    registrar = local_registrar()
    request = registration('<sip:a@10.0.0.1>;+sip.instance="<urn:x\\";evil>"', gruu=True)
    [value] = registrar.contact_values(request, registrar.register(request, NOW), NOW)
    assert b"gruu" not in value


def test_a_client_cannot_choose_its_gruu() -> None:
    registrar = local_registrar()
    request = registration(PHONE + ';pub-gruu="sip:bob@sip.example.org;gr=1"')
    [value] = registrar.contact_values(request, registrar.register(request, NOW), NOW)
    assert b"bob" not in value


def test_a_public_gruu_leads_to_that_device_only() -> None:
    registrar = local_registrar()
    registrar.register(registration(PHONE, call_id=b"1"), NOW)
    registrar.register(registration(TABLET, call_id=b"2"), NOW)
    found = registrar.lookup(SipUri.parse(f"sip:alice@sip.example.org;gr={URN.upper()}".encode()), KEY, NOW)
    assert [str(binding.uri) for binding in found] == ["sip:a@10.0.0.1"]
    assert registrar.lookup(SipUri.parse(b"sip:alice@sip.example.org;gr=urn:uuid:nobody"), KEY, NOW) == []


def test_a_temporary_gruu_leads_to_that_device_and_older_ones_do_too() -> None:
    registrar = local_registrar()
    registrar.register(registration(TABLET, call_id=b"2"), NOW)
    temporary = []
    for cseq in (1, 2):
        request = registration(PHONE, gruu=True, cseq=cseq)
        value = registrar.contact_values(request, registrar.register(request, NOW), NOW)[0]
        temporary.append(gruus_of(value)[1])
    assert temporary[0] != temporary[1]
    for uri in temporary:
        found = registrar.lookup(uri, uri.aor, NOW)
        assert [str(binding.uri) for binding in found] == ["sip:a@10.0.0.1"]


def test_a_temporary_gruu_ends_with_its_call_id() -> None:
    registrar = local_registrar()
    request = registration(PHONE, gruu=True)
    _, temporary = gruus_of(registrar.contact_values(request, registrar.register(request, NOW), NOW)[0])
    registrar.register(registration(PHONE, call_id=b"rebooted"), NOW)
    assert registrar.lookup(temporary, temporary.aor, NOW) == []


def test_with_the_same_secret_a_temporary_gruu_survives_a_restart() -> None:
    options = RegistrarOptions(gruu_secret=b"0123456789abcdef")
    request = registration(PHONE, gruu=True)
    before, after, stranger = local_registrar(options), local_registrar(options), local_registrar()
    _, temporary = gruus_of(before.contact_values(request, before.register(request, NOW), NOW)[0])
    after.register(request, NOW)
    stranger.register(request, NOW)
    assert len(after.lookup(temporary, temporary.aor, NOW)) == 1
    assert stranger.lookup(temporary, temporary.aor, NOW) == []


def temporary_gruu(gruus: TemporaryGruus, binding: Binding, base: bytes = base_of(ALICE)) -> SipUri:
    return SipUri.parse(gruus.make(binding.key, URN.encode(), binding.call_id, base))


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.binary(max_size=100))
def test_what_is_sealed_is_read_again(key: str, call_id: bytes) -> None:
    gruus = TemporaryGruus(b"secret")
    binding = Binding(key, "u", ALICE, instance_id=URN, call_id=call_id)
    uri = temporary_gruu(gruus, binding)
    owner = gruus.read(uri)
    assert owner is not None
    assert owner[0] == key
    assert gruus.belongs_to(binding, owner[1])
    assert not gruus.belongs_to(Binding(key, "u", ALICE, instance_id=URN, call_id=call_id + b"."), owner[1])


@given(st.integers(0, 60), st.sampled_from("ABCDabcd0123-_"))
def test_a_changed_temporary_gruu_is_worth_nothing(place: int, letter: str) -> None:
    gruus = TemporaryGruus(b"secret")
    binding = Binding(KEY, "u", ALICE, instance_id=URN)
    text = str(temporary_gruu(gruus, binding))
    place = 4 + len("tgruu.") + place % 48
    if text[place] != letter:
        owner = gruus.read(SipUri.parse(f"{text[:place]}{letter}{text[place + 1 :]}".encode()))
        assert owner is None or owner[0] != KEY or not gruus.belongs_to(binding, owner[1])


def test_temporary_gruus_can_be_made_and_read_wherever_counting_begins() -> None:
    binding = Binding(KEY, "u", ALICE, instance_id=URN)
    for _ in range(64):
        gruus = TemporaryGruus(b"secret")
        owner = gruus.read(temporary_gruu(gruus, binding))
        assert owner is not None
        assert owner[0] == KEY
        assert gruus.belongs_to(binding, owner[1])


def test_a_temporary_gruu_of_a_long_address_can_be_read() -> None:
    gruus = TemporaryGruus(b"secret")
    key = "a" * 80 + "@sip.example.org"
    owner = gruus.read(temporary_gruu(gruus, Binding(key, "u", ALICE, instance_id=URN)))
    assert owner is not None
    assert owner[0] == key


def test_a_temporary_gruu_altered_to_another_user_is_not_that_users() -> None:
    gruus = TemporaryGruus(b"secret")
    mine = Binding("alice@a", "u", ALICE, instance_id=URN)
    theirs = Binding("alicf@a", "u", ALICE, instance_id=URN)
    user = temporary_gruu(gruus, mine, b"sip:alice@a").user or ""
    raw = bytearray.fromhex(user.removeprefix("tgruu."))
    raw[16 + 4] ^= ord("e") ^ ord("f")
    owner = gruus.read(SipUri("sip", "tgruu." + raw.hex(), "a"))
    assert owner is not None
    assert owner[0] == theirs.key
    assert not gruus.belongs_to(theirs, owner[1])


@pytest.mark.parametrize("user", ["tgruu.", "tgruu.a", "tgruu.====", "tgruu.%41%41", "tgruu.ä"])
def test_nonsense_temporary_gruus_are_nobodys(user: str) -> None:
    uri = SipUri.parse(f"sip:{user}@sip.example.org;gr".encode())
    assert local_registrar().lookup(uri, uri.aor, NOW) == []


# --- flows and order -------------------------------------------------------------------------------------


def flow(number: int, **others: object) -> object:
    contact = f'<sip:a@10.0.0.{number}>;+sip.instance="<{URN}>";reg-id={number}'
    return registration(contact, outbound=True, call_id=b"flow", cseq=number, **others)  # type: ignore[arg-type]


def test_two_flows_of_a_device_are_two_bindings_and_one_target() -> None:
    registrar = local_registrar()
    registrar.register(flow(1), NOW)
    assert len(registrar.register(flow(2), NOW + 1)) == 2
    [target] = registrar.lookup(ALICE, KEY, NOW + 1)
    assert target.reg_id == 2
    [other] = registrar.other_flows(target, NOW + 1)
    assert other.reg_id == 1


def test_a_flow_number_without_outbound_is_ignored() -> None:
    registrar = local_registrar()
    for number in (1, 2):
        contact = f'<sip:a@10.0.0.{number}>;+sip.instance="<{URN}>";reg-id={number}'
        bound = registrar.register(registration(contact, cseq=number), NOW)
    assert [str(binding.uri) for binding in bound] == ["sip:a@10.0.0.2"]
    assert registrar.other_flows(bound[0], NOW) == []


def test_targets_come_by_priority_and_then_the_latest_first() -> None:
    registrar = local_registrar()
    for index, q in enumerate(("0.5", "1", "0.5", "0.9")):
        request = registration(f"<sip:a@10.0.0.{index}>;q={q}", call_id=b"%d" % index)
        registrar.register(request, NOW + index)
    found = registrar.lookup(ALICE, KEY, NOW + 9)
    assert [binding.uri.host[-1] for binding in found] == ["1", "3", "2", "0"]
