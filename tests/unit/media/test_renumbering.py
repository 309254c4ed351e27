"""Other payload types toward one receiver; all else as it came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flexipy.media import rtp
from flexipy.media.thinning import Thinner
from tests.unit.media import packets
from tests.unit.media.conftest import Phone

Phones = Callable[..., Phone]


@given(st.binary(max_size=40), st.dictionaries(st.integers(0, 127), st.integers(0, 127)))
def test_nothing_but_the_payload_type_changes(packet: bytes, numbers: dict[int, int]) -> None:
    out = rtp.renumbered(packet, rtp.second_bytes(numbers))
    if rtp.classify(packet) == rtp.RTP:
        assert out[1] & 0x7F == numbers.get(packet[1] & 0x7F, packet[1] & 0x7F)
        assert out[1] & 0x80 == packet[1] & 0x80
        assert out[:1] + out[2:] == packet[:1] + packet[2:]
    elif not packet or packet[0] >> 6 != 2:
        assert out == packet


def test_a_number_that_no_packet_can_have_is_left_out() -> None:
    assert rtp.second_bytes({96: 300}) == {}


async def test_one_receiver_has_its_own_numbers(start: Any, phone: Phones) -> None:
    call = start().open("call")
    alice, bob, carol = phone(), phone(), phone()
    caller = call.caller(0, alice.ip)
    caller.expect(alice.expected(kind="video"))
    for key, device in (("bob", bob), ("carol", carol)):
        call.branch(key, 0, device.ip).expect(device.expected(kind="video"))
        call.answered(key)
    call.branch("carol", 0, carol.ip).renumber({96: 97})
    for kind in (96, 98):
        alice.send(packets.rtp(kind, kind=kind), caller)
        assert await bob.heard() == packets.rtp(kind, kind=kind)
        assert await carol.heard() == packets.rtp(kind, kind=97 if kind == 96 else kind)
    call.branch("carol", 0, carol.ip).renumber({})
    alice.send(packets.rtp(99, kind=96), caller)
    assert await carol.heard() == packets.rtp(99, kind=96)


async def test_stun_and_encrypted_packets_stay_as_they_are(start: Any, phone: Phones) -> None:
    call = start().open("call")
    alice, bob, carol = phone(), phone(), phone()
    caller = call.caller(0, alice.ip)
    caller.expect(alice.expected(ice_ufrag="alice"))
    for key, device, secure in (("bob", bob, False), ("carol", carol, True)):
        leg = call.branch(key, 0, device.ip)
        leg.expect(device.expected(secure=secure))
        leg.renumber({96: 97, 0x01: 0x02})
        call.answered(key)
    check = packets.check("bob:alice")
    alice.send(check, caller)
    assert await bob.heard() == check
    assert await carol.heard() == check
    alice.send(packets.rtp(kind=96), caller)
    assert await carol.heard() == packets.rtp(kind=96)


async def test_what_is_thinned_out_is_known_by_the_receivers_number(start: Any, phone: Phones) -> None:
    call = start().open("call")
    alice, bob = phone(), phone()
    caller, leg = call.caller(0, alice.ip), call.branch("bob", 0, bob.ip)
    caller.expect(alice.expected())
    leg.expect(bob.expected())
    leg.thin(Thinner(frozenset({97}), 1, frozenset()))
    leg.renumber({96: 97})
    call.answered("bob")
    alice.send(packets.rtp(1, kind=96, payload=b"\x41 slice"), caller)
    alice.send(packets.rtp(2, kind=96, payload=b"\x67 parameters"), caller)
    assert await bob.heard() == packets.rtp(1, kind=97, payload=b"\x67 parameters")
