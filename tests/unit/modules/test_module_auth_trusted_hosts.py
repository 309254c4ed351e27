from __future__ import annotations

from typing import Any

import pytest

from flexipy.modules.auth_trusted_hosts import AuthTrustedHosts
from flexipy.proxy.module import Module, ModuleError
from flexipy.proxy.order import ORDER
from tests.harness.fake_network import PROXY_IP, FakeProxy, request


class Answer(Module):
    """Tells whether a request is trusted."""

    name = "Answer"

    def on_request(self, event: Any) -> None:
        event.reply(200 if event.trusted else 403)


def trusts(proxy: FakeProxy, ip: str) -> bool:
    client = proxy.client(ip)
    client.sends(request("OPTIONS", "sip:bob@example.net", via="SIP/2.0/UDP 203.0.113.5:5060;rport"))
    return client.last_response.status == 200


async def made(make_proxy: Any, trusted: str, *settings: str, **options: Any) -> FakeProxy:
    listed = f"module::AuthTrustedHosts/trusted-hosts={trusted}"
    return await make_proxy([AuthTrustedHosts, Answer], listed, *settings, **options)


async def test_address_is_trusted_and_others_are_not(make_proxy: Any) -> None:
    proxy = await made(make_proxy, "203.0.113.5 203.0.113.6")
    assert trusts(proxy, "203.0.113.5")
    assert not trusts(proxy, "203.0.113.7")


async def test_what_the_via_claims_does_not_matter(make_proxy: Any) -> None:
    proxy = await made(make_proxy, "203.0.113.5")
    assert not trusts(proxy, "192.0.2.66")


async def test_network_is_trusted(make_proxy: Any) -> None:
    proxy = await made(make_proxy, "203.0.113.0/24")
    assert trusts(proxy, "203.0.113.99")
    assert not trusts(proxy, "203.0.114.1")


async def test_name_is_trusted_under_its_addresses(make_proxy: Any) -> None:
    proxy = await made(make_proxy, "gateway.example", hosts={"gateway.example": ["203.0.113.5", "203.0.113.6"]})
    assert trusts(proxy, "203.0.113.6")
    assert not trusts(proxy, "203.0.113.7")


async def test_name_that_does_not_exist_trusts_nobody(make_proxy: Any) -> None:
    proxy = await made(make_proxy, "nowhere.invalid")
    assert not trusts(proxy, "203.0.113.5")


async def test_list_of_another_parameter_is_taken_in(make_proxy: Any) -> None:
    proxy = await made(make_proxy, "${cluster/nodes} 203.0.113.9", "cluster/nodes=203.0.113.5 203.0.113.6")
    assert trusts(proxy, "203.0.113.6")
    assert trusts(proxy, "203.0.113.9")


async def test_nodes_are_trusted_only_in_a_cluster(make_proxy: Any) -> None:
    apart = await made(make_proxy, "192.0.2.1", "cluster/nodes=203.0.113.5")
    assert not trusts(apart, "203.0.113.5")
    together = await made(make_proxy, "192.0.2.1", "cluster/nodes=203.0.113.5", "cluster/enabled=true")
    assert trusts(together, "203.0.113.5")


async def test_presence_server_is_trusted_when_it_is_used(make_proxy: Any) -> None:
    server = "module::Presence/presence-server=<sip:203.0.113.5:5065;transport=tcp>"
    assert not trusts(await made(make_proxy, "192.0.2.1", server), "203.0.113.5")
    assert trusts(await made(make_proxy, "192.0.2.1", server, "module::Presence/enabled=true"), "203.0.113.5")


async def test_own_address_is_not_trusted_by_itself(make_proxy: Any) -> None:
    # A reverse proxy on this machine would otherwise make everybody trusted.
    assert not trusts(await made(make_proxy, "192.0.2.1"), PROXY_IP)


@pytest.mark.parametrize("hosts", ["203.0.113", "203.0.113.0/99", "a,b", "${cluster/nonsense}", "${none/x}"])
async def test_unusable_entry_is_a_fault_of_the_configuration(make_proxy: Any, hosts: str) -> None:
    with pytest.raises(ModuleError, match="trusted-hosts"):
        await made(make_proxy, hosts)


def test_trust_is_settled_before_authentication() -> None:
    assert ORDER.index("AuthTrustedHosts") < ORDER.index("Authentication")
