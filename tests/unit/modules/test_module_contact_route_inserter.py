from __future__ import annotations

from typing import Any

import pytest

from flexipy.modules.contact_route_inserter import ContactRouteInserter
from flexipy.modules.forward import Forward
from flexipy.sip.headers import NameAddr
from flexipy.sip.message import Message
from tests.harness.fake_network import PROXY_IP, FakeProxy, request

REGISTRAR = "192.0.2.50"
ALICE = "sip:alice@10.0.0.7:5071"
PARAM = "ctrtfeed"


@pytest.fixture
async def proxy(make_proxy: Any) -> FakeProxy:
    return await make_proxy([ContactRouteInserter, Forward], "global/unique-id=FEED")


def registered(proxy: FakeProxy, *contacts: str, uri: str = f"sip:{REGISTRAR}") -> list[NameAddr]:
    """The contacts that the registrar gets to see."""
    headers = [("Contact", contact) for contact in contacts]
    proxy.client().sends(request("REGISTER", uri, headers))
    return proxy.client(REGISTRAR).last_request.contacts()


def contact(message: Message) -> NameAddr:
    (found,) = message.contacts()
    return found


async def test_registrar_elsewhere_sees_our_address(proxy: FakeProxy) -> None:
    (found,) = registered(proxy, f'"Alice" <{ALICE};foo=bar>;expires=60;+sip.instance="<urn:uuid:1>"')
    assert (found.uri.user, found.uri.host, found.uri.port) == ("alice", PROXY_IP, 5060)
    assert found.uri.param(PARAM) == "udp:10.0.0.7:5071"
    assert found.uri.param("foo") == "bar"
    assert found.display == "Alice"
    assert found.params == {"expires": "60", "+sip.instance": "<urn:uuid:1>"}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:alice@10.0.0.7", "udp:10.0.0.7:5060"),
        ("sip:alice@10.0.0.7;transport=TCP", "tcp:10.0.0.7:5060"),
        ("sips:alice@10.0.0.7", "tls:10.0.0.7:5061"),
        ("sip:alice@[2001:db8::7]:5070", "udp:[2001:db8::7]:5070"),
    ],
)
async def test_call_for_a_masqueraded_contact_reaches_the_client(proxy: FakeProxy, uri: str, expected: str) -> None:
    (found,) = registered(proxy, f"<{uri}>")
    assert found.uri.param(PARAM) == expected
    original = NameAddr.parse(f"<{uri}>".encode()).uri
    flow = proxy.client(original.host, original.port or int(expected.rpartition(":")[2]), _transport(expected))
    proxy.client(REGISTRAR).sends(request("INVITE", str(found.uri)))
    reached = flow.last_request.uri
    assert (reached.user, reached.host) == ("alice", original.host)
    assert PARAM not in reached.params


def _transport(text: str) -> bytes:
    return text.partition(":")[0].upper().encode()


async def test_registrar_on_another_transport_sees_our_address_there(proxy: FakeProxy) -> None:
    proxy.client(REGISTRAR, transport=b"TCP")
    proxy.client().sends(request("REGISTER", f"sip:{REGISTRAR};transport=tcp", [("Contact", f"<{ALICE}>")]))
    found = contact(proxy.client(REGISTRAR, transport=b"TCP").last_request)
    assert found.uri.param("transport") == "tcp"


async def test_star_and_foreign_schemes_stay(proxy: FakeProxy) -> None:
    proxy.client().sends(request("REGISTER", f"sip:{REGISTRAR}", [("Contact", "*")]))
    assert proxy.client(REGISTRAR).last_request.get(b"contact") == b"*"
    (found,) = registered(proxy, "<mailto:alice@example.org>")
    assert found.uri_raw == b"mailto:alice@example.org"


async def test_contact_given_up_is_left_out_beside_a_new_one(proxy: FakeProxy) -> None:
    (found,) = registered(proxy, "<sip:alice@10.0.0.6>;expires=0", f"<{ALICE}>")
    assert found.uri.param(PARAM) == "udp:10.0.0.7:5071"
    (found,) = registered(proxy, f"<{ALICE}>;expires=0")
    assert found.params["expires"] == "0"


async def test_domain_instead_of_the_address(make_proxy: Any) -> None:
    proxy = await make_proxy(
        [ContactRouteInserter, Forward],
        "global/unique-id=FEED",
        "module::ContactRouteInserter/insert-domain=true",
        hosts={"example.org": ["192.0.2.60"]},
    )
    (found,) = registered(proxy, f"<{ALICE}>")
    assert found.uri.param(PARAM) == "udp:example.org"
    proxy.client(REGISTRAR).sends(request("OPTIONS", str(found.uri)))
    await proxy.settle()
    assert proxy.client("192.0.2.60").last_request.uri_raw == b"sip:alice@example.org"


async def test_calls_are_left_alone_by_default(proxy: FakeProxy) -> None:
    proxy.client().sends(request("INVITE", "sip:bob@192.0.2.9", [("Contact", f"<{ALICE}>")]))
    assert contact(proxy.client("192.0.2.9").last_request).uri_raw == ALICE.encode()


async def test_calls_and_their_answers_are_masqueraded_on_demand(make_proxy: Any) -> None:
    proxy = await make_proxy(
        [ContactRouteInserter, Forward],
        "global/unique-id=FEED",
        "module::ContactRouteInserter/masquerade-contacts-for-invites=true",
    )
    proxy.client().sends(request("INVITE", "sip:bob@192.0.2.9", [("Contact", f"<{ALICE}>")]))
    callee = proxy.client("192.0.2.9")
    assert contact(callee.last_request).uri.param(PARAM) == "udp:10.0.0.7:5071"
    callee.answers(200, [("Contact", "<sip:bob@192.0.2.9>")])
    answer = proxy.client().last_response
    assert contact(answer).uri.host == PROXY_IP
    assert contact(answer).uri.param(PARAM) == "udp:192.0.2.9:5060"
    callee.answers(200, [("Contact", "<sip:bob@192.0.2.9>")])
    assert proxy.client().sent[-1] == proxy.client().sent[-2]


async def test_next_address_sees_our_address_there(make_proxy: Any) -> None:
    proxy = await make_proxy(
        [ContactRouteInserter, Forward],
        "global/unique-id=FEED",
        hosts={"registrar.example": ["192.0.2.51", "192.0.2.52"]},
    )
    for ip in ("192.0.2.51", "192.0.2.52"):
        proxy.client(ip).refuses = ip.endswith("1")
    proxy.client().sends(request("REGISTER", "sip:registrar.example", [("Contact", f"<{ALICE}>")]))
    await proxy.settle()
    assert contact(proxy.client("192.0.2.52").last_request).uri.param(PARAM) == "udp:10.0.0.7:5071"


async def test_parameter_outlives_a_restart(make_proxy: Any) -> None:
    def name(contacts: list[NameAddr]) -> set[str]:
        return {key for key in contacts[0].uri.params if key.startswith("ctrt")}

    first = registered(await make_proxy([ContactRouteInserter, Forward]), f"<{ALICE}>")
    second = registered(await make_proxy([ContactRouteInserter, Forward]), f"<{ALICE}>")
    assert name(first) == name(second) != set()


async def test_parameter_that_makes_no_sense_is_left(proxy: FakeProxy) -> None:
    proxy.client().sends(request("OPTIONS", f"sip:alice@192.0.2.9;{PARAM}=nonsense:[x"))
    assert PARAM in proxy.client("192.0.2.9").last_request.uri.params
