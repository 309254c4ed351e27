"""MediaRelay: descriptions name the relay, media flow where the call stands, and nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flexipy.media.relay import MediaRelay
from flexipy.modules.forward import Forward
from flexipy.modules.media_relay import MediaRelayModule
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from flexipy.sip.message import Request, Response
from flexipy.sip.sdp import Sdp
from tests.harness.fake_network import FakeFlow, FakeProxy, request
from tests.harness.garbage import cycles_of

PROXY = "127.0.0.1"
HOUSE = "house.test"
PATIENCE = 5.0
RTP = b"\x80\x00\x00\x01\x00\x00\x00\xa0\x00\x00\x00\x07" + bytes(160)


def description(port: int, ip: str = "127.0.0.1", extra: str = "", kind: str = "audio", line: str = "RTP/AVP 0") -> str:
    return f"v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm={kind} {port} {line}\r\n{extra}"


class Media:
    """A socket that stands for a phone's audio."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((PROXY, 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]

    def says(self, port: int, payload: bytes = RTP) -> None:
        self.socket.sendto(payload, (PROXY, port))

    async def hears(self) -> bytes:
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.sock_recv(self.socket, 2000), PATIENCE)

    async def hears_nothing_but(self, speaker: Media, port: int, payload: bytes) -> bool:
        """Whether what a speaker sends now is the next thing that comes here."""
        speaker.says(port, payload)
        return await self.hears() == payload


@pytest.fixture
async def proxy(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[FakeProxy]:
    settings = [f"module::Registrar/reg-domains={HOUSE}", *getattr(request, "param", ())]
    modules = [RegistrarModule, Router, MediaRelayModule, Forward]
    made = FakeProxy(modules, settings, listeners=[f"sip:{PROXY}:5060"], state=tmp_path)
    await made.start()
    yield made
    await made.stop()
    assert not relay_of(made).calls


@pytest.fixture
def media() -> AsyncIterator[list[Media]]:
    made = [Media() for _ in range(4)]
    yield made
    for each in made:
        each.socket.close()


def relay_of(proxy: FakeProxy) -> MediaRelay:
    relay: MediaRelay = proxy.agent.services[MediaRelay]
    return relay


def registered(proxy: FakeProxy, user: str, *ports: int) -> list[FakeFlow]:
    """Devices of a user."""
    devices = []
    for port in ports:
        device = proxy.client(PROXY, port)
        contact = f'<sip:{user}@{PROXY}:{port}>;+sip.instance="<urn:uuid:{port}>"'
        device.sends(
            request(
                "REGISTER",
                f"sip:{HOUSE}",
                [("Contact", contact)],
                via=f"SIP/2.0/UDP {PROXY}:{port};rport",
                to=f"<sip:{user}@{HOUSE}>",
            )
        )
        assert device.last_response.status == 200
        devices.append(device)
    return devices


def invite(port: int, body: str | None = None, extra: str = "", to: str = f"sip:bob@{HOUSE}") -> Request:
    text = description(port, extra=extra) if body is None else body
    headers = [("Contact", f"<sip:alice@{PROXY}:4000>"), ("Content-Type", "application/sdp")]
    return request("INVITE", to, headers, text, via=f"SIP/2.0/UDP {PROXY}:4000;rport", call_id="call")


def offered(device: FakeFlow, index: int = -1) -> Sdp:
    return Sdp.parse(device.requests[index].body)


def answer(device: FakeFlow, status: int, port: int = 0, tag: str = "bob", body: str = "", index: int = -1) -> Response:
    """A device answers; with a port it describes its audio."""
    response = Response.to_request(device.requests[index], status, "", tag.encode())
    response.append(b"contact", b"Contact: <sip:bob@127.0.0.1:%d>" % device.remote[1])
    for name, line in zip(device.requests[index].names, device.requests[index].lines, strict=True):
        if name == b"record-route":
            response.append(name, line)
    if port or body:
        response.set_body((body or description(port)).encode(), b"application/sdp")
    device.sends(response)
    return response


def in_dialog(method: str, invite: Request, body: str = "", tag: str = "bob", cseq: int = 2) -> Request:
    headers = [("Content-Type", "application/sdp")] if body else []
    return request(
        method,
        f"sip:bob@{PROXY}:4001",
        headers,
        body,
        via=f"SIP/2.0/UDP {PROXY}:4000;rport",
        sender=invite.require(b"from").decode(),
        to=invite.require(b"to").decode() + f";tag={tag}",
        call_id=invite.call_id.decode(),
        cseq=cseq,
    )


async def test_media_pass_both_ways_and_a_hangup_frees_the_ports(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    first = invite(media[0].port)
    before = len(os.listdir("/proc/self/fd"))
    alice.sends(first)
    to_bob = offered(bob)
    assert to_bob.media[0].port != media[0].port
    assert to_bob.media[0].address == PROXY
    assert to_bob.attribute(b"nortpproxy") == b"yes"
    answer(bob, 200, media[1].port)
    to_alice = Sdp.parse(alice.last_response.body)
    assert to_alice.media[0].port not in (media[1].port, to_bob.media[0].port)
    media[0].says(to_alice.media[0].port, RTP + b"a")
    assert await media[1].hears() == RTP + b"a"
    media[1].says(to_bob.media[0].port, RTP + b"b")
    assert await media[0].hears() == RTP + b"b"
    alice.sends(in_dialog("ACK", first, cseq=1))
    alice.sends(in_dialog("BYE", first))
    answer(bob, 200)
    assert not relay_of(proxy).calls
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_call_is_freed_without_the_collector_of_cycles(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)

    def live() -> None:
        first = invite(media[0].port)
        alice.sends(first)
        answer(bob, 183, media[1].port)
        answer(bob, 200, media[1].port)
        alice.sends(in_dialog("BYE", first))
        answer(bob, 200)
        proxy.advance(60)

    assert cycles_of(live) == set()


async def test_everybody_who_rings_sees_the_caller_and_the_last_to_describe_is_heard(
    proxy: FakeProxy, media: list[Media]
) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(media[0].port))
    ports = [offered(phone).media[0].port for phone in phones]
    assert ports[0] != ports[1]
    answer(phones[0], 183, media[1].port, "one")
    answer(phones[1], 183, media[2].port, "two")
    toward = {Sdp.parse(response.body).media[0].port for response in alice.responses if response.body}
    assert len(toward) == 1
    media[0].says(toward.pop())
    assert await media[1].hears() == RTP
    assert await media[2].hears() == RTP
    media[1].says(ports[0], RTP + b"not heard")
    assert await media[0].hears_nothing_but(media[2], ports[1], RTP + b"heard")


FINGERPRINT = "a=setup:active\r\na=fingerprint:SHA-256 00:11\r\n"


async def test_of_several_who_agree_on_keys_the_caller_is_shown_the_one_who_answers(
    proxy: FakeProxy, media: list[Media]
) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(media[0].port, extra=FINGERPRINT))
    for phone, tag in zip(phones, ("one", "two"), strict=True):
        answer(phone, 183, tag=tag, body=description(media[1].port, extra=FINGERPRINT))
    early = [response for response in alice.responses if response.status == 183]
    assert [response.body for response in early] == [b"", b""]
    assert all(b"content-type" not in response.names for response in early)
    answer(phones[0], 200, tag="one", body=description(media[1].port, extra=FINGERPRINT))
    assert b"fingerprint" in alice.last_response.body
    answer(phones[1], 487, tag="two", index=0)


async def test_who_rings_alone_agrees_on_keys_before_he_answers(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(media[0].port, extra=FINGERPRINT))
    answer(bob, 183, body=description(media[1].port, extra=FINGERPRINT))
    assert b"fingerprint" in alice.last_response.body
    answer(bob, 486, index=0)


async def test_an_early_answer_that_is_acknowledged_stays(proxy: FakeProxy, media: list[Media]) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(media[0].port, extra=FINGERPRINT))
    early = Response.to_request(phones[0].requests[-1], 183, "", b"one")
    early.append(b"rseq", b"RSeq: 1")
    early.set_body(description(media[1].port, extra=FINGERPRINT).encode(), b"application/sdp")
    phones[0].sends(early)
    assert b"fingerprint" in alice.last_response.body
    for phone in phones:
        answer(phone, 486, index=0)


async def test_the_one_who_answers_keeps_the_call_and_the_others_ports_are_freed(
    proxy: FakeProxy, media: list[Media]
) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(media[0].port))
    lost = offered(phones[1]).media[0].port
    answer(phones[1], 183, media[2].port, "two")
    answer(phones[0], 200, media[1].port, "one")
    (call,) = relay_of(proxy).calls
    assert len(call.branches) == 1
    assert not relay_of(proxy).owns(PROXY, lost)
    media[0].says(Sdp.parse(alice.last_response.body).media[0].port)
    assert await media[1].hears() == RTP
    answer(phones[1], 487, tag="two", index=0)


async def test_a_call_that_nobody_takes_leaves_nothing(proxy: FakeProxy, media: list[Media]) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(media[0].port))
    for phone in phones:
        answer(phone, 486)
    assert alice.last_response.status == 486
    proxy.module(MediaRelayModule).backend.sweep()
    assert not relay_of(proxy).calls


async def test_an_offer_in_the_answer_is_relayed_too(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    first = request(
        "INVITE",
        f"sip:bob@{HOUSE}",
        [("Contact", f"<sip:alice@{PROXY}:4000>")],
        via=f"SIP/2.0/UDP {PROXY}:4000;rport",
        call_id="late",
    )
    alice.sends(first)
    assert not bob.last_request.body
    answer(bob, 200, media[1].port)
    to_alice = Sdp.parse(alice.last_response.body).media[0].port
    assert to_alice != media[1].port
    ack = in_dialog("ACK", first, description(media[0].port), cseq=1)
    alice.sends(ack)
    to_bob = offered(bob).media[0].port
    assert to_bob != media[0].port
    media[0].says(to_alice)
    assert await media[1].hears() == RTP
    media[1].says(to_bob)
    assert await media[0].hears() == RTP


async def test_a_reinvite_from_the_callee_moves_its_media(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    first = invite(media[0].port)
    alice.sends(first)
    answer(bob, 200, media[1].port)
    port = Sdp.parse(alice.last_response.body).media[0].port
    again = request(
        "INVITE",
        f"sip:alice@{PROXY}:4000",
        [("Content-Type", "application/sdp")],
        description(media[2].port),
        via=f"SIP/2.0/UDP {PROXY}:4001;rport",
        sender=first.require(b"to").decode() + ";tag=bob",
        to=first.require(b"from").decode(),
        call_id="call",
    )
    bob.sends(again)
    assert offered(alice).media[0].port == port
    answer(alice, 200, media[0].port, tag="", index=-1)
    media[0].says(port)
    assert await media[2].hears() == RTP


@pytest.mark.parametrize("status", [488, 491, 200])
async def test_an_offer_within_the_call_moves_media_once_it_is_answered(
    proxy: FakeProxy, media: list[Media], status: int
) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    first = invite(media[0].port)
    alice.sends(first)
    answer(bob, 200, media[1].port)
    alice.sends(in_dialog("ACK", first, cseq=1))
    toward_bob = offered(bob, 0).media[0].port
    alice.sends(in_dialog("INVITE", first, description(media[2].port)))
    media[1].says(toward_bob, RTP + b"meanwhile")
    assert await media[0].hears() == RTP + b"meanwhile"
    answer(bob, status, media[1].port if status == 200 else 0)
    media[1].says(toward_bob, RTP + b"after")
    assert await media[2 if status == 200 else 0].hears() == RTP + b"after"


async def test_held_and_refused_streams_pass(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    video = f"a=sendonly\r\nm=video {media[1].port} RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n"
    alice.sends(invite(media[0].port, extra=video))
    seen = offered(bob)
    assert b"a=sendonly" in seen.media[0].lines
    assert seen.media[1].port not in (0, media[1].port)
    answer(bob, 200, body=description(media[2].port) + "m=video 0 RTP/AVP 97\r\n")
    assert [each.port for each in Sdp.parse(alice.last_response.body).media][1] == 0


async def test_what_is_not_carried_by_udp_keeps_its_address(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(media[0].port, extra="m=message 2855 TCP/MSRP *\r\na=path:msrp://192.0.2.1:2855/x;tcp\r\n"))
    chat = offered(bob).media[1]
    assert (chat.port, chat.address) == (2855, "127.0.0.1")
    assert chat.lines[0] == b"m=message 2855 TCP/MSRP *"


async def test_ice_gets_the_relay_as_a_candidate(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    ice = f"a=ice-ufrag:ab\r\na=ice-pwd:cd\r\na=candidate:1 1 UDP 2130706431 192.0.2.1 {media[0].port} typ host\r\n"
    alice.sends(invite(media[0].port, extra=ice))
    section = offered(bob).media[0]
    kinds = [(c.kind, c.component, c.port) for c in section.candidates]
    assert kinds[0] == ("host", 1, media[0].port)
    assert kinds[1:] == [("relay", 1, section.port), ("relay", 2, section.port + 1)]


async def test_a_session_that_another_relay_carries_is_left_alone(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    body = description(media[0].port, extra="").replace("t=0 0\r\n", "t=0 0\r\na=nortpproxy:yes\r\n")
    proxy.client(PROXY, 4000).sends(invite(0, body))
    assert offered(bob).media[0].port == media[0].port
    assert not relay_of(proxy).calls


async def test_it_is_relayed_again_where_it_forks(proxy: FakeProxy, media: list[Media]) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    body = description(media[0].port).replace("t=0 0\r\n", "t=0 0\r\na=nortpproxy:yes\r\n")
    proxy.client(PROXY, 4000).sends(invite(0, body))
    ports = {offered(phone).media[0].port for phone in phones}
    assert len(ports) == 2
    assert media[0].port not in ports


@pytest.mark.parametrize("proxy", [["module::MediaRelay/drop-telephone-event=true"]], indirect=True)
async def test_digits_are_kept_back_where_so_configured(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    lines = "a=rtpmap:101 telephone-event/8000\r\n"
    alice.sends(invite(0, description(media[0].port, extra=lines, line="RTP/AVP 0 101")))
    answer(bob, 200, body=description(media[1].port, extra=lines, line="RTP/AVP 0 101"))
    port = Sdp.parse(alice.last_response.body).media[0].port
    media[0].says(port, b"\x80\x65" + RTP[2:])
    media[0].says(port, RTP)
    assert (await media[1].hears())[12:] == RTP[12:]


@pytest.mark.parametrize("proxy", [["module::MediaRelay/h264-filtering-bandwidth=500"]], indirect=True)
async def test_a_receiver_with_little_bandwidth_gets_key_frames_alone(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    lines = "a=rtpmap:97 H264/90000\r\n"
    alice.sends(invite(0, description(media[0].port, extra=lines, kind="video", line="RTP/AVP 97")))
    answer(bob, 200, body=description(media[1].port, extra="b=AS:200\r\n" + lines, kind="video", line="RTP/AVP 97"))
    port = Sdp.parse(alice.last_response.body).media[0].port
    header = b"\x80\x61" + RTP[2:12]
    media[0].says(port, header + b"\x41 no key frame")
    media[0].says(port, header + b"\x67 parameters")
    assert (await media[1].hears())[12:] == b"\x67 parameters"


@pytest.mark.parametrize("proxy", [["module::MediaRelay/max-calls=1"]], indirect=True)
async def test_one_call_too_many_is_refused(proxy: FakeProxy, media: list[Media]) -> None:
    registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(media[0].port))
    second = invite(media[0].port)
    second.set(b"call-id", b"Call-ID: another")
    alice.sends(second)
    assert alice.last_response.status == 503
    assert len(relay_of(proxy).calls) == 1


@pytest.mark.parametrize("proxy", [["module::MediaRelay/sdp-port-range=30000-30002"]], indirect=True)
async def test_too_few_ports_are_a_503_and_leave_nothing(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(media[0].port))
    await proxy.settle()
    assert alice.last_response.status == 503
    assert not bob.requests or bob.last_request.method == b"REGISTER"
    proxy.module(MediaRelayModule).backend.sweep()
    assert not relay_of(proxy).calls


async def test_more_streams_than_a_call_may_have_are_refused(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    before = len(bob.requests)
    alice.sends(invite(media[0].port, extra="".join(f"m=video {port} RTP/AVP 97\r\n" for port in range(6000, 6100))))
    assert alice.last_response.status == 488
    assert len(bob.requests) == before
    proxy.module(MediaRelayModule).backend.sweep()
    assert not relay_of(proxy).calls


@pytest.mark.parametrize("body", ["v=0\r\nm=audio\r\n", "hello"])
async def test_a_description_that_cannot_be_read_is_refused(proxy: FakeProxy, body: str) -> None:
    registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(0, body))
    assert alice.last_response.status == 400


async def test_an_answer_that_cannot_be_read_goes_on_and_the_call_ends_as_others_do(
    proxy: FakeProxy, media: list[Media]
) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    first = invite(media[0].port)
    alice.sends(first)
    answer(bob, 200, body="v=0\r\nm=audio\r\n")
    assert (alice.last_response.status, alice.last_response.body) == (200, b"v=0\r\nm=audio\r\n")
    alice.sends(in_dialog("BYE", first))
    answer(bob, 200)
    assert not relay_of(proxy).calls


@pytest.mark.parametrize(
    "proxy",
    [["module::MediaRelay/inactivity-period=5", "module::MediaRelay/bye-orphan-dialogs=true"]],
    indirect=True,
)
async def test_a_call_without_media_is_ended_on_both_sides(proxy: FakeProxy, media: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(media[0].port))
    answer(bob, 200, media[1].port)
    (call,) = relay_of(proxy).calls
    relay_of(proxy).tick(call.heard + 6)
    await proxy.settle()
    assert not relay_of(proxy).calls
    assert alice.last_request.method == b"BYE"
    assert bob.last_request.method == b"BYE"
    assert alice.last_request.uri_raw == b"sip:alice@127.0.0.1:4000"
    assert b"tag=bob" in alice.last_request.require(b"from")
    assert bob.last_request.uri_raw == b"sip:bob@127.0.0.1:4001"
