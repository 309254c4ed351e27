"""Spoiled messages to a whole proxy in memory: nothing escapes, nothing stays.

Many more than a live server takes in the time, and each run the same. FLEXIPY_FUZZ_MESSAGES makes it longer,
FLEXIPY_FUZZ_SEED another one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flexipy.modules.auth_trusted_hosts import AuthTrustedHosts
from flexipy.modules.authentication import Authentication
from flexipy.modules.capabilities import Capabilities
from flexipy.modules.contact_route_inserter import ContactRouteInserter
from flexipy.modules.do_s_protection import DoSProtection
from flexipy.modules.forward import Forward
from flexipy.modules.gateway_adapter import GatewayAdapter
from flexipy.modules.load_balancer import LoadBalancer
from flexipy.modules.nat_helper import NatHelper
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from flexipy.modules.sanity_checker import SanityChecker
from flexipy.modules.statistics_collector import StatisticsCollector
from flexipy.proxy.api import Module
from tests.fuzz.mutations import Mutator
from tests.harness.fake_network import FakeFlow, FakeProxy
from tests.unit.modules.conftest import _no_dns, make_proxy  # noqa: F401

MESSAGES = int(os.environ.get("FLEXIPY_FUZZ_MESSAGES", "4000"))
SEED = int(os.environ.get("FLEXIPY_FUZZ_SEED", "4475"))
pytestmark = pytest.mark.timeout(60 + MESSAGES // 100)

COMMON = (RegistrarModule, Router, Forward)
HOUSES: dict[str, tuple[Sequence[type[Module]], Sequence[str]]] = {
    "as installed": (
        (DoSProtection, SanityChecker, Capabilities, NatHelper, *COMMON),
        ("module::DoSProtection/white-list=203.0.113.0/24",),
    ),
    "nothing checked": (COMMON, ("module::Router/fork-late=true", "module::Router/resolve-routes=true")),
    "flow tokens": (
        (SanityChecker, NatHelper, *COMMON),
        (
            "module::NatHelper/nat-traversal-strategy=flow-token",
            "module::Router/fallback-route=sip:192.0.2.9",
            "module::Router/use-global-domain=true",
        ),
    ),
    "passwords": (
        (AuthTrustedHosts, Authentication, NatHelper, *COMMON),
        ("module::Authentication/file-path=passwd", "module::Authentication/auth-domains=*"),
    ),
    "gateways": (
        (GatewayAdapter, StatisticsCollector, ContactRouteInserter, LoadBalancer, Router, RegistrarModule, Forward),
        (
            "module::GatewayAdapter/gateway=sip:192.0.2.8",
            "module::StatisticsCollector/collector-address=sip:bob@house.test",
            "module::ContactRouteInserter/masquerade-contacts-for-invites=true",
            "module::LoadBalancer/routes=<sip:192.0.2.7> <sip:192.0.2.6;transport=tcp>",
        ),
    ),
}


def answer_some(proxy: FakeProxy, mutator: Mutator) -> None:
    """Those that requests were sent on to answer, well or not; what they got is forgotten."""
    for flow in proxy.network.flows:
        for data in flow.sent[-3:]:
            head, _, rest = data.partition(b"\r\n")
            if not head.startswith(b"SIP/2.0") and mutator.choose((True, False)):
                status = mutator.choose((100, 180, 183, 200, 302, 401, 407, 408, 480, 486, 503, 600))
                response = b"SIP/2.0 %d Well\r\n" % status + rest
                flow.sends(mutator.spoil(response) if mutator.choose((True, False)) else response)
        flow.sent.clear()


@pytest.mark.parametrize("house", HOUSES)
async def test_nothing_escapes_and_nothing_stays(
    make_proxy: Any,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    house: str,
) -> None:
    print(f"seed {SEED}")
    (tmp_path / "passwd").write_text("version:1\nalice@house.test clrtxt:wonder ;\n")
    records = tmp_path / "static"
    records.write_text("<sip:everybody@house.test> <sip:bob@house.test>, <sip:nobody@192.0.2.9>\n")
    modules, settings = HOUSES[house]
    settings = [text.replace("=passwd", f"={tmp_path / 'passwd'}") for text in settings]
    records_file = f"module::Registrar/static-records-file={records}"
    own = ("module::Registrar/reg-domains=house.test", records_file, "module::Router/message-delivery-timeout=60")
    proxy: FakeProxy = await make_proxy(modules, *settings, *own, aliases=("house.test", "127.0.0.1"))
    mutator = Mutator(SEED, 5090)
    clients: list[tuple[FakeFlow, str]] = [
        (proxy.client("203.0.113.5", 5060, transport.upper().encode()), transport) for transport in ("udp", "tcp", "ws")
    ]
    with caplog.at_level(logging.INFO):
        for number in range(MESSAGES // len(HOUSES)):
            client, transport = mutator.choose(clients)
            client.sends(mutator.message(transport))
            if number % 8 == 0:
                await proxy.settle()
                answer_some(proxy, mutator)
            if number % 100 == 0:
                proxy.advance(0.7)
                check(proxy, caplog)
    await proxy.settle()
    for _ in range(4):
        proxy.advance(100)
        await proxy.settle()
    check(proxy, caplog)
    layer = proxy.agent.layer
    assert (list(layer.servers.values()), list(layer.clients.values())) == ([], [])


def check(proxy: FakeProxy, caplog: pytest.LogCaptureFixture) -> None:
    assert [record.exc_text or record.exc_info for record in caplog.records if record.exc_info] == []
    assert [record.getMessage() for record in caplog.records if "\n" in record.getMessage()] == []
    assert [name for name in proxy.counters if name.endswith("_failures")] == []
    caplog.clear()
