from __future__ import annotations

from typing import Any

from flexipy.modules.garbage_in import GarbageIn
from flexipy.modules.redirect import Redirect
from tests.harness.fake_network import request

ANSWER = "module::Redirect/contact=<sip:elsewhere.example>"


async def test_drops_nothing_without_a_filter(make_proxy: Any) -> None:
    proxy = await make_proxy([GarbageIn, Redirect], ANSWER)
    client = proxy.client()
    client.sends(request("OPTIONS", "sip:bob@example.net"))
    assert client.last_response.status == 302


async def test_drops_what_the_filter_describes_without_a_word(make_proxy: Any) -> None:
    proxy = await make_proxy([GarbageIn, Redirect], ANSWER, "module::GarbageIn/filter=user-agent contains 'scanner'")
    client = proxy.client()
    message = request("INVITE", "sip:bob@example.net", [("User-Agent", "friendly-scanner")])
    client.sends(message)
    client.sends(message)
    assert client.sent == []
    assert proxy.counters["garbage_dropped"] == 2
    client.sends(request("INVITE", "sip:bob@example.net"))
    assert client.last_response.status == 302
