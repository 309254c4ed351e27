from __future__ import annotations

from typing import Any

import pytest

from flexipy.modules.redirect import Redirect
from flexipy.modules.sanity_checker import SanityChecker
from tests.harness.fake_network import FakeProxy, request

PASSED = 302


@pytest.fixture
async def proxy(make_proxy: Any) -> FakeProxy:
    return await make_proxy([SanityChecker, Redirect], "module::Redirect/contact=<sip:elsewhere.example>")


def status(proxy: FakeProxy, *arguments: Any, **options: Any) -> int:
    client = proxy.client()
    client.sends(request(*arguments, **options))
    return client.last_response.status


BOB = "sip:bob@example.net"


@pytest.mark.parametrize(
    "sender",
    [
        "<sip:alice@example.org>;tag=1",
        "sip:alice@example.org;tag=1",
        '"Alice > the great" <sip:alice@example.org>;tag=1',
        '"Alice \\" <sip:x@y>" <sip:alice@example.org>;tag=1',
        "Alice <sip:alice@[2001:db8::1]:5060;transport=tcp>;tag=1",
        "<tel:+33123456789>;tag=1",
        "<sip:alice@example.org>;x=y;tag=1",
        "<sip:alice@example.org> ; tag = 1",
    ],
)
async def test_good_from_passes_again_and_again(proxy: FakeProxy, sender: str) -> None:
    for _ in range(3):
        assert status(proxy, "OPTIONS", BOB, sender=sender) == PASSED


@pytest.mark.parametrize(
    "sender",
    [
        "<sip:alice@example.org>",
        "<sip:@example.org>;tag=1",
        "<sip:alice@>;tag=1",
        "<sip:alice@exa mple.org>;tag=1",
        "<sip:alice@example.org>;tag=1 <sip:x@y>",
        '"Alice <sip:alice@example.org>;tag=1',
        "<sip:alice@example.org;tag=1",
        "Alice, Bell <sip:alice@example.org>;tag=1",
        "<sip:alice@example.org:99999>;tag=1",
        "alice;tag=1",
    ],
)
async def test_bad_from_is_refused_also_after_a_good_one(proxy: FakeProxy, sender: str) -> None:
    assert status(proxy, "OPTIONS", BOB, sender="<sip:alice@example.org>;tag=1") == PASSED
    assert status(proxy, "OPTIONS", BOB, sender=sender) == 400


async def test_old_client_may_leave_out_the_tag(proxy: FakeProxy) -> None:
    text = bytes(request("OPTIONS", BOB, sender="<sip:alice@example.org>"))
    client = proxy.client()
    client.sends(text.replace(b";branch=z9hG4bK", b";branch="))
    assert client.last_response.status == PASSED


@pytest.mark.parametrize("to", ["<sip:bob@>", "<sip:bob@example.net>, <sip:eve@example.net>", "bob"])
async def test_bad_to_is_refused(proxy: FakeProxy, to: str) -> None:
    assert status(proxy, "OPTIONS", BOB, to="<sip:bob@example.net>") == PASSED
    assert status(proxy, "OPTIONS", BOB, to=to) == 400


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:bob@example.net", PASSED),
        ("SIP:bob@example.net;transport=tcp", PASSED),
        ("sips:bob@example.net", PASSED),
        ("tel:+33123456789", PASSED),
        ("tel:nobody", 400),
        ("sip:bob@example.net?Subject=x", 400),
        ("sip:bob@", 400),
        ("sip:bob@[::1", 400),
        ("<sip:bob@example.net>", 400),
        ("urn:service:sos", 416),
        ("soap.beep://192.0.2.103:3002", 416),
        ("bob", 400),
    ],
)
async def test_request_uri(proxy: FakeProxy, uri: str, expected: int) -> None:
    for _ in range(2):
        assert status(proxy, "OPTIONS", uri, to="<sip:bob@example.net>") == expected


@pytest.mark.parametrize(
    ("contacts", "expected"),
    [
        (['<sip:a@192.0.2.1>;+sip.instance="<urn:uuid:1>";q=0.5'], PASSED),
        (["<sip:a@192.0.2.1>, <sip:b@192.0.2.2>;expires=0"], PASSED),
        (["<sip:a@192.0.2.1>", "<sip:b@192.0.2.2>"], PASSED),
        (["*"], PASSED),
        (["<mailto:a@example.org>"], PASSED),
        (["<sip:a@192.0.2.1>", "<sip:b@>"], 400),
        (["<sip:a@192.0.2.1>;;;;"], 400),
        (["<sip:@192.0.2.1>"], 400),
        (["a"], 400),
        (['"a <sip:a@192.0.2.1>'], 400),
    ],
)
async def test_contacts(proxy: FakeProxy, contacts: list[str], expected: int) -> None:
    headers = [("Contact", value) for value in contacts]
    for _ in range(2):
        assert status(proxy, "REGISTER", "sip:example.net", headers) == expected


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Expires"])
async def test_header_that_may_stand_once_is_refused_twice(proxy: FakeProxy, name: str) -> None:
    value = {"CSeq": "1 OPTIONS", "From": "<sip:a@b>;tag=1", "To": "<sip:a@b>"}.get(name, "0")
    twice = [(name, value)] * 2 if name == "Expires" else [(name, value)]
    assert status(proxy, "OPTIONS", BOB, twice) == 400


async def test_several_vias_and_routes_are_fine(proxy: FakeProxy) -> None:
    headers = [
        ("Via", "SIP/2.0/TCP a.example;branch=z9hG4bK1, SIP/2.0/UDP b.example;branch=z9hG4bK2"),
        ("Route", "<sip:c.example;lr>"),
        ("Route", "<sip:d.example;lr>"),
        ("Record-Route", "<sip:a.example;lr>"),
        ("Record-Route", "<sip:b.example;lr>"),
    ]
    assert status(proxy, "OPTIONS", BOB, headers) == PASSED


async def test_subscribe_without_event_is_refused(proxy: FakeProxy) -> None:
    assert status(proxy, "SUBSCRIBE", BOB) == 400
    assert status(proxy, "SUBSCRIBE", BOB, [("Event", "presence")]) == PASSED


async def test_extension_that_proxies_must_have_is_named_in_the_answer(proxy: FakeProxy) -> None:
    client = proxy.client()
    client.sends(request("INVITE", BOB, [("Proxy-Require", "foo, bar"), ("Require", "100rel")]))
    assert client.last_response.status == 420
    assert client.last_response.get(b"unsupported") == b"foo, bar"


async def test_bad_ack_is_not_answered(proxy: FakeProxy) -> None:
    client = proxy.client()
    client.sends(request("ACK", BOB, sender="alice;tag=1"))
    assert client.sent == []


async def test_invented_method_passes_unless_it_is_no_token(proxy: FakeProxy) -> None:
    assert status(proxy, "JUMP", BOB) == PASSED
    assert status(proxy, 'JU"MP', BOB) == 400
