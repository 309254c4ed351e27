"""Which branches subscribe to the caller, and in whose call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flexipy.modules.media_relay.copies import Copies
from flexipy.modules.media_relay.ng import EngineError

PLAIN = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
SECURE = PLAIN.replace(b"RTP/AVP", b"RTP/SAVP")
OTHER = PLAIN.replace(b"4000", b"5000")


class FakeEngine:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.subscribed: dict[str, set[str]] = {}
        self.refuses = False

    async def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        if self.refuses:
            raise EngineError("no")
        self.asked.append((command, fields["call_id"]))
        tags = self.subscribed.setdefault(fields["call_id"], set())
        if command == "subscribe answer":
            tags.add(fields["to_tag"])
        elif command == "unsubscribe":
            tags.remove(fields["to_tag"])
        return {}

    def copies_in(self, call: str) -> int:
        return len(self.subscribed.get(call, ()))


@dataclass(eq=False)
class Branch:
    name: str
    engine: Any
    caller_tag: bytes = b"caller"
    copies: Copies = field(default_factory=Copies)


def branches(*names: str) -> tuple[Any, ...]:
    engine = FakeEngine()
    return (engine, Copies(), *(Branch(name, engine) for name in names))


async def test_a_single_branch_needs_no_copy() -> None:
    engine, copies, a = branches("a")
    await copies.lead(a, PLAIN)
    assert not engine.asked


async def test_copies_go_with_the_caller_from_call_to_call() -> None:
    engine, copies, a, b, c = branches("a", "b", "c")
    await copies.lead(a, PLAIN)
    await copies.lead(b, PLAIN)
    assert (engine.copies_in("a"), engine.copies_in("b")) == (0, 1)
    await copies.lead(c, PLAIN)
    assert [engine.copies_in(call) for call in "abc"] == [0, 0, 2]


async def test_the_same_description_again_changes_nothing() -> None:
    engine, copies, a, b = branches("a", "b")
    await copies.lead(a, PLAIN)
    await copies.lead(b, PLAIN)
    asked = len(engine.asked)
    await copies.lead(a, PLAIN)
    assert len(engine.asked) == asked
    await copies.lead(a, OTHER)
    assert (engine.copies_in("a"), engine.copies_in("b")) == (1, 0)


async def test_encrypted_media_are_not_copied() -> None:
    engine, copies, a, b = branches("a", "b")
    await copies.lead(a, SECURE)
    await copies.lead(b, SECURE)
    assert not engine.asked


async def test_who_declines_gets_nothing_more() -> None:
    engine, copies, a, b, c = branches("a", "b", "c")
    for branch in (a, b, c):
        await copies.lead(branch, PLAIN)
    await copies.leave(a)
    assert engine.copies_in("c") == 1
    await copies.leave(c)
    asked = len(engine.asked)
    await copies.leave(b)
    assert len(engine.asked) == asked  # its copy ended with the engine's call


async def test_the_answer_ends_all_copies_and_later_ones_are_none() -> None:
    engine, copies, a, b = branches("a", "b")
    await copies.lead(a, PLAIN)
    await copies.lead(b, PLAIN)
    await copies.settle()
    assert engine.copies_in("b") == 0
    await copies.lead(a, OTHER)
    assert engine.copies_in("a") == 0


async def test_an_engine_that_refuses_copies_does_not_hold_up_the_call() -> None:
    engine, copies, a, b = branches("a", "b")
    engine.refuses = True
    await copies.lead(a, PLAIN)
    await copies.lead(b, PLAIN)
    await copies.settle()
