"""Calls over real sockets: who hears whom."""

from typing import Any

import pytest

from flexipy.media.relay import RelayError

from . import packets
from .conftest import Clock, Phone, counted

HOME = "127.0.0.1"


@pytest.mark.parametrize(("near", "far"), [(HOME, HOME), ("::1", "::1"), (HOME, "::1"), ("::1", HOME)])
async def test_media_pass_both_ways_bit_for_bit(start: Any, phone: Any, near: str, far: str) -> None:
    call = start().open("call")
    caller, callee = phone(near), phone(far)
    toward_caller, toward_callee = call.caller(0, near), call.branch("b", 0, far)
    toward_caller.expect(caller.expected())
    toward_callee.expect(callee.expected())
    call.answered("b")
    call.win("b")

    for packet in (
        packets.rtp(1),
        packets.DTLS,
        packets.ZRTP,
        packets.check("a:b"),
        packets.rtp(2, payload=b"x" * 8000),
    ):
        caller.send(packet, toward_caller)
        assert await callee.heard() == packet
        callee.send(packet, toward_callee)
        assert await caller.heard() == packet
    for packet in (packets.sender_report(1) + packets.bye(1), packets.DTLS):
        caller.send_rtcp(packet, toward_caller)
        assert await callee.heard_rtcp() == packet
        callee.send_rtcp(packet, toward_callee)
        assert await caller.heard_rtcp() == packet


async def test_early_media(start: Any, phone: Any) -> None:
    """Each branch that answered hears the caller; the last of them is heard."""
    relay = start()
    call = relay.open("call")
    caller = phone()
    phones = {key: phone() for key in "abc"}
    toward_caller = call.caller(0, HOME)
    toward_caller.expect(caller.expected())
    legs = {key: call.branch(key, 0, HOME) for key in phones}
    for key, one in phones.items():
        legs[key].expect(one.expected())
    call.answered("a")
    call.answered("b")

    caller.send(packets.rtp(1), toward_caller)
    assert await phones["a"].heard() == packets.rtp(1)
    assert await phones["b"].heard() == packets.rtp(1)
    assert phones["c"].hears_nothing()

    for number, key in enumerate("abc"):
        phones[key].send(packets.rtp(1, ssrc=number), legs[key])
    assert await caller.heard() == packets.rtp(1, ssrc=1)
    await counted(relay, "relay_packets", 4)
    assert caller.hears_nothing()


async def test_all_branches_are_heard_when_told_so(start: Any, phone: Any) -> None:
    call = start(single=False).open("call")
    caller, one, other = phone(), phone(), phone()
    call.caller(0, HOME).expect(caller.expected())
    for key, who in (("a", one), ("b", other)):
        leg = call.branch(key, 0, HOME)
        leg.expect(who.expected())
        call.answered(key)
        who.send(packets.rtp(1, ssrc=0xA), leg)
        assert await caller.heard() == packets.rtp(1, ssrc=0xA)
    one.send(packets.rtp(2), call.branch("a", 0, HOME))
    assert await caller.heard() == packets.rtp(2)


async def test_early_media_of_the_first_branches_only(start: Any, phone: Any) -> None:
    relay = start(max_early=1)
    call = relay.open("call")
    caller, first, second = phone(), phone(), phone()
    toward_caller = call.caller(0, HOME)
    toward_caller.expect(caller.expected())
    for key, who in (("a", first), ("b", second)):
        call.branch(key, 0, HOME).expect(who.expected())
        call.answered(key)

    caller.send(packets.rtp(1), toward_caller)
    assert await first.heard() == packets.rtp(1)
    assert second.hears_nothing()
    call.win("b")
    caller.send(packets.rtp(2), toward_caller)
    assert await second.heard() == packets.rtp(2)


async def test_the_winner_stays_and_the_others_are_closed(start: Any, phone: Any) -> None:
    relay = start()
    call = relay.open("call")
    caller, winner, loser = phone(), phone(), phone()
    toward_caller = call.caller(0, HOME)
    toward_caller.expect(caller.expected())
    legs = {}
    for key, who in (("w", winner), ("l", loser)):
        legs[key] = call.branch(key, 0, HOME)
        legs[key].expect(who.expected())
        call.answered(key)

    call.win("w")
    call.win("l")

    assert list(call.branches) == ["w"]
    assert relay.owns(HOME, legs["w"].port)
    assert relay.owns(HOME, legs["w"].rtcp_port)
    assert not relay.owns(HOME, legs["l"].port)
    winner.send(packets.rtp(1), legs["w"])
    assert await caller.heard() == packets.rtp(1)


async def test_leadership_falls_back_when_the_leader_fails(start: Any, phone: Any) -> None:
    call = start().open("call")
    caller, first, second = phone(), phone(), phone()
    call.caller(0, HOME).expect(caller.expected())
    for key, who in (("a", first), ("b", second)):
        call.branch(key, 0, HOME).expect(who.expected())
        call.answered(key)
    call.answered("a")  # said again: b keeps the lead

    second.send(packets.rtp(1), call.branch("b", 0, HOME))
    assert await caller.heard() == packets.rtp(1)
    call.drop("b")
    first.send(packets.rtp(700, ssrc=0xF), call.branch("a", 0, HOME))

    heard = await caller.heard()
    assert heard[2:4] == b"\0\2"
    assert heard[8:12] == packets.rtp()[8:12]


async def test_secure_media_of_a_later_leader_are_untouched(start: Any, phone: Any) -> None:
    call = start().open("call")
    caller, first, second = phone(), phone(), phone()
    call.caller(0, HOME).expect(caller.expected(secure=True))
    for number, (key, who) in enumerate((("a", first), ("b", second))):
        leg = call.branch(key, 0, HOME)
        leg.expect(who.expected(secure=True))
        call.answered(key)
        media, report = packets.rtp(number * 100, ssrc=number), packets.sender_report(number) + bytes(14)
        who.send(media, leg)
        assert await caller.heard() == media
        who.send_rtcp(report, leg)
        assert await caller.heard_rtcp() == report


async def test_the_caller_answers_a_later_leader_in_its_own_numbers(start: Any, phone: Any) -> None:
    call = start().open("call")
    caller, first, second = phone(), phone(), phone()
    toward_caller = call.caller(0, HOME)
    toward_caller.expect(caller.expected())
    for key, who, ssrc, sequence in (("a", first, 0xA, 10), ("b", second, 0xB, 900)):
        leg = call.branch(key, 0, HOME)
        leg.expect(who.expected())
        call.answered(key)
        who.send(packets.rtp(sequence, ssrc=ssrc), leg)
        await caller.heard()
    second.send_rtcp(packets.receiver_report(0xB), call.branch("b", 0, HOME))
    assert await caller.heard_rtcp() == packets.receiver_report(0xA)

    sent = packets.receiver_report(0xC, packets.block(0xA, 11))
    caller.send_rtcp(sent, toward_caller)

    assert await first.heard_rtcp() == sent
    assert await second.heard_rtcp() == packets.receiver_report(0xC, packets.block(0xB, 900))


async def test_rtcp_finds_its_port_when_one_side_multiplexes(start: Any, phone: Any) -> None:
    call = start().open("call")
    caller, callee = phone(), phone()
    toward_caller, toward_callee = call.caller(0, HOME), call.branch("b", 0, HOME)
    toward_caller.expect(caller.expected(rtcp_mux=True))
    toward_callee.expect(callee.expected())
    call.answered("b")

    caller.send(packets.sender_report(1), toward_caller)
    assert await callee.heard_rtcp() == packets.sender_report(1)
    callee.send_rtcp(packets.sender_report(2), toward_callee)
    assert await caller.heard() == packets.sender_report(2)
    caller.send(packets.rtp(), toward_caller)
    assert await callee.heard() == packets.rtp()


async def test_a_phone_behind_nat_is_found(start: Any, phone: Any) -> None:
    call = start().open("call")
    caller, callee = phone(), phone()
    toward_caller, toward_callee = call.caller(0, HOME), call.branch("b", 0, HOME)
    toward_caller.expect(caller.expected(ip="192.0.2.77", signalling_ip=HOME))
    toward_callee.expect(callee.expected())
    call.answered("b")

    caller.send(packets.rtp(1), toward_caller)
    await callee.heard()
    callee.send(packets.rtp(5), toward_callee)

    assert await caller.heard() == packets.rtp(5)
    assert call.report()["streams"][0]["caller"]["locked"]


async def test_streams_are_separate(start: Any, phone: Any) -> None:
    call = start().open("call")
    phones = [(phone(), phone()) for _ in range(2)]
    for index, (caller, callee) in enumerate(phones):
        call.caller(index, HOME).expect(caller.expected())
        call.branch("b", index, HOME).expect(callee.expected())
    call.answered("b")
    for index, (caller, callee) in enumerate(phones):
        caller.send(packets.rtp(index), call.caller(index, HOME))
        assert await callee.heard() == packets.rtp(index)
    assert [stream["stream"] for stream in call.report()["streams"]] == [0, 1]


async def test_legs_are_made_once_and_anew_for_another_address(start: Any) -> None:
    relay = start()
    call = relay.open("call")
    assert call.caller(0, HOME) is call.caller(0, HOME)
    leg = call.branch("b", 0, HOME)
    assert call.branch("b", 0, HOME) is leg

    other = call.branch("b", 0, "::1")

    assert other.local_ip == "::1"
    assert relay.owns("::1", other.port)
    assert not relay.owns(HOME, leg.port)


# -- video ---------------------------------------------------------------------------------------------


async def video_call(relay: Any, phone: Any, **said: Any) -> tuple[Any, Phone, Any]:
    call = relay.open("call")
    caller = phone()
    leg = call.caller(0, HOME)
    leg.expect(caller.expected(kind="video", **said))
    caller.send(packets.rtp(ssrc=0x51DE0), leg)
    await counted(relay, "relay_packets")
    return call, caller, leg


def join(call: Any, key: str, who: Phone, **said: Any) -> Any:
    leg = call.branch(key, 0, HOME)
    leg.expect(who.expected(kind="video", **said))
    call.answered(key)
    return leg


async def test_a_branch_that_joins_video_has_a_key_frame_asked_for(start: Any, phone: Any, clock: Clock) -> None:
    relay = start()
    call, caller, _ = await video_call(relay, phone)

    join(call, "a", phone())
    join(call, "b", phone())
    assert (await caller.heard_rtcp()).endswith((0x51DE0).to_bytes(4, "big"))
    assert relay.counters["relay_key_frame_requests"] == 1  # one burst is enough for both
    relay.tick(clock.advance(0.5))
    assert caller.hears_nothing()
    relay.tick(clock.advance(0.5))
    await caller.heard_rtcp()
    # A screen that was slow to start its decoder gets another chance.
    relay.tick(clock.advance(1.5))
    assert caller.hears_nothing()
    relay.tick(clock.advance(0.5))
    await caller.heard_rtcp()
    relay.tick(clock.advance(5))
    assert caller.hears_nothing()


async def test_a_new_leader_of_video_is_asked_for_a_key_frame(start: Any, phone: Any) -> None:
    relay = start()
    call, _, _ = await video_call(relay, phone)
    first, second = phone(), phone()
    leg = join(call, "a", first)
    join(call, "b", second)
    first.send(packets.rtp(ssrc=0xA), leg)
    await counted(relay, "relay_packets", 2)

    call.drop("b")

    request = await first.heard_rtcp()
    assert request[-12:-10] == bytes((0x81, 206))
    assert request.endswith(b"\0\0\0\x0a")


async def test_secure_video_is_not_asked(start: Any, phone: Any) -> None:
    relay = start()
    call, caller, _ = await video_call(relay, phone, secure=True)
    join(call, "a", phone(), secure=True)
    assert caller.hears_nothing()


# -- limits, ends, reports -----------------------------------------------------------------------------


async def test_calls_beyond_the_limit_are_refused(start: Any) -> None:
    relay = start(max_calls=1)
    call = relay.open("first")
    with pytest.raises(RelayError) as raised:
        relay.open("second")
    assert raised.value.reason == "calls"
    call.close()
    relay.open("second")
    assert [call.name for call in relay.calls] == ["second"]


async def test_no_ports_is_counted_and_leaves_the_call_as_it_was(start: Any) -> None:
    relay = start(first_port=20000, last_port=20003)
    call = relay.open("call")
    call.caller(0, HOME)
    leg = call.branch("b", 0, HOME)
    with pytest.raises(RelayError) as raised:
        call.branch("c", 0, HOME)
    assert raised.value.reason == "ports"
    assert relay.counters["relay_port_exhaustions"] == 1
    assert list(call.branches) == ["b"]
    assert call.branch("b", 0, HOME) is leg


async def test_a_closed_call_gives_no_legs_and_frees_its_ports(start: Any) -> None:
    relay = start()
    call = relay.open("call")
    ports = [call.caller(0, HOME).port, call.branch("b", 0, HOME).port]
    call.close()
    call.close()
    assert not any(relay.owns(HOME, port) for port in ports)
    assert not relay.calls
    for act in (call.win, call.drop, call.answered):
        act("b")
    with pytest.raises(RelayError):
        call.branch("b", 0, HOME)


async def test_silent_calls_are_ended(start: Any, phone: Any, clock: Clock) -> None:
    told: list[str] = []
    relay = start(lambda call: told.append(call.name), inactivity=60)
    silent, alive = relay.open("silent"), relay.open("alive")
    caller, leg = phone(), alive.caller(0, HOME)
    leg.expect(caller.expected())
    silent.caller(0, HOME)

    relay.tick(clock.advance(59))
    caller.send(packets.rtp(), leg)
    await counted(relay, "relay_packets")
    relay.tick(clock.advance(1))

    assert told == ["silent"]
    assert list(relay.calls) == [alive]
    assert relay.counters["relay_inactive_calls"] == 1


async def test_whoever_is_told_of_a_silent_call_may_fail_or_close_it(start: Any, clock: Clock) -> None:
    def close_and_fail(call: Any) -> None:
        call.close()
        raise ValueError

    relay = start(close_and_fail, inactivity=1)
    relay.open("call")
    relay.tick(clock.advance(1))
    assert not relay.calls


async def test_reports_name_addresses_and_figures(start: Any, phone: Any, clock: Clock) -> None:
    relay = start()
    call = relay.open("call")
    caller = phone()
    leg = call.caller(0, HOME)
    leg.expect(caller.expected())
    for sequence in (1, 4):
        caller.send(packets.rtp(sequence), leg)
    await counted(relay, "relay_packets", 2)
    clock.advance(3)

    report = call.report()["streams"][0]["caller"]

    assert report["local"] == [HOME, leg.port]
    assert report["remote"] == [HOME, caller.rtp.getsockname()[1]]
    assert (report["packets"], report["bytes"], report["lost"]) == (2, 34, 2)
    assert report["last_packet_age"] == 3
