"""Dialogs that began here are known by their Call-ID and both tags until they end."""

from __future__ import annotations

from flexipy.auth.known_dialogs import KnownDialogs
from flexipy.sip.message import Request
from tests.harness.fake_network import request


def message(call_id: str = "c", ours: str = "a", theirs: str = "b") -> Request:
    sender, to = f"<sip:alice@house.test>;tag={ours}", f"<sip:bob@house.test>;tag={theirs}"
    return request("INFO", "sip:bob@house.test", sender=sender, to=to, call_id=call_id)


def test_both_sides_of_a_dialog_are_known_until_it_ends() -> None:
    known = KnownDialogs()
    known.note(message())
    known.note(message())
    assert len(known) == 1
    assert known.includes(message())
    assert known.includes(message(ours="b", theirs="a"))
    assert not known.includes(message(theirs="x"))
    assert not known.includes(message(call_id="x"))
    known.forget(message(ours="b", theirs="a"))
    known.forget(message())
    assert not known.includes(message())


def test_what_has_no_tags_begins_nothing() -> None:
    known = KnownDialogs()
    known.note(request("INVITE", "sip:bob@house.test"))
    assert len(known) == 0


def test_the_oldest_make_room() -> None:
    known = KnownDialogs(most=10)
    for number in range(11):
        known.note(message(call_id=str(number)))
    assert len(known) == 9
    assert not known.includes(message(call_id="1"))
    assert known.includes(message(call_id="10"))
