"""What a REGISTER changes and what is found afterwards (RFC 3261 section 10)."""

from __future__ import annotations

import pytest
from registrar_samples import NOW, URN, FakeRemoteStore, local_registrar, registration

from flexipy.registrar.binding import Binding
from flexipy.registrar.events import EventKind, RegistrarEvent
from flexipy.registrar.registrar import Registrar
from flexipy.registrar.registration import RegistrarOptions, RegistrationError
from flexipy.registrar.stores.memory import MemoryStore
from flexipy.sip.uri import SipUri

KEY = "alice@sip.example.org"
ALICE = SipUri.parse(b"sip:alice@sip.example.org")


def uris(bindings: list[Binding]) -> list[str]:
    return [str(binding.uri) for binding in bindings]


def test_a_contact_is_bound_and_found() -> None:
    registrar = local_registrar()
    [binding] = registrar.register(registration("<sip:alice@10.0.0.1>", expires=300), NOW)
    assert binding.expires_at == NOW + 300
    assert registrar.lookup(ALICE, KEY, NOW) == [binding]
    record = registrar.fetch(KEY, NOW)
    assert record is not None
    assert record.bindings == [binding]


def test_without_contacts_the_bindings_are_only_listed() -> None:
    registrar = local_registrar()
    assert registrar.register(registration(), NOW) == []
    registrar.register(registration("<sip:alice@10.0.0.1>"), NOW)
    assert uris(registrar.register(registration(call_id=b"other"), NOW)) == ["sip:alice@10.0.0.1"]


def test_a_refresh_extends_the_same_binding() -> None:
    registrar = local_registrar()
    [first] = registrar.register(registration("<sip:alice@10.0.0.1>", cseq=1), NOW)
    [second] = registrar.register(registration("<sip:alice@10.0.0.1>", cseq=2), NOW + 100)
    assert second is first
    assert second.expires_at == NOW + 100 + 600
    assert second.cseq == 2


def test_a_device_that_moved_replaces_its_binding() -> None:
    registrar = local_registrar()
    registrar.register(registration(f'<sip:alice@10.0.0.1>;+sip.instance="<{URN}>"'), NOW)
    moved = registration(f'<sip:alice@10.0.0.9>;+sip.instance="<{URN}>"', call_id=b"new")
    assert uris(registrar.register(moved, NOW)) == ["sip:alice@10.0.0.9"]


def test_equal_uris_are_one_binding_whatever_their_spelling() -> None:
    registrar = local_registrar()
    registrar.register(registration("<sip:alice@h.example.org;transport=tcp>", cseq=1), NOW)
    again = registration("<sip:%61lice@H.example.org;transport=TCP>", cseq=2)
    assert len(registrar.register(again, NOW)) == 1


@pytest.mark.parametrize("contact", ["<sip:alice@10.0.0.1;pn-tok=T1>", "<sip:alice@10.0.0.1;line=T1>"])
def test_unique_id_is_taken_from_uri_parameters(contact: str) -> None:
    registrar = local_registrar()
    [binding] = registrar.register(registration(contact), NOW)
    assert binding.unique_id == "T1"


def test_unique_id_parameters_are_tried_in_order() -> None:
    registrar = local_registrar(RegistrarOptions(unique_id_parameters=("line", "+sip.instance")))
    [binding] = registrar.register(registration(f'<sip:a@10.0.0.1;line=L>;+sip.instance="<{URN}>"'), NOW)
    assert binding.unique_id == "L"


def test_expires_zero_removes_and_expires_zero_for_nobody_is_answered() -> None:
    registrar = local_registrar()
    assert registrar.register(registration("<sip:alice@10.0.0.1>;expires=0"), NOW) == []
    registrar.register(registration("<sip:alice@10.0.0.1>", cseq=2), NOW)
    assert registrar.register(registration("<sip:alice@10.0.0.1>", cseq=3, expires=0), NOW) == []
    assert registrar.fetch(KEY, NOW) is None


def test_star_removes_all_bindings_of_all_devices() -> None:
    registrar = local_registrar()
    registrar.register(registration("<sip:alice@10.0.0.1>"), NOW)
    registrar.register(registration("<sip:alice@10.0.0.2>", call_id=b"other"), NOW)
    assert registrar.register(registration(star=True, expires=0, cseq=2), NOW) == []
    assert registrar.fetch(KEY, NOW) is None


@pytest.mark.parametrize("expires", [None, 60])
def test_star_needs_expires_zero(expires: int | None) -> None:
    registrar = local_registrar()
    with pytest.raises(RegistrationError) as caught:
        registrar.register(registration(star=True, expires=expires), NOW)
    assert caught.value.status == 400


def test_star_beside_a_contact_is_refused() -> None:
    with pytest.raises(RegistrationError):
        local_registrar().register(registration("<sip:alice@10.0.0.1>", star=True, expires=0), NOW)


def test_a_star_older_than_a_binding_of_its_call_is_refused() -> None:
    registrar = local_registrar()
    registrar.register(registration("<sip:alice@10.0.0.1>", cseq=5), NOW)
    with pytest.raises(RegistrationError):
        registrar.register(registration(star=True, expires=0, cseq=5), NOW)
    assert len(registrar.lookup(ALICE, KEY, NOW)) == 1


# --- replays ---------------------------------------------------------------------------------------------


def test_a_repeated_request_is_answered_without_change() -> None:
    registrar = local_registrar()
    registrar.register(registration("<sip:alice@10.0.0.1>", cseq=5), NOW)
    [binding] = registrar.register(registration("<sip:alice@10.0.0.1>", cseq=5, expires=60), NOW + 10)
    assert binding.expires_at == NOW + 600


def test_an_older_request_fails_where_only_the_uri_identifies() -> None:
    registrar = local_registrar()
    registrar.register(registration("<sip:alice@10.0.0.1>", cseq=5), NOW)
    with pytest.raises(RegistrationError) as caught:
        registrar.register(registration("<sip:alice@10.0.0.1>", cseq=4, expires=0), NOW)
    assert caught.value.status == 400
    assert len(registrar.lookup(ALICE, KEY, NOW)) == 1


def test_an_older_request_of_a_device_changes_nothing() -> None:
    registrar = local_registrar()
    contact = f'<sip:alice@10.0.0.1>;+sip.instance="<{URN}>"'
    registrar.register(registration(contact, cseq=5), NOW)
    assert len(registrar.register(registration(contact, cseq=4, expires=0), NOW)) == 1


def test_a_new_call_id_may_start_its_cseq_anew() -> None:
    registrar = local_registrar()
    registrar.register(registration("<sip:alice@10.0.0.1>", cseq=50), NOW)
    [binding] = registrar.register(registration("<sip:alice@10.0.0.1>", call_id=b"reboot", cseq=1), NOW + 5)
    assert (binding.call_id, binding.cseq) == (b"reboot", 1)


# --- stale bindings --------------------------------------------------------------------------------------


def test_a_binding_at_the_same_uri_with_another_instance_is_purged() -> None:
    registrar = local_registrar()
    registrar.register(registration('<sip:alice@10.0.0.1>;+sip.instance="<urn:uuid:old>"'), NOW)
    fresh = registration(f'<sip:alice@10.0.0.1>;+sip.instance="<{URN}>"', call_id=b"new")
    [binding] = registrar.register(fresh, NOW)
    assert binding.instance_id == URN


def test_two_devices_at_one_private_address_behind_different_proxies_both_stay() -> None:
    registrar = local_registrar()
    one = registration('<sip:a@192.168.1.2>;+sip.instance="<urn:uuid:1>"', path=(b"<sip:edge1;lr>",))
    two = registration('<sip:a@192.168.1.2>;+sip.instance="<urn:uuid:2>"', path=(b"<sip:edge2;lr>",), call_id=b"2")
    registrar.register(one, NOW)
    assert len(registrar.register(two, NOW)) == 2


def test_a_reinstalled_app_with_the_same_push_token_is_one_device() -> None:
    registrar = local_registrar()
    push = "pn-provider=apns;pn-prid=TOKEN;pn-param=TEAM.app"
    registrar.register(registration(f'<sip:a@10.0.0.1;{push}>;+sip.instance="<urn:uuid:1>"'), NOW)
    again = registration(f'<sip:a@10.0.0.7;{push}>;+sip.instance="<urn:uuid:2>"', call_id=b"2")
    assert uris(registrar.register(again, NOW)) == [f"sip:a@10.0.0.7;{push}"]


def test_a_removal_beside_a_registration_of_the_same_device_is_dropped() -> None:
    registrar = local_registrar()
    instance = f'+sip.instance="<{URN}>"'
    both = registration(f"<sip:a@10.0.0.1:2>;{instance}", f"<sip:a@10.0.0.1:1>;{instance};expires=0")
    assert uris(registrar.register(both, NOW)) == ["sip:a@10.0.0.1:2"]


# --- limits ----------------------------------------------------------------------------------------------


def test_expiry_is_held_to_the_limits() -> None:
    options = RegistrarOptions(min_expires=60, max_expires=3600, default_expires=600)
    for asked, granted in (("1", 60), ("60", 60), ("7200", 3600), ("x", 600), ("99999999999", 600)):
        registrar = local_registrar(options)
        [binding] = registrar.register(registration(f"<sip:a@10.0.0.1>;expires={asked}", expires=None), NOW)
        assert binding.expires_at - NOW == granted, asked


def test_brief_expiry_is_refused_when_strict() -> None:
    registrar = local_registrar(RegistrarOptions(reject_too_brief=True, min_expires=60))
    with pytest.raises(RegistrationError) as caught:
        registrar.register(registration("<sip:a@10.0.0.1>", expires=59), NOW)
    assert caught.value.status == 423
    assert caught.value.headers == ((b"Min-Expires", b"60"),)


def test_forced_expiry_replaces_what_was_asked_but_not_a_removal() -> None:
    registrar = local_registrar(RegistrarOptions(force_expires=42))
    [binding] = registrar.register(registration("<sip:a@10.0.0.1>", expires=600), NOW)
    assert binding.expires_at == NOW + 42
    assert registrar.register(registration("<sip:a@10.0.0.1>", expires=0, cseq=2), NOW) == []


def test_beyond_the_limit_the_oldest_binding_goes() -> None:
    registrar = local_registrar(RegistrarOptions(max_contacts_by_aor=2))
    for index in range(3):
        contact = f"<sip:a@10.0.0.{index}>"
        bound = registrar.register(registration(contact, call_id=b"%d" % index), NOW + index)
    assert sorted(uris(bound)) == ["sip:a@10.0.0.1", "sip:a@10.0.0.2"]


def test_too_many_contacts_in_one_request_are_refused() -> None:
    registrar = local_registrar(RegistrarOptions(max_contacts_per_registration=1))
    with pytest.raises(RegistrationError) as caught:
        registrar.register(registration("<sip:a@10.0.0.1>", "<sip:a@10.0.0.2>"), NOW)
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "contact",
    ["<tel:123>", "<sip:>", "<sip:a@b@c>", "<sip:a@10.0.0.1>;q=high", "<http://x>", "<sip:a@10.0.0.1:99999>"],
)
def test_contacts_that_cannot_be_called_are_refused(contact: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        local_registrar().register(registration(contact), NOW)
    assert caught.value.status == 400


def test_one_bad_contact_leaves_everything_as_it_was() -> None:
    registrar = local_registrar()
    registrar.register(registration("<sip:a@10.0.0.1>"), NOW)
    with pytest.raises(RegistrationError):
        registrar.register(registration("<sip:a@10.0.0.1>;expires=0", "<tel:1>", cseq=2), NOW)
    assert len(registrar.lookup(ALICE, KEY, NOW)) == 1


def test_the_address_of_record_as_its_own_contact_is_refused_unless_a_flow_leads_there() -> None:
    registrar = local_registrar()
    with pytest.raises(RegistrationError) as caught:
        registrar.register(registration("<sip:alice@sip.example.org>"), NOW)
    assert caught.value.status == 403
    assert len(registrar.register(registration("<sip:alice@sip.example.org>", flow_token=b"7"), NOW)) == 1


# --- expiry ----------------------------------------------------------------------------------------------


def test_a_lapsed_binding_is_never_seen() -> None:
    registrar = local_registrar()
    registrar.register(registration("<sip:a@10.0.0.1>", expires=60), NOW)
    registrar.register(registration("<sip:a@10.0.0.2>", expires=600, call_id=b"2"), NOW)
    assert len(registrar.lookup(ALICE, KEY, NOW + 59.9)) == 2
    assert uris(registrar.lookup(ALICE, KEY, NOW + 60)) == ["sip:a@10.0.0.2"]
    record = registrar.fetch(KEY, NOW + 60)
    assert record is not None
    assert uris(record.bindings) == ["sip:a@10.0.0.2"]
    assert registrar.fetch(KEY, NOW + 600) is None


def test_expire_removes_what_lapsed_and_says_when_to_come_again() -> None:
    store = MemoryStore()
    registrar = Registrar(store)
    seen: list[RegistrarEvent] = []
    registrar.subscribe(KEY, seen.append)
    registrar.register(registration("<sip:a@10.0.0.1>", expires=60), NOW)
    registrar.register(registration("<sip:a@10.0.0.1>", expires=60, cseq=2), NOW + 30)
    assert registrar.expire(NOW + 60) == NOW + 90
    assert len(store) == 1
    assert registrar.expire(NOW + 90) is None
    assert len(store) == 0
    assert [event.kind for event in seen] == [EventKind.REGISTERED, EventKind.REFRESHED, EventKind.EXPIRED]


def test_a_shortened_expiry_is_noticed() -> None:
    registrar = local_registrar()
    registrar.register(registration("<sip:a@10.0.0.1>", expires=600), NOW)
    registrar.register(registration("<sip:a@10.0.0.1>", expires=60, cseq=2), NOW)
    assert registrar.expire(NOW) == NOW + 60
    registrar.expire(NOW + 60)
    assert list(registrar.keys()) == []
    assert registrar.expire(NOW + 601) is None


def test_a_device_stays_reachable_for_messages() -> None:
    registrar = local_registrar()
    seen: list[RegistrarEvent] = []
    registrar.subscribe(KEY, seen.append)
    registrar.register(registration("<sip:a@10.0.0.1>;message-expires=1000", expires=60), NOW)
    registrar.expire(NOW + 60)
    assert registrar.lookup(ALICE, KEY, NOW + 60) == []
    assert len(registrar.lookup(ALICE, KEY, NOW + 60, include_expired_for_messages=True)) == 1
    assert registrar.register(registration(call_id=b"?"), NOW + 60) == []
    registrar.expire(NOW + 1000)
    assert registrar.fetch(KEY, NOW + 1000) is None
    assert list(registrar.keys()) == []
    assert [event.kind for event in seen] == [EventKind.REGISTERED, EventKind.EXPIRED]


# --- answers ---------------------------------------------------------------------------------------------


def test_the_requesters_own_binding_is_listed_first() -> None:
    registrar = local_registrar()
    for index in (1, 2, 3):
        registrar.register(registration(f"<sip:a@10.0.0.{index}>", call_id=b"%d" % index), NOW)
    listed = registrar.register(registration("<sip:a@10.0.0.2>", call_id=b"2", cseq=2), NOW)
    assert uris(listed)[0] == "sip:a@10.0.0.2"
    assert len(listed) == 3


def test_the_answer_shows_parameters_and_remaining_time() -> None:
    registrar = local_registrar()
    request = registration('<sip:a@10.0.0.1;x=1>;q=0.5;+foo="a b";expires=100;bar')
    registrar.register(request, NOW)
    listed = registrar.register(registration(call_id=b"other"), NOW + 40)
    [value] = registrar.contact_values(request, listed, NOW + 40)
    assert value == b'<sip:a@10.0.0.1;x=1>;q=0.5;+foo="a b";bar;expires=60'


def test_feature_parameters_keep_their_quotes() -> None:
    registrar = local_registrar()
    request = registration('<sip:a@10.0.0.1>;+org.linphone.specs="lime";mobility="fixed";video;x=y')
    [value] = registrar.contact_values(request, registrar.register(request, NOW), NOW)
    assert value == b'<sip:a@10.0.0.1>;+org.linphone.specs="lime";mobility="fixed";video;x=y;expires=600'


def test_answered_expiry_is_randomised_downwards_for_the_requester_only() -> None:
    registrar = local_registrar(RegistrarOptions(expire_randomizer_max=50))
    request = registration("<sip:a@10.0.0.1>", expires=1000)
    answers = set()
    for cseq in range(40):
        request.cseq = cseq + 1
        [value] = registrar.contact_values(request, registrar.register(request, NOW), NOW)
        answers.add(int(value.rpartition(b"=")[2]))
    assert len(answers) > 1
    assert min(answers) >= 500
    assert max(answers) <= 1000


# --- listening -------------------------------------------------------------------------------------------


def test_listeners_hear_of_their_own_record_until_they_cancel() -> None:
    registrar = local_registrar()
    seen: list[RegistrarEvent] = []
    subscription = registrar.subscribe(KEY, seen.append)
    registrar.register(registration("<sip:a@10.0.0.1>"), NOW)
    registrar.register(registration("<sip:b@10.0.0.1>", aor="sip:bob@sip.example.org"), NOW)
    registrar.register(registration("<sip:a@10.0.0.1>", cseq=2, expires=0), NOW)
    assert [event.kind for event in seen] == [EventKind.REGISTERED, EventKind.REMOVED]
    subscription.cancel()
    subscription.cancel()
    registrar.register(registration("<sip:a@10.0.0.1>", cseq=3), NOW)
    assert len(seen) == 2


def test_a_failing_listener_disturbs_nobody() -> None:
    registrar = local_registrar()
    seen: list[RegistrarEvent] = []

    def fail(event: RegistrarEvent) -> None:
        raise RuntimeError

    registrar.subscribe(KEY, fail)
    registrar.subscribe(KEY, seen.append)
    assert len(registrar.register(registration("<sip:a@10.0.0.1>"), NOW)) == 1
    assert len(seen) == 1


def test_a_listener_may_cancel_another_while_being_told() -> None:
    registrar = local_registrar()
    seen: list[RegistrarEvent] = []
    registrar.subscribe(KEY, lambda _: later.cancel())
    later = registrar.subscribe(KEY, seen.append)
    registrar.register(registration("<sip:a@10.0.0.1>"), NOW)
    assert seen == []


# --- by hand ---------------------------------------------------------------------------------------------


def test_an_operator_adds_replaces_and_removes_bindings() -> None:
    registrar = local_registrar()
    binding = registrar.upsert(KEY, SipUri.parse(b"sip:a@10.0.0.1"), 60, NOW)
    assert isinstance(binding, Binding)
    again = registrar.upsert(KEY, SipUri.parse(b"sip:a@10.0.0.2"), 60, NOW, binding.unique_id)
    assert registrar.lookup(ALICE, KEY, NOW) == [again]
    assert list(registrar.keys()) == [KEY]
    assert registrar.delete(KEY, "nobody") is False
    assert registrar.delete(KEY, binding.unique_id) is True
    assert registrar.clear(KEY) == 0
    registrar.register(registration("<sip:a@10.0.0.1>"), NOW)
    assert registrar.clear(KEY) == 1
    assert registrar.fetch(KEY, NOW) is None


async def test_with_a_store_that_waits_everything_is_awaitable() -> None:
    registrar = Registrar(FakeRemoteStore())
    bound = await registrar.register(registration("<sip:a@10.0.0.1>"), NOW)  # type: ignore[misc]
    assert await registrar.lookup(ALICE, KEY, NOW) == bound  # type: ignore[misc]
    assert (await registrar.fetch(KEY, NOW)).bindings == bound  # type: ignore[misc,union-attr]
    assert list(await registrar.keys()) == [KEY]  # type: ignore[misc]
    assert await registrar.clear(KEY) == 1  # type: ignore[misc]
    assert await registrar.lookup(ALICE, KEY, NOW) == []  # type: ignore[misc]
