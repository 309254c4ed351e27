from __future__ import annotations

from typing import Any

import pytest

from flexipy.auth.directory import AccountSecrets
from flexipy.modules.forward import Forward
from flexipy.modules.gateway_adapter import GatewayAdapter
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from flexipy.proxy.module import Module, ModuleError
from flexipy.sip.digest import Challenge, compute_ha1, parse_authorization, verify
from tests.harness.fake_network import PROXY_IP, FakeFlow, FakeProxy, request

GATEWAY = "192.0.2.40"
SECTION = "module::GatewayAdapter/"
MODULES = [GatewayAdapter, RegistrarModule, Router, Forward]
SETTINGS = (f"{SECTION}gateway=sip:{GATEWAY}", "module::Registrar/reg-domains=example.org")
CONTACT = ("Contact", "<sip:alice@203.0.113.5:5060>;expires=600")


class Passwords(Module):
    """Knows one password."""

    name = "Passwords"

    def provide(self) -> None:
        self.context.provide(AccountSecrets, AccountSecrets(self._ha1))

    @staticmethod
    def _ha1(user: str, domain: str, algorithm: str, realm: str) -> str | None:
        return compute_ha1(algorithm, user, realm, "secret") if (user, domain) == ("alice", "example.org") else None


async def register(proxy: FakeProxy, *headers: tuple[str, str]) -> FakeFlow:
    client = proxy.client()
    client.sends(request("REGISTER", "sip:example.org", headers or (CONTACT,), to="<sip:alice@example.org>"))
    await proxy.settle()
    return client


async def test_user_is_registered_on_the_gateway_with_our_address(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES, *SETTINGS)
    client = await register(proxy)
    assert client.last_response.status == 200
    sent = proxy.client(GATEWAY).last_request
    assert (sent.method, sent.uri_raw) == (b"REGISTER", b"sip:example.org")
    assert sent.from_.uri_raw == sent.to.uri_raw == b"sip:alice@example.org"
    (contact,) = sent.contacts()
    assert (contact.uri.user, contact.uri.host, contact.uri.port) == ("alice", PROXY_IP, 5060)
    assert contact.uri.param("routing-domain") == "example.org"
    assert contact.params["expires"] == "600"


async def test_gateway_becomes_a_device_of_the_user(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES, *SETTINGS)
    client = await register(proxy)
    bindings = {contact.uri_raw: contact.params["expires"] for contact in client.last_response.contacts()}
    assert bindings == {b"sip:alice@192.0.2.40": "86400", b"sip:alice@203.0.113.5:5060": "600"}
    caller = proxy.client("203.0.113.99")
    caller.sends(request("INVITE", "sip:alice@example.org"))
    assert proxy.client(GATEWAY).last_request.method == b"INVITE"
    assert client.last_request.method == b"INVITE"


async def test_call_from_the_gateway_is_led_back_to_the_user(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES, *SETTINGS, f"{SECTION}fork-to-gateway=false")
    client = await register(proxy)
    gateway = proxy.client(GATEWAY)
    (contact,) = gateway.last_request.contacts()
    gateway.sends(request("INVITE", str(contact.uri), to="<sip:alice@198.51.100.1>"))
    got = client.last_request
    assert (got.method, got.uri_raw) == (b"INVITE", b"sip:alice@203.0.113.5:5060")
    assert got.to.uri_raw == b"sip:alice@example.org"


async def test_challenge_of_the_gateway_is_answered_with_the_users_password(make_proxy: Any) -> None:
    proxy = await make_proxy([*MODULES, Passwords], *SETTINGS)
    await register(proxy)
    gateway = proxy.client(GATEWAY)
    challenge = bytes(Challenge("gateway", "n0nce")).decode()
    gateway.answers(
        401, [("WWW-Authenticate", "Digest realm=x, nonce=y, algorithm=ROT13"), ("WWW-Authenticate", challenge)]
    )
    await proxy.settle()
    first, second = gateway.requests
    assert second.call_id == first.call_id
    assert second.cseq.number > first.cseq.number
    assert len(second.contacts()) == 1
    credentials = parse_authorization(second.require(b"authorization"))
    assert verify(credentials, compute_ha1("MD5", "alice", "gateway", "secret"), "REGISTER")
    gateway.answers(200)
    await proxy.settle()
    assert proxy.counters["gateway_registrations_failed"] == 0


async def test_challenge_ends_it_where_no_password_is_known(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES, *SETTINGS)
    await register(proxy)
    gateway = proxy.client(GATEWAY)
    gateway.answers(407, [("Proxy-Authenticate", bytes(Challenge("gateway", "n0nce")).decode())])
    await proxy.settle()
    assert len(gateway.requests) == 1
    assert proxy.counters["gateway_registrations_failed"] == 1


async def test_gateway_that_is_silent_does_not_keep_the_user_waiting(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES, *SETTINGS)
    client = await register(proxy)
    assert client.last_response.status == 200
    proxy.advance(33)
    await proxy.settle()
    assert proxy.counters["gateway_registrations_failed"] == 1


async def test_other_domain_and_duration_on_the_gateway(make_proxy: Any) -> None:
    proxy = await make_proxy(
        MODULES, *SETTINGS, f"{SECTION}gateway-domain=telephony.example", f"{SECTION}forced-expire=1800"
    )
    await register(proxy)
    sent = proxy.client(GATEWAY).last_request
    assert sent.uri_raw == b"sip:telephony.example"
    assert sent.to.uri_raw == sent.from_.uri_raw == b"sip:alice@telephony.example"
    (contact,) = sent.contacts()
    assert contact.params["expires"] == "1800"
    assert contact.uri.param("routing-domain") == "example.org"


async def test_user_who_signs_off_is_not_registered_anew(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES, *SETTINGS)
    client = await register(proxy, ("Contact", "<sip:alice@203.0.113.5:5060>;expires=0"))
    assert client.last_response.status == 200
    assert client.last_response.contacts() == []
    await register(proxy, ("Contact", "*"), ("Expires", "0"))
    assert proxy.client(GATEWAY).sent == []


async def test_both_ways_can_be_switched_off(make_proxy: Any) -> None:
    proxy = await make_proxy(
        MODULES, *SETTINGS, f"{SECTION}fork-to-gateway=false", f"{SECTION}register-on-gateway=false"
    )
    client = await register(proxy)
    assert len(client.last_response.contacts()) == 1
    assert proxy.client(GATEWAY).sent == []


async def test_domain_in_the_routing_parameter_must_be_one(make_proxy: Any) -> None:
    proxy = await make_proxy(MODULES, *SETTINGS)
    gateway = proxy.client(GATEWAY)
    gateway.sends(request("INVITE", f"sip:alice@{PROXY_IP};routing-domain=a%20b"))
    assert [response.status for response in gateway.responses] == [400]


@pytest.mark.parametrize("gateway", ['""', "tel:12", "sip:"])
async def test_unusable_gateway_is_a_fault_of_the_configuration(make_proxy: Any, gateway: str) -> None:
    with pytest.raises(ModuleError, match="gateway"):
        await make_proxy([GatewayAdapter], f"{SECTION}gateway={gateway}")
