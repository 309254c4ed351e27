from __future__ import annotations

from typing import Any

import pytest

from flexipy.modules.capabilities import Capabilities
from flexipy.modules.redirect import Redirect
from flexipy.modules.registrar import RegistrarModule
from tests.harness.fake_network import PROXY_IP, FakeProxy, request

ANSWER = "module::Redirect/contact=<sip:elsewhere.example>"


@pytest.fixture
async def proxy(make_proxy: Any) -> FakeProxy:
    return await make_proxy([Capabilities, Redirect], ANSWER, aliases=("sip.example.org",))


@pytest.mark.parametrize(
    "uri",
    [f"sip:{PROXY_IP}", f"sip:{PROXY_IP}:5060;transport=udp", "sip:sip.example.org", "sip:sip.example.org:5060"],
)
async def test_options_for_the_server_is_answered(proxy: FakeProxy, uri: str) -> None:
    client = proxy.client()
    client.sends(request("OPTIONS", uri))
    answer = client.last_response
    assert answer.status == 200
    assert b"INVITE" in (answer.get(b"allow") or b"")
    assert answer.get(b"accept") == b"*/*"
    assert answer.get(b"supported") == b"path"
    assert answer.to.tag


@pytest.mark.parametrize("uri", [f"sip:bob@{PROXY_IP}", "sip:example.net", f"sip:{PROXY_IP}:5999"])
async def test_options_for_others_passes(proxy: FakeProxy, uri: str) -> None:
    client = proxy.client()
    client.sends(request("OPTIONS", uri))
    assert client.last_response.status == 302


async def test_options_with_a_route_elsewhere_passes(proxy: FakeProxy) -> None:
    client = proxy.client()
    client.sends(request("OPTIONS", f"sip:{PROXY_IP}", [("Route", "<sip:192.0.2.9;lr>")]))
    assert client.last_response.status == 302


async def test_options_with_our_own_route_is_answered(proxy: FakeProxy) -> None:
    client = proxy.client()
    client.sends(request("OPTIONS", f"sip:{PROXY_IP}", [("Route", f"<sip:{PROXY_IP};lr>")]))
    assert client.last_response.status == 200


async def test_other_methods_pass(proxy: FakeProxy) -> None:
    client = proxy.client()
    client.sends(request("MESSAGE", f"sip:{PROXY_IP}"))
    assert client.last_response.status == 302


async def test_retransmission_gets_the_same_answer(proxy: FakeProxy) -> None:
    client = proxy.client()
    message = request("OPTIONS", f"sip:{PROXY_IP}")
    client.sends(message)
    client.sends(message)
    assert client.sent[0] == client.sent[1]


async def test_registrar_shows_in_supported(make_proxy: Any) -> None:
    proxy = await make_proxy([Capabilities, RegistrarModule])
    client = proxy.client()
    client.sends(request("OPTIONS", f"sip:{PROXY_IP}"))
    assert client.last_response.get(b"supported") == b"path, outbound, gruu"
