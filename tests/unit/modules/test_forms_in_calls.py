"""A caller that offers H.264 in two forms: each device that rings sees its picture by the number it agreed on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flexipy.modules.forward import Forward
from flexipy.modules.media_relay import MediaRelayModule
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from flexipy.sip.sdp import Sdp
from tests.harness.fake_network import FakeFlow, FakeProxy
from tests.unit.modules.conftest import MakeProxy
from tests.unit.modules.test_module_media_relay import (
    HOUSE,
    PROXY,
    Media,
    answer,
    description,
    in_dialog,
    invite,
    offered,
    registered,
)

FORMS = {96: "packetization-mode=0;profile-level-id=42801f", 97: "packetization-mode=1;profile-level-id=42801f"}
KEYS = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"


def video(port: int, *numbers: int, extra: str = "") -> str:
    """A description of video in some of the forms."""
    lines = "".join(f"a=rtpmap:{number} H264/90000\r\na=fmtp:{number} {FORMS[number]}\r\n" for number in numbers)
    formats = " ".join(str(number) for number in numbers)
    return description(port, extra=lines + extra, kind="video", line=f"RTP/AVP {formats}")


def packet(number: int, sequence: int = 1, marker: bool = False) -> bytes:
    """Of a picture."""
    second = marker << 7 | number
    return bytes((0x80, second)) + sequence.to_bytes(2, "big") + bytes(4) + b"door" + b"\x41 picture"


def told(alice: FakeFlow) -> list[bytes]:
    """The payload types that the caller was told last."""
    return Sdp.parse(alice.last_response.body).media[0].formats


@pytest.fixture
async def proxy(make_proxy: MakeProxy) -> FakeProxy:
    modules = [RegistrarModule, Router, MediaRelayModule, Forward]
    return await make_proxy(modules, f"module::Registrar/reg-domains={HOUSE}", listeners=[f"sip:{PROXY}:5060"])


@pytest.fixture
def ends() -> Iterator[list[Media]]:
    made = [Media() for _ in range(3)]
    yield made
    for each in made:
        each.socket.close()


async def test_each_sees_the_picture_by_the_number_it_agreed_on(proxy: FakeProxy, ends: list[Media]) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(0, video(ends[0].port, 96, 97)))
    assert [offered(phone).media[0].formats for phone in phones] == [[b"96", b"97"]] * 2
    answer(phones[0], 183, tag="one", body=video(ends[1].port, 96))
    assert told(alice) == [b"96"]
    answer(phones[1], 183, tag="two", body=video(ends[2].port, 97))
    assert told(alice) == [b"96", b"97"]
    port = Sdp.parse(alice.last_response.body).media[0].port
    for marker in (False, True):
        ends[0].says(port, packet(96, marker=marker))
        assert await ends[1].hears() == packet(96, marker=marker)
        assert await ends[2].hears() == packet(97, marker=marker)
    for phone in phones:
        answer(phone, 486, index=0)


async def test_who_was_shown_early_in_another_form_keeps_it_when_it_answers(
    proxy: FakeProxy, ends: list[Media]
) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(0, video(ends[0].port, 96, 97)))
    for status in (183, 200):
        answer(phones[1], status, tag="two", body=video(ends[2].port, 97), index=0)
        assert told(alice) == [b"96", b"97"]
    toward = offered(phones[1], 0).media[0].port
    ends[0].says(Sdp.parse(alice.last_response.body).media[0].port, packet(96))
    assert await ends[2].hears() == packet(97)
    ends[2].says(toward, packet(97))
    assert await ends[0].hears() == packet(97)
    answer(phones[0], 487, tag="one", index=0)


async def test_two_who_speak_use_the_form_that_the_callee_likes(proxy: FakeProxy, ends: list[Media]) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    first = invite(0, video(ends[0].port, 96, 97))
    alice.sends(first)
    answer(phones[0], 183, tag="one", body=video(ends[1].port, 96))
    answer(phones[1], 180, tag="two")
    answer(phones[1], 200, tag="two", body=video(ends[2].port, 97), index=0)
    assert told(alice) == [b"97"]
    port = Sdp.parse(alice.last_response.body).media[0].port
    ends[0].says(port, packet(97))
    assert await ends[2].hears() == packet(97)
    # What is still on its way in the form of before.
    ends[0].says(port, packet(96))
    assert await ends[2].hears() == packet(97)
    answer(phones[0], 487, tag="one", index=0)


async def test_one_who_rings_alone_is_shown_as_he_is(proxy: FakeProxy, ends: list[Media]) -> None:
    (bob,) = registered(proxy, "bob", 4001)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(0, video(ends[0].port, 96, 97, extra=KEYS)))
    assert offered(bob).media[0].formats == [b"96", b"97"]
    answer(bob, 183, body=video(ends[1].port, 97, extra=KEYS))
    assert told(alice) == [b"97"]
    answer(bob, 486, index=0)


async def test_several_are_offered_one_form_of_what_is_encrypted(proxy: FakeProxy, ends: list[Media]) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(0, video(ends[0].port, 97, 96, extra=KEYS)))
    for phone in phones:
        section = offered(phone).media[0]
        assert section.formats == [b"96"]
        assert section.encoding(b"97") == b""
        assert section.has(b"crypto")
    for phone in phones:
        answer(phone, 486)


async def test_keys_that_two_agree_on_leave_all_forms_on_offer(proxy: FakeProxy, ends: list[Media]) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    fingerprint = "a=setup:actpass\r\na=fingerprint:SHA-256 00:11\r\n"
    body = video(ends[0].port, 96, 97, extra=fingerprint).replace("RTP/AVP", "UDP/TLS/RTP/SAVP")
    alice.sends(invite(0, body))
    assert [offered(phone).media[0].formats for phone in phones] == [[b"96", b"97"]] * 2
    for phone in phones:
        answer(phone, 486)


async def test_a_new_offer_of_the_caller_is_answered_as_the_callee_likes(proxy: FakeProxy, ends: list[Media]) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    first = invite(0, video(ends[0].port, 96, 97))
    alice.sends(first)
    answer(phones[0], 183, body=video(ends[1].port, 97))
    answer(phones[0], 200, body=video(ends[1].port, 97))
    assert told(alice) == [b"96", b"97"]
    alice.sends(in_dialog("ACK", first, cseq=1))
    answer(phones[1], 487, tag="two", index=0)
    alice.sends(in_dialog("INVITE", first, video(ends[0].port, 96, 97)))
    answer(phones[0], 200, body=video(ends[1].port, 97))
    assert told(alice) == [b"97"]


async def test_an_offer_of_the_callee_ends_all_renumbering(proxy: FakeProxy, ends: list[Media]) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    first = invite(0, video(ends[0].port, 96, 97))
    alice.sends(first)
    answer(phones[0], 183, body=video(ends[1].port, 97))
    answer(phones[0], 200, body=video(ends[1].port, 97))
    answer(phones[1], 487, tag="two", index=0)
    port = Sdp.parse(alice.last_response.body).media[0].port
    again = in_dialog("INVITE", first, video(ends[1].port, 97).replace("H264", "VP8"))
    again.set(b"from", b"From: " + first.require(b"to") + b";tag=bob")
    again.set(b"to", b"To: " + first.require(b"from"))
    again.set(b"via", b"Via: SIP/2.0/UDP %b:4001;rport;branch=z9hG4bKagain" % PROXY.encode())
    again.uri_raw = b"sip:alice@127.0.0.1:4000"
    phones[0].sends(again)
    answer(alice, 200, tag="", body=video(ends[0].port, 97).replace("H264", "VP8"))
    ends[0].says(port, packet(96))
    assert await ends[1].hears() == packet(96)


async def test_an_answer_with_more_sections_than_the_offer_goes_on(proxy: FakeProxy, ends: list[Media]) -> None:
    phones = registered(proxy, "bob", 4001, 4002)
    alice = proxy.client(PROXY, 4000)
    alice.sends(invite(0, video(ends[0].port, 96, 97)))
    more = f"m=video {ends[2].port} RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n"
    answer(phones[0], 183, body=video(ends[1].port, 97) + more)
    assert told(alice) == [b"96", b"97"]
    for phone in phones:
        answer(phone, 486, index=0)
