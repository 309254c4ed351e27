from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flexipy.modules.statistics_collector import StatisticsCollector, is_complete
from flexipy.proxy.module import Module, ModuleError
from tests.harness.fake_network import FakeProxy, request

COLLECTOR = "sip:statistics@example.org"
REPORT = "\r\n".join(
    (
        "VQSessionReport: CallTerm",
        "CallID: 6dg37f1890463",
        "LocalID: Alice <sip:alice@example.org>",
        "RemoteID: Bill <sip:bill@example.net>",
        "OrigID: Alice <sip:alice@example.org>",
        "LocalGroup: example-phone-55671",
        "RemoteGroup: example-gateway-09871",
        "LocalAddr: IP=192.0.2.100 PORT=5000 SSRC=1a3b5c7d",
        "RemoteAddr: IP=203.0.113.200 PORT=5002 SSRC=2468abcd",
        "LocalMetrics:",
        "Timestamps: START=2004-10-10T18:23:43Z STOP=2004-10-01T18:26:02Z",
        "RemoteMetrics:",
        "Timestamps: START=2004-10-10T18:23:43Z STOP=2004-10-01T18:26:02Z",
        "",
    )
)
TYPE = [("Content-Type", "application/vq-rtcpxr")]


class Last(Module):
    """Answers what the module under test lets pass."""

    name = "Last"

    def on_request(self, event: Any) -> None:
        event.reply(302)


@pytest.fixture
async def proxy(make_proxy: Any) -> FakeProxy:
    return await make_proxy(
        [StatisticsCollector, Last],
        f"module::StatisticsCollector/collector-address={COLLECTOR}",
    )


def published(proxy: FakeProxy, uri: str, body: str, headers: Any = TYPE, method: str = "PUBLISH") -> int:
    client = proxy.client()
    client.sends(request(method, uri, headers, body))
    return client.last_response.status


@pytest.mark.parametrize("uri", [COLLECTOR, COLLECTOR + ":5060", "sips:statistics@example.org"])
async def test_report_for_the_collector_is_kept_and_goes_no_further(proxy: FakeProxy, uri: str, tmp_path: Path) -> None:
    assert published(proxy, uri, REPORT) == 200
    (file,) = (tmp_path / "call-quality").iterdir()
    text = file.read_text()
    assert "from <sip:alice@example.org>;tag=a1\nVQSessionReport: CallTerm\nCallID: 6dg37f1890463\n" in text
    assert proxy.counters["quality_reports"] == 1


async def test_incomplete_report_is_refused(proxy: FakeProxy, tmp_path: Path) -> None:
    assert published(proxy, COLLECTOR, REPORT.replace("LocalGroup", "Group")) == 606
    assert published(proxy, COLLECTOR, "") == 606
    assert not (tmp_path / "call-quality").exists()


async def test_report_for_somebody_else_passes(proxy: FakeProxy) -> None:
    assert published(proxy, "sip:other@example.org", REPORT) == 302


async def test_publication_of_another_kind_passes(proxy: FakeProxy) -> None:
    assert published(proxy, COLLECTOR, "<pidf/>", [("Content-Type", "application/pidf+xml")]) == 302
    assert published(proxy, COLLECTOR, "", ()) == 302


async def test_other_methods_pass_by_the_default_filter(proxy: FakeProxy) -> None:
    assert published(proxy, COLLECTOR, REPORT, method="MESSAGE") == 302


async def test_nothing_is_collected_without_an_address(make_proxy: Any) -> None:
    proxy = await make_proxy([StatisticsCollector, Last])
    assert published(proxy, COLLECTOR, REPORT) == 302


async def test_disk_is_not_filled(proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flexipy.modules.statistics_collector._DAILY_LIMIT", 2 * len(REPORT))
    assert [published(proxy, COLLECTOR, REPORT) for _ in range(3)] == [200, 500, 500]


async def test_unusable_address_is_a_fault_of_the_configuration(make_proxy: Any) -> None:
    with pytest.raises(ModuleError, match="collector-address"):
        await make_proxy([StatisticsCollector], "module::StatisticsCollector/collector-address=tel:12")


@pytest.mark.parametrize("heading", ["VQIntervalReport", "VQSessionReport", "VQSessionReport: CallTerm"])
def test_headings(heading: str) -> None:
    assert is_complete(REPORT.replace("VQSessionReport: CallTerm", heading).encode())


def test_times_must_be_those_of_the_local_end() -> None:
    cut = REPORT.replace("Timestamps: START=2004-10-10T18:23:43Z STOP=2004-10-01T18:26:02Z\r\n", "", 1)
    assert not is_complete(cut.encode())
