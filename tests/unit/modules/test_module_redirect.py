from __future__ import annotations

from typing import Any

import pytest

from flexipy.modules.redirect import Redirect
from flexipy.proxy.module import ModuleError
from tests.harness.fake_network import request


async def test_redirects_with_the_contact_as_configured(make_proxy: Any) -> None:
    proxy = await make_proxy([Redirect], "module::Redirect/contact=<sip:127.0.0.1:5065>;expires=100")
    client = proxy.client()
    client.sends(request("INVITE", "sip:bob@example.net"))
    assert client.last_response.status == 302
    assert client.last_response.get(b"contact") == b"<sip:127.0.0.1:5065>;expires=100"


async def test_ack_is_absorbed(make_proxy: Any) -> None:
    proxy = await make_proxy([Redirect], "module::Redirect/contact=<sip:127.0.0.1:5065>")
    client = proxy.client()
    invite = request("INVITE", "sip:bob@example.net")
    client.sends(invite)
    client.sends(bytes(invite).replace(b"INVITE", b"ACK"))
    client.sends(request("ACK", "sip:bob@example.net"))
    assert len(client.sent) == 1
    proxy.advance(10)
    assert len(client.sent) == 1


@pytest.mark.parametrize("contact", ['""', "<sip:127.0.0.1", "somewhere"])
async def test_unusable_contact_is_a_fault_of_the_configuration(make_proxy: Any, contact: str) -> None:
    with pytest.raises(ModuleError, match="contact"):
        await make_proxy([Redirect], f"module::Redirect/contact={contact}")
