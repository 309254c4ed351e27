"""Messages that wait for sleeping phones: over a restart, and for addresses that ring many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flexipy.modules.forward import Forward
from flexipy.modules.push_notification import PushNotification
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router, restoring
from flexipy.push.request import PushEvent
from flexipy.push.service import PushService
from tests.harness.fake_network import FakeFlow, request
from tests.unit.modules.test_module_push_notification import ANDROID, PushHouse, Recorder
from tests.unit.proxy.house import DOMAIN

EVERYONE = f"<sip:everyone@{DOMAIN}> <sip:bob@{DOMAIN}>\n"


@pytest.fixture
def open_kept_house(make_proxy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(restoring, "WAKE_AFTER", 0)
    (tmp_path / "routes").write_text(EVERYONE)

    async def make() -> PushHouse:
        modules = [RegistrarModule, Router, PushNotification, Forward]
        settings = (
            f"module::Registrar/reg-domains={DOMAIN}",
            f"module::Registrar/static-records-file={tmp_path}/routes",
            "module::Router/message-database-enabled=true",
            "module::Router/message-database-backend=sqlite3",
        )
        proxy = await make_proxy(modules, *settings, "module::Router/message-accept-timeout=1")
        recorder = Recorder()
        proxy.module(PushNotification).pushing.service = PushService([recorder], 100, proxy.agent.spawn, proxy.counters)
        return PushHouse(proxy, recorder)

    return make


async def restarted_house(open_kept_house: Any) -> PushHouse:
    """The next process, after those who are awake had their time to answer."""
    house: PushHouse = await open_kept_house()
    await house.settle()
    house.proxy.advance(6)
    await house.settle()
    return house


def texts(flow: FakeFlow) -> list[str]:
    return [each.body.decode() for each in flow.requests if each.method == b"MESSAGE"]


async def sends(house: PushHouse, user: str, *lines: str) -> None:
    for line in lines:
        house.caller.sends(request("MESSAGE", f"sip:{user}@{DOMAIN}", [("Content-Type", "text/plain")], line))
    await house.settle()
    house.proxy.advance(2)
    await house.settle()


async def test_a_phone_is_woken_for_what_an_earlier_process_accepted(open_kept_house: Any) -> None:
    before = await open_kept_house()
    before.device(ANDROID)
    await sends(before, "bob", "one", "two")
    await before.proxy.stop()

    house = await restarted_house(open_kept_house)
    assert house.service.events == [PushEvent.MESSAGE], "one push does for both"
    woken = house.device(ANDROID, "192.0.2.1", age=0)
    assert len({each.call_id for each in woken.requests if each.method == b"MESSAGE"}) == 2


async def test_who_has_it_is_not_woken_again(open_kept_house: Any) -> None:
    before = await open_kept_house()
    phone = before.device(ANDROID)
    tablet = before.device("pn-provider=fcm;pn-prid=tablet", "192.0.2.2")
    await sends(before, "bob", "one")
    phone.answers(200)
    assert texts(tablet)
    await before.proxy.stop()

    house = await restarted_house(open_kept_house)
    assert [push.token for push in house.service.pushes] == ["tablet"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_message_to_everyone_waits_for_each_under_an_own_address(open_kept_house: Any, restarted: bool) -> None:
    house = await open_kept_house()
    house.device(ANDROID)
    await sends(house, "everyone", "dinner")
    assert house.service.events == [PushEvent.MESSAGE]
    if restarted:
        await house.proxy.stop()
        house = await restarted_house(open_kept_house)
        assert house.service.events == [PushEvent.MESSAGE]
    woken = house.device(ANDROID, "192.0.2.1", age=0)
    assert texts(woken)


async def test_a_message_that_was_accepted_meanwhile_still_wakes_its_phone(open_kept_house: Any) -> None:
    house = await open_kept_house()
    house.device(ANDROID, age=0)  # it has just registered: it gets some seconds to answer by itself
    await sends(house, "bob", "one")
    assert house.caller.last_response.status == 202
    assert house.service.events == []
    house.proxy.advance(6)
    await house.settle()
    assert house.service.events == [PushEvent.MESSAGE]
