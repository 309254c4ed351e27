"""What the network does to a relay, and strangers do."""

import asyncio
import errno
import random
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flexipy.media.channel import RtcpChannel, RtpChannel
from flexipy.media.relay import Leg, MediaRelay, RelayOptions

from . import packets
from .conftest import Clock, Phone, counted, empty

HOME = "127.0.0.1"


class Talk:
    """A call of two phones."""

    def __init__(self, relay: Any, phone: Any) -> None:
        self.relay = relay
        self.call = relay.open("call")
        self.caller, self.callee = phone(), phone()
        self.near = self.call.caller(0, HOME)
        self.far = self.call.branch("b", 0, HOME)
        self.near.expect(self.caller.expected())
        self.far.expect(self.callee.expected())
        self.call.answered("b")

    async def works(self, sequence: int = 1) -> None:
        self.caller.send(packets.rtp(sequence), self.near)
        assert await self.callee.heard() == packets.rtp(sequence)


@pytest.fixture
async def talk(start: Any, phone: Any) -> Talk:
    return Talk(start(), phone)


@pytest.mark.parametrize(
    "garbage", [b"", b"\x80", packets.rtp()[:11], b"\0" * 20, b"\x40" * 20, b"\xff" * 20, b"\r\n\r\n", b"\x80\xc8\0\0"]
)
async def test_malformed_datagrams_are_counted_and_go_nowhere(talk: Talk, garbage: bytes) -> None:
    await talk.works()
    talk.caller.send(garbage, talk.near)
    await counted(talk.relay, "relay_malformed")
    assert talk.callee.hears_nothing()
    await talk.works(2)


async def test_rtp_on_the_rtcp_port_is_malformed(talk: Talk) -> None:
    talk.caller.send_rtcp(packets.receiver_report(1), talk.near)
    await talk.callee.heard_rtcp()
    talk.caller.send_rtcp(packets.rtp(), talk.near)
    await counted(talk.relay, "relay_malformed")
    assert talk.callee.hears_nothing()


async def test_the_largest_datagram_passes(talk: Talk) -> None:
    largest = packets.rtp(payload=bytes(65507 - 12))
    talk.caller.send(largest, talk.near)
    assert await talk.callee.heard() == largest


async def test_what_is_no_rtp_by_its_description_passes_unread(start: Any, phone: Any) -> None:
    relay = start()
    call = relay.open("fax")
    one, other = phone(), phone()
    leg = call.caller(0, HOME)
    leg.expect(one.expected(kind="image"))
    call.branch("b", 0, HOME).expect(other.expected(kind="image"))
    call.answered("b")
    for datagram in (b"\0\1fax", b"\x80\xc8\0\0", b"\xff"):
        one.send(datagram, leg)
        assert await other.heard() == datagram


async def test_strangers_are_counted_and_not_heard(talk: Talk, phone: Any) -> None:
    await talk.works()
    stranger: Phone = phone()
    stranger.send(packets.rtp(2, ssrc=0xE), talk.near)
    stranger.send_rtcp(packets.receiver_report(0xE), talk.near)
    await counted(talk.relay, "relay_strangers", 2)
    assert talk.callee.hears_nothing()
    talk.callee.send(packets.rtp(1), talk.far)
    assert await talk.caller.heard() == packets.rtp(1)
    assert stranger.hears_nothing()
    assert talk.call.report()["streams"][0]["caller"]["strangers"] == 2


async def test_a_phone_that_changes_its_address_is_followed(talk: Talk, phone: Any) -> None:
    await talk.works(10)
    moved: Phone = phone()
    moved.send(packets.rtp(12), talk.near)
    assert await talk.callee.heard() == packets.rtp(12)
    talk.callee.send(packets.rtp(1), talk.far)
    assert await moved.heard() == packets.rtp(1)


async def test_a_flood_does_not_keep_other_sockets_waiting(talk: Talk, phone: Any) -> None:
    """Work per wake-up is bounded: the callee's packet is read before the flood is over."""
    await talk.works()
    stranger: Phone = phone()
    for _ in range(150):
        stranger.send(packets.rtp(ssrc=0xE), talk.near)
    talk.callee.send(packets.rtp(1), talk.far)

    while empty(talk.caller.rtp):
        await asyncio.sleep(0)

    assert talk.relay.counters["relay_strangers"] < 150


class FailingSocket:
    """A socket whose every call fails in turn with the errors given."""

    def __init__(self, sock: socket.socket, errors: list[int]) -> None:
        self._errors = errors
        self._sock = sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def recvfrom(self, size: int) -> Any:
        if self._errors:
            raise OSError(self._errors.pop(0), "as told")
        return self._sock.recvfrom(size)


@pytest.mark.parametrize("error", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMSGSIZE])
@pytest.mark.parametrize("which", ["rtp", "rtcp"])
async def test_icmp_errors_are_counted_and_reading_goes_on(talk: Talk, error: int, which: str) -> None:
    channel: RtpChannel | RtcpChannel = getattr(talk.near, which)
    failing = FailingSocket(channel._socket, [error])
    channel._recvfrom = failing.recvfrom  # type: ignore[assignment]
    await talk.works()
    talk.caller.send_rtcp(packets.receiver_report(1), talk.near)
    await talk.callee.heard_rtcp()
    assert talk.relay.counters["relay_socket_errors"] == 1


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.ENOBUFS, errno.ENETUNREACH, errno.ECONNREFUSED, errno.EPERM])
async def test_copies_that_cannot_be_sent_are_dropped_and_counted(talk: Talk, phone: Any, error: int) -> None:
    """The other branches get theirs."""

    def fail(packet: bytes, address: Any) -> int:
        raise OSError(error, "as told")

    other: Phone = phone()
    leg: Leg = talk.call.branch("c", 0, HOME)
    leg.expect(other.expected())
    talk.far.rtp.sendto = fail  # type: ignore[assignment]
    talk.far.rtcp.sendto = fail  # type: ignore[assignment]
    talk.call.answered("c")

    talk.caller.send(packets.rtp(1), talk.near)
    assert await other.heard() == packets.rtp(1)
    assert talk.relay.counters["relay_send_failures"] == 1
    assert talk.relay.counters["relay_copies"] == 1
    talk.caller.send_rtcp(packets.receiver_report(1), talk.near)
    assert await other.heard_rtcp() == packets.receiver_report(1)
    assert talk.relay.counters["relay_send_failures"] == 2


async def test_a_phone_that_is_gone_harms_nobody(talk: Talk, phone: Any) -> None:
    """Nothing listens there any more: ICMP port unreachable."""
    other: Phone = phone()
    leg = talk.call.branch("c", 0, HOME)
    leg.expect(other.expected())
    talk.call.answered("c")
    talk.callee.close()
    for sequence in range(1, 4):
        talk.caller.send(packets.rtp(sequence), talk.near)
        assert await other.heard() == packets.rtp(sequence)


async def test_a_destination_that_no_socket_can_send_to_is_harmless(start: Any, phone: Any) -> None:
    relay = start()
    call = relay.open("call")
    caller: Phone = phone()
    leg = call.caller(0, HOME)
    leg.expect(caller.expected())
    for key, ip in (("six", "2001:db8::1"), ("none", "255.255.255.255"), ("bad", "no address")):
        branch = call.branch(key, 0, HOME)
        branch.expect(caller.expected(ip=ip, rtcp_ip=ip))
        call.answered(key)
    caller.send(packets.rtp(), leg)
    caller.send_rtcp(packets.receiver_report(1), leg)
    await counted(relay, "relay_packets", 2)
    assert relay.counters["relay_copies"] == 0
    assert relay.counters["relay_send_failures"] == 2


async def test_descriptions_that_name_our_own_ports_make_no_loop(start: Any, phone: Any) -> None:
    relay = start()
    call = relay.open("call")
    caller: Phone = phone()
    near, far = call.caller(0, HOME), call.branch("b", 0, HOME)
    near.expect(caller.expected(port=far.port))
    far.expect(caller.expected(port=near.port))
    call.answered("b")
    near.rtp.send(packets.rtp(), (HOME, far.port))
    far.rtp.send(packets.rtp(), (HOME, near.port))
    await counted(relay, "relay_strangers", 2)
    assert relay.counters["relay_packets"] == 0


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_sequence_of_datagrams_is_survived(data: st.DataObject) -> None:
    datagrams = data.draw(
        st.lists(st.binary(max_size=60) | st.sampled_from([packets.rtp(), packets.bye(1), packets.DTLS]), max_size=30)
    )
    seed = data.draw(st.integers(0, 2**32))

    async def run() -> None:
        rng = random.Random(seed)
        relay = MediaRelay(RelayOptions(), clock=Clock())
        phones: list[Phone] = []
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))

        def phone() -> Phone:
            phones.append(Phone(HOME))
            return phones[-1]

        talk = Talk(relay, phone)
        other = phone()
        talk.call.branch("c", 0, HOME).expect(other.expected())
        for datagram in datagrams:
            leg = rng.choice([talk.near, talk.far, talk.call.branch("c", 0, HOME)])
            rng.choice([Phone.send, Phone.send_rtcp])(rng.choice(phones), datagram, leg)
            if rng.random() < 0.1:
                talk.call.answered("c")
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        relay.close()
        for one in phones:
            one.close()
        assert not problems

    asyncio.run(run())
