"""Requests within a call whose device sleeps: they wake it, wait, and go where it came back (RFC 8599 section 6)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from flexipy.modules.forward import Forward
from flexipy.modules.nat_helper import NatHelper
from flexipy.modules.push_notification import PushNotification
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from flexipy.push.request import PushEvent
from flexipy.push.service import PushService
from flexipy.registrar.purr import Purrs
from flexipy.sip.message import Request
from tests.harness.fake_network import FakeFlow, FakeProxy, request
from tests.unit.modules.test_module_push_notification import ANDROID, PushHouse, Recorder
from tests.unit.proxy.house import DOMAIN

INSTANCE = "<urn:uuid:00000000-0000-1000-8000-000000000001>"
BEFORE = "sip:bob@192.0.2.1:40001;transport=tcp"
GRUU = f"sip:bob@{DOMAIN};gr={INSTANCE[1:-1]}"
_numbers = itertools.count(1)


class CallHouse(PushHouse):
    """A house with a phone that sleeps while it is in a call."""

    def registers(self, flow: FakeFlow, headers: tuple[tuple[str, str], ...] = ()) -> str:
        """The phone registers over a flow; the reference that it is given."""
        transport = flow.transport.decode()
        ip, port = flow.remote
        contact = f"<sip:bob@{ip}:{port};transport={transport.lower()};{ANDROID}>"
        aor = f"<sip:bob@{DOMAIN}>"
        flow.sends(
            request(
                "REGISTER",
                f"sip:{DOMAIN}",
                [("Contact", f'{contact};+sip.instance="{INSTANCE}"'), ("Expires", "3600"), *headers],
                via=f"SIP/2.0/{transport} {ip}:{port};rport",
                sender=f"{aor};tag=1",
                to=aor,
                cseq=next(_numbers),
            )
        )
        assert flow.last_response.status == 200
        caps = (flow.last_response.get(b"feature-caps") or b"").decode()
        return caps.partition('+sip.pnspurr="')[2].partition('"')[0]

    def loses(self, flow: FakeFlow) -> None:
        """The phone's connection ends, and no other leads to it."""
        self.proxy.network.unreachable.add(flow.remote)
        flow.close()

    def sleeps(self) -> None:
        """Some time has passed since it registered."""
        record: Any = self.registrar.fetch(f"bob@{DOMAIN}", 0.0)
        record.bindings[0].updated_at -= 600

    def calls_phone(self, flow: FakeFlow) -> list[str]:
        """A call to the phone is answered; the Routes of the caller."""
        self.calls()
        assert self.invite is not None
        flow.answers(200, [("Contact", f"<{BEFORE}>")])
        asked = flow.last_request
        return [value.decode() for value in reversed(asked.get_all(b"record-route"))]

    def within(self, method: str, target: str, routes: list[str]) -> Request:
        """The caller sends a request within the call."""
        assert self.invite is not None
        sent = request(
            method,
            target,
            [("Route", route) for route in routes],
            to=f"<sip:bob@{DOMAIN}>;tag=of-bob",
            call_id=self.invite.call_id.decode(),
            cseq=next(_numbers) + 1000,
        )
        self.caller.sends(sent)
        return sent

    def answers_heard(self, method: str) -> list[int]:
        return [each.status for each in self.caller.responses if each.cseq.method == method and each.status > 100][1:]

    @property
    def events(self) -> list[PushEvent]:
        return self.service.events


def methods(flow: FakeFlow) -> list[str]:
    return [each.method.decode() for each in flow.requests]


@pytest.fixture
def open_call_house(make_proxy: Any) -> Any:
    async def make(*settings: str) -> CallHouse:
        modules = [NatHelper, RegistrarModule, Router, PushNotification, Forward]
        late = "module::Router/fork-late=true"
        proxy: FakeProxy = await make_proxy(modules, f"module::Registrar/reg-domains={DOMAIN}", late, *settings)
        recorder = Recorder()
        module = proxy.module(PushNotification)
        module.pushing.service = PushService([recorder], 100, proxy.agent.spawn, proxy.counters)
        return CallHouse(proxy, recorder)

    return make


@pytest.mark.parametrize("strategy", ["contact-correction", "flow-token"])
async def test_a_hold_wakes_a_phone_whose_connection_is_gone_and_waits_for_it(
    open_call_house: Any, strategy: str
) -> None:
    nat = f"module::NatHelper/nat-traversal-strategy={strategy}"
    house = await open_call_house(nat, "module::NatHelper/force-flow-token=true")
    before = house.proxy.client("192.0.2.1", 40001, b"TCP")
    house.registers(before)
    routes = house.calls_phone(before)
    house.sleeps()
    house.loses(before)
    house.within("INVITE", BEFORE, routes)
    await house.settle()
    assert house.events[-1] is PushEvent.REQUEST
    assert house.answers_heard("INVITE") == []

    after = house.proxy.client("192.0.2.77", 40002, b"TCP")
    house.registers(after)
    assert methods(after) == ["INVITE"]
    assert after.last_request.uri_raw.startswith(b"sip:bob@192.0.2.77:40002")
    after.answers(200)
    assert house.answers_heard("INVITE") == [200]
    house.within("ACK", BEFORE, routes)
    house.within("BYE", BEFORE, routes)
    assert methods(after) == ["INVITE", "ACK", "BYE"]
    after.answers(200)
    assert house.answers_heard("BYE") == [] or house.caller.last_response.status == 200


async def test_a_reference_in_its_contact_leads_to_where_the_phone_is_now(open_call_house: Any) -> None:
    house = await open_call_house()
    before = house.proxy.client("192.0.2.1")
    purr = house.registers(before)
    assert purr
    routes = house.calls_phone(before)
    after = house.proxy.client("192.0.2.88")
    assert house.registers(after) == purr
    house.within("BYE", f"sip:bob@192.0.2.1:5060;pn-purr={purr}", routes)
    assert methods(after) == ["BYE"]
    assert b"pn-prid" not in after.last_request.uri_raw
    after.answers(200)
    assert house.caller.last_response.status == 200


async def test_a_phone_in_a_call_that_answers_is_not_pushed(open_call_house: Any) -> None:
    house = await open_call_house()
    flow = house.proxy.client("192.0.2.1")
    purr = house.registers(flow)
    routes = house.calls_phone(flow)
    house.sleeps()
    pushed = len(house.events)
    house.within("BYE", f"sip:bob@192.0.2.1:5060;pn-purr={purr}", routes)
    flow.answers(200)
    house.proxy.advance(10)
    await house.settle()
    assert house.caller.last_response.status == 200
    assert len(house.events) == pushed


async def test_a_phone_in_a_call_that_does_not_answer_is_pushed(open_call_house: Any) -> None:
    house = await open_call_house()
    flow = house.proxy.client("192.0.2.1")
    purr = house.registers(flow)
    routes = house.calls_phone(flow)
    house.sleeps()
    house.within("INFO", f"sip:bob@192.0.2.1:5060;pn-purr={purr}", routes)
    house.proxy.advance(3)
    await house.settle()
    assert house.events[-1] is PushEvent.REQUEST
    after = house.proxy.client("192.0.2.5")
    house.registers(after)
    after.answers(200)
    assert house.caller.last_response.status == 200


async def test_a_phone_that_does_not_come_back_is_given_up_before_the_sender_gives_up(open_call_house: Any) -> None:
    house = await open_call_house()
    before = house.proxy.client("192.0.2.1", 40001, b"TCP")
    house.registers(before)
    routes = house.calls_phone(before)
    house.loses(before)
    house.within("BYE", BEFORE, routes)
    await house.settle()
    house.proxy.advance(30)
    assert house.caller.last_response.cseq.method != "BYE"
    house.proxy.advance(1.5)
    assert (house.caller.last_response.cseq.method, house.caller.last_response.status) == ("BYE", 480)
    house.proxy.advance(100)
    assert house.open_transactions == 0


async def test_a_request_to_a_gruu_within_a_call_waits_too(open_call_house: Any) -> None:
    house = await open_call_house()
    before = house.proxy.client("192.0.2.1", 40001, b"TCP")
    house.registers(before, (("Supported", "gruu"),))
    routes = house.calls_phone(before)
    house.loses(before)
    house.within("BYE", GRUU, routes)
    await house.settle()
    after = house.proxy.client("192.0.2.6", 40002, b"TCP")
    house.registers(after, (("Supported", "gruu"),))
    after.answers(200)
    assert (house.caller.last_response.cseq.method, house.caller.last_response.status) == ("BYE", 200)


async def test_another_device_of_the_same_person_does_not_get_the_request(open_call_house: Any) -> None:
    house = await open_call_house()
    before = house.proxy.client("192.0.2.1", 40001, b"TCP")
    house.registers(before)
    routes = house.calls_phone(before)
    house.loses(before)
    house.within("BYE", BEFORE, routes)
    other = house.device("pn-provider=fcm;pn-prid=other", "192.0.2.44")
    assert methods(other) == []


async def test_without_waiting_calls_nothing_waits(open_call_house: Any) -> None:
    house = await open_call_house("module::Router/fork-late=false")
    before = house.proxy.client("192.0.2.1", 40001, b"TCP")
    house.registers(before)
    routes = house.calls_phone(before)
    house.loses(before)
    house.within("BYE", BEFORE, routes)
    await house.settle()
    assert house.caller.last_response.cseq.method == "BYE"


@pytest.mark.parametrize("forged", ["x", "A" * 60, "A" * 5000, "%00", "="])
async def test_a_reference_that_is_not_ours_changes_nothing(open_call_house: Any, forged: str) -> None:
    house = await open_call_house()
    flow = house.proxy.client("192.0.2.1")
    house.registers(flow)
    routes = house.calls_phone(flow)
    house.within("BYE", f"sip:bob@192.0.2.1:5060;pn-purr={forged}", routes)
    assert methods(flow)[-1] == "BYE"


async def test_a_ringing_phone_that_registers_again_is_not_called_twice(open_call_house: Any) -> None:
    house = await open_call_house()
    flow = house.proxy.client("192.0.2.1")
    house.registers(flow)
    house.calls()
    flow.answers(180)
    house.registers(flow)
    assert methods(flow) == ["INVITE"]


def test_a_reference_can_be_neither_read_nor_altered() -> None:
    purrs = Purrs(b"s" * 16)
    made = purrs.make("bob@house.test", INSTANCE)
    assert purrs.read(made) == ("bob@house.test", INSTANCE)
    assert "bob" not in made
    for place in range(0, len(made), 7):
        other = "A" if made[place] != "A" else "B"
        assert purrs.read(made[:place] + other + made[place + 1 :]) is None
    assert Purrs(b"t" * 16).read(made) is None
