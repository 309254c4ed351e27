"""Static records: the file, and the bindings made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registrar_samples import NOW, local_registrar, registration

from flexipy.registrar.events import EventKind, RegistrarEvent
from flexipy.registrar.static_records import parse
from flexipy.sip.uri import SipUri

HOUSE = "everyone@myhouse"
HOUSE_URI = SipUri.parse(b"sip:everyone@myhouse")


def contacts_of(line: str) -> list[str]:
    records, problems = parse(line, "routes.conf")
    assert problems == []
    return [str(contact.uri) for record in records for contact in record.contacts]


@pytest.mark.parametrize(
    "line",
    [
        "<sip:everyone@myhouse> <sip:a@x>, <sip:b@y>",
        "<sip:everyone@myhouse><sip:a@x>,<sip:b@y>",
        "\t <sip:everyone@myhouse>\t<sip:a@x> <sip:b@y>  # two of them",
        "sip:everyone@myhouse sip:a@x, sip:b@y",
        '<sip:everyone@myhouse> "A, B" <sip:a@x>;q=0.5, <sip:b@y>',
    ],
)
def test_a_line_binds_contacts_to_an_address(line: str) -> None:
    [record] = parse(line, "routes.conf")[0]
    assert record.key == HOUSE
    assert contacts_of(line) == ["sip:a@x", "sip:b@y"]


def test_comments_and_blank_lines_are_passed_over() -> None:
    assert parse("# all of it\n\n  \t\n   # more\n", "routes.conf") == ([], [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("<sip:a@x>", "<sip:a@x> has no contact"),
        ("<sip:a@x> bob@y", "bob@y is not a SIP address, did you mean <sip:bob@y>?"),
        ("<sip:a@x> <sip:b@y", "a bracket or quote is not closed"),
        ("<sip:a@x <sip:b@y>", "unbalanced angle brackets"),
        ("<sip:a@x> <sip:a@x>", "leads to itself"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_the_other_lines_count(line: str, message: str) -> None:
    records, problems = parse(f"# one\n{line}\n<sip:c@x> <sip:d@x>\n", "routes.conf")
    [problem] = problems
    assert problem.startswith("routes.conf:2: ")
    assert message in problem
    assert [record.key for record in records] == ["c@x"]


@given(st.text(max_size=60))
def test_any_text_is_read_or_reported(text: str) -> None:
    records, problems = parse(text, "f")
    assert len(records) + len(problems) <= text.count("\n") + 1


def use(registrar: object, text: str, now: float = NOW) -> None:
    registrar.set_static_records(parse(text, "f")[0], now)  # type: ignore[attr-defined]


def test_static_bindings_never_lapse() -> None:
    registrar = local_registrar()
    use(registrar, "<sip:everyone@myhouse> <sip:a@x>;q=0.3, <sip:b@y>")
    registrar.expire(NOW + 1e9)
    found = registrar.lookup(HOUSE_URI, HOUSE, NOW + 1e9)
    assert [str(binding.uri) for binding in found] == ["sip:b@y", "sip:a@x"]
    assert all(binding.is_static for binding in found)
    assert list(registrar.keys()) == [HOUSE]


def test_static_and_registered_bindings_stand_together() -> None:
    registrar = local_registrar()
    use(registrar, "<sip:everyone@myhouse> <sip:a@x>, <sip:b@10.0.0.1>")
    request = registration("<sip:b@10.0.0.1>", aor="sip:everyone@myhouse")
    listed = registrar.register(request, NOW)
    assert [str(binding.uri) for binding in listed] == ["sip:b@10.0.0.1", "sip:a@x"]
    assert registrar.contact_values(request, listed, NOW)[1] == b"<sip:a@x>;expires=86400"
    registrar.register(registration(aor="sip:everyone@myhouse", star=True, cseq=2), NOW)
    assert len(registrar.lookup(HOUSE_URI, HOUSE, NOW)) == 2
    assert registrar.fetch("nobody@myhouse", NOW) is None


def test_a_reload_takes_away_what_is_gone_and_keeps_the_rest() -> None:
    registrar = local_registrar()
    seen: list[RegistrarEvent] = []
    registrar.subscribe(HOUSE, seen.append)
    use(registrar, "<sip:everyone@myhouse> <sip:a@x>, <sip:b@y>")
    before = registrar.lookup(HOUSE_URI, HOUSE, NOW)
    use(registrar, "<sip:everyone@myhouse> <sip:b@y>, <sip:c@y>", NOW + 5)
    after = registrar.lookup(HOUSE_URI, HOUSE, NOW)
    assert sorted(str(binding.uri) for binding in after) == ["sip:b@y", "sip:c@y"]
    assert [binding for binding in before if binding in after] == [before[1]]
    added, removed = EventKind.REGISTERED, EventKind.REMOVED
    assert [event.kind for event in seen] == [added, added, removed, added]


def test_an_address_on_two_lines_has_the_contacts_of_both() -> None:
    registrar = local_registrar()
    use(registrar, "<sip:everyone@myhouse> <sip:a@x>\n<sip:everyone@myhouse> <sip:b@x>, <sip:a@x>")
    assert len(registrar.lookup(HOUSE_URI, HOUSE, NOW)) == 2
