"""Keys that two agree on along the media: of several branches that ring, only the one that takes the call may do so."""

from typing import Any

import pytest

from . import packets
from .conftest import counted

HOME = "127.0.0.1"
HELLO = packets.DTLS


def ringing(start: Any, phone: Any, *keys: str) -> tuple[Any, Any, dict[str, Any]]:
    """A call with branches that have described themselves; the relay, the call, and everybody with his leg."""
    relay = start()
    call = relay.open("call")
    sides = {"caller": (phone(), call.caller(0, HOME))}
    for key in keys:
        sides[key] = (phone(), call.branch(key, 0, HOME))
    for one, leg in sides.values():
        leg.expect(one.expected(secure=True))
    for key in keys:
        call.answered(key)
    return relay, call, sides


@pytest.mark.parametrize("packet", [packets.DTLS, packets.ZRTP])
async def test_a_branch_that_rings_alone_shakes_hands_before_it_answers(start: Any, phone: Any, packet: bytes) -> None:
    _, _, sides = ringing(start, phone, "a")
    (caller, toward_caller), (device, toward_device) = sides["caller"], sides["a"]
    device.send(packet, toward_device)
    assert await caller.heard() == packet
    caller.send_rtcp(packet, toward_caller)
    assert await device.heard_rtcp() == packet


async def test_handshakes_of_several_wait_for_the_answer(start: Any, phone: Any) -> None:
    relay, call, sides = ringing(start, phone, "a", "b")
    (caller, toward_caller), (a, toward_a), (b, toward_b) = sides.values()
    b.send(HELLO + b"b first", toward_b)
    b.send(HELLO + b"b again", toward_b)
    b.send_rtcp(HELLO + b"b rtcp", toward_b)
    a.send(HELLO + b"a", toward_a)
    await counted(relay, "relay_packets", 4)
    assert caller.hears_nothing()

    call.win("b")

    assert await caller.heard() == HELLO + b"b again"
    assert await caller.heard_rtcp() == HELLO + b"b rtcp"
    caller.send(HELLO + b"reply", toward_caller)
    assert await b.heard() == HELLO + b"reply"
    assert a.hears_nothing()


async def test_a_caller_who_begins_reaches_the_winner_only(start: Any, phone: Any) -> None:
    relay, call, sides = ringing(start, phone, "a", "b")
    (caller, toward_caller), (a, _), (b, _) = sides.values()
    caller.send(HELLO, toward_caller)
    await counted(relay, "relay_packets")
    assert a.hears_nothing()
    assert b.hears_nothing()
    call.win("a")
    assert await a.heard() == HELLO
    assert b.hears_nothing()


async def test_the_last_one_left_need_not_wait(start: Any, phone: Any) -> None:
    relay, call, sides = ringing(start, phone, "a", "b")
    (caller, _), _, (b, toward_b) = sides.values()
    b.send(HELLO, toward_b)
    await counted(relay, "relay_packets")
    call.drop("a")
    assert await caller.heard() == HELLO


async def test_who_has_begun_goes_on_when_another_comes(start: Any, phone: Any) -> None:
    relay, call, sides = ringing(start, phone, "a")
    (caller, _), (a, toward_a) = sides.values()
    late = phone()
    toward_late = call.branch("late", 0, HOME)
    toward_late.expect(late.expected(secure=True))
    call.answered("late")
    late.send(HELLO + b"late", toward_late)
    await counted(relay, "relay_packets")
    a.send(HELLO + b"a", toward_a)
    assert await caller.heard() == HELLO + b"a"
    assert call.partner == "a"


async def test_encrypted_media_and_checks_reach_everybody_meanwhile(start: Any, phone: Any) -> None:
    _, _, sides = ringing(start, phone, "a", "b")
    (caller, toward_caller), (a, _), (b, _) = sides.values()
    for packet in (packets.rtp(1), packets.check("a:b")):
        caller.send(packet, toward_caller)
        assert await a.heard() == packet
        assert await b.heard() == packet


async def test_what_waits_is_one_packet_of_a_handshake_and_no_flood(start: Any, phone: Any) -> None:
    relay, call, sides = ringing(start, phone, "a", "b")
    (caller, _), _, (b, toward_b) = sides.values()
    b.send(HELLO + bytes(9000), toward_b)
    await counted(relay, "relay_packets")
    call.win("b")
    b.send(packets.rtp(1), toward_b)
    assert await caller.heard() == packets.rtp(1)
