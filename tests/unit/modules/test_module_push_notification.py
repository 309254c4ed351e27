"""PushNotification: who is pushed, when, when not, and what the caller and the registrar learn of it."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from flexipy.modules.forward import Forward
from flexipy.modules.push_notification import PushNotification
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from flexipy.push.parameters import PushTarget
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest, PushResult
from flexipy.push.service import PushService
from flexipy.registrar.registrar import Registrar
from flexipy.sip.message import Response
from tests.harness.fake_network import FakeFlow, FakeProxy, request
from tests.unit.proxy.house import DOMAIN, House

VOIP = "a1" * 32
REMOTE = "b2" * 32
APPLE = f"pn-provider=apns;pn-param=TEAM.org.app.voip&remote;pn-prid={VOIP}:voip&{REMOTE}:remote"
NO_VOIP = f"pn-provider=apns;pn-param=TEAM.org.app.remote;pn-prid={REMOTE}:remote"
ANDROID = "pn-provider=fcm;pn-param=house;pn-prid=android-token"


class Recorder:
    """A push service that notes what it gets.

    Attributes:
        results: what to say to the next pushes; afterwards all are taken.
    """

    name = "recorder"
    features = {"apns": "", "fcm": ""}

    def __init__(self) -> None:
        self.pushes: list[PushRequest] = []
        self.results: list[PushResult] = []

    def refusal(self, target: PushTarget) -> str:
        return ""

    async def send(self, push: PushRequest) -> PushResult:
        self.pushes.append(push)
        return self.results.pop(0) if self.results else PushResult(Outcome.SENT, "200")

    async def close(self) -> None:
        pass

    @property
    def events(self) -> list[PushEvent]:
        return [push.event for push in self.pushes]


class PushHouse(House):
    """A house whose phones sleep."""

    def __init__(self, proxy: FakeProxy, service: Recorder) -> None:
        super().__init__(proxy)
        self.service = service
        self.registrar: Registrar = proxy.agent.services[Registrar]

    def age_all(self, seconds: float) -> None:
        """So much time passes for each registration."""
        for key in list(self.registrar.keys()):  # type: ignore[arg-type]
            record: Any = self.registrar.fetch(key, time.time())
            for binding in record.bindings:
                binding.updated_at -= seconds
                binding.expires_at -= seconds

    def device(
        self, parameters: str, ip: str = "192.0.2.1", age: float = 600, user: str = "bob", **more: Any
    ) -> FakeFlow:
        """A device registers over UDP, and has done so some time ago; returns its flow."""
        flow = self.proxy.client(ip)
        aor = f"<sip:{user}@{DOMAIN}>"
        contact = f'<sip:bob@{ip};{parameters}>;+sip.instance="<urn:uuid:{ip}>"{more.get("features", "")}'
        headers = [("Contact", contact), ("Expires", "3600")]
        headers += more.get("headers", ())
        self.cseq = getattr(self, "cseq", 0) + 1
        via = f"SIP/2.0/UDP {ip}:5060;rport"
        register = request("REGISTER", f"sip:{DOMAIN}", headers, via=via, sender=f"{aor};tag=1", to=aor, cseq=self.cseq)
        flow.sends(register)
        assert flow.last_response.status == 200
        binding = self.binding(ip, user)
        assert binding is not None
        binding.updated_at -= age
        return flow

    def binding(self, ip: str = "192.0.2.1", user: str = "bob") -> Any:
        record: Any = self.registrar.fetch(f"{user}@{DOMAIN}", time.time())
        return None if record is None else record.get(f"<urn:uuid:{ip}>")

    async def settle(self) -> None:
        await self.proxy.settle()


@pytest.fixture
def open_push_house(make_proxy: Any) -> Any:
    async def make(*settings: str) -> PushHouse:
        modules = [RegistrarModule, Router, PushNotification, Forward]
        late = "module::Router/fork-late=true"
        proxy = await make_proxy(modules, f"module::Registrar/reg-domains={DOMAIN}", late, *settings)
        recorder = Recorder()
        module = proxy.module(PushNotification)
        module.pushing.service = PushService([recorder], 100, proxy.agent.spawn, proxy.counters)
        return PushHouse(proxy, recorder)

    return make


# --- what is sent ----------------------------------------------------------------------------------------


async def test_a_call_wakes_the_device_by_its_voip_token(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE)
    house.calls()
    await house.settle()
    (push,) = house.service.pushes
    assert (push.kind, push.event, push.token) == (PushKind.VOIP, PushEvent.CALL, VOIP)
    assert (push.from_uri, push.to_uri) == ("sip:alice@example.org", f"sip:bob@{DOMAIN}")
    assert push.device == "urn:uuid:192.0.2.1"
    assert push.ttl == 90
    assert house.invite is not None
    assert push.call_id == house.invite.call_id.decode()


async def test_the_call_itself_goes_to_the_device_without_its_tokens(open_push_house: Any) -> None:
    house = await open_push_house()
    flow = house.device(APPLE)
    house.calls()
    assert flow.last_request.uri_raw == b"sip:bob@192.0.2.1"


async def test_a_message_is_a_notification(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE)
    house.calls([("Content-Type", "text/plain")], method="MESSAGE")
    await house.settle()
    (push,) = house.service.pushes
    assert (push.kind, push.event, push.token, push.text) == (PushKind.ALERT, PushEvent.MESSAGE, REMOTE, "IM_MSG")


@pytest.mark.parametrize("kind", ["application/im-iscomposing+xml", "message/imdn+xml"])
async def test_nobody_is_woken_because_somebody_types(open_push_house: Any, kind: str) -> None:
    house = await open_push_house()
    house.device(ANDROID)
    house.calls([("Content-Type", kind)], method="MESSAGE")
    await house.settle()
    assert house.service.pushes == []


async def test_voicemail_is_announced(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(ANDROID)
    for body in ("Messages-Waiting: no\r\n", "Messages-Waiting: yes\r\n"):
        house.caller.sends(request("NOTIFY", f"sip:bob@{DOMAIN}", [("Event", "message-summary")], body))
    await house.settle()
    assert house.service.events == [PushEvent.VOICEMAIL]


async def test_voicemail_is_not_announced_where_that_is_not_wanted(open_push_house: Any) -> None:
    house = await open_push_house("module::PushNotification/enable-message-summaries-pn=false")
    house.device(ANDROID)
    headers = [("Event", "message-summary")]
    house.caller.sends(request("NOTIFY", f"sip:bob@{DOMAIN}", headers, "Messages-Waiting: yes\r\n"))
    await house.settle()
    assert house.service.pushes == []


async def test_an_invitation_to_a_chat_does_not_ring(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE)
    house.calls([("Contact", "<sip:room@example.org>;isfocus;text")])
    await house.settle()
    (push,) = house.service.pushes
    assert (push.kind, push.text) == (PushKind.ALERT, "GC_MSG")


async def test_a_device_without_push_parameters_is_not_pushed(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device("transport=udp")
    house.calls()
    await house.settle()
    assert house.service.pushes == []


async def test_parameters_that_could_do_harm_are_counted_and_the_call_goes_on(open_push_house: Any) -> None:
    house = await open_push_house()
    flow = house.device("pn-provider=apns;pn-param=TEAM.org.app;pn-prid=zz%0d%0ax")
    house.calls()
    assert flow.last_request.method == b"INVITE"
    assert house.proxy.counters["push_bad_parameters"] == 1


async def test_the_callers_address_is_shown_where_that_is_wanted(open_push_house: Any) -> None:
    house = await open_push_house("module::PushNotification/display-from-uri=true")
    house.device(ANDROID)
    house.caller.sends(request("INVITE", f"sip:bob@{DOMAIN}", sender='"Door" <sip:door@example.org>;tag=1'))
    await house.settle()
    assert house.service.pushes[0].shown_name == "sip:door@example.org"


# --- when, and when not ----------------------------------------------------------------------------------


async def test_a_device_that_answers_in_time_is_not_pushed(open_push_house: Any) -> None:
    house = await open_push_house("module::PushNotification/timeout=5")
    flow = house.device(APPLE)
    house.calls()
    house.proxy.advance(2)
    flow.answers(180)
    house.proxy.advance(10)
    await house.settle()
    assert house.service.pushes == []
    assert house.proxy.counters["push_not_needed"] == 1


async def test_a_device_that_does_not_answer_in_time_is_pushed(open_push_house: Any) -> None:
    house = await open_push_house("module::PushNotification/timeout=5")
    house.device(APPLE)
    house.calls()
    house.proxy.advance(4)
    await house.settle()
    assert house.service.pushes == []
    house.proxy.advance(2)
    await house.settle()
    assert house.service.events == [PushEvent.CALL]


async def test_a_device_may_ask_for_more_time(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE + ";pn-timeout=7")
    house.calls()
    house.proxy.advance(6)
    await house.settle()
    assert house.service.pushes == []
    house.proxy.advance(2)
    await house.settle()
    assert house.service.events == [PushEvent.CALL]


async def test_a_device_whose_connection_is_gone_is_pushed_without_waiting(open_push_house: Any) -> None:
    house = await open_push_house("module::PushNotification/timeout=20")
    flow = house.device(APPLE)
    flow.refuses = True
    house.calls()
    await house.settle()
    assert house.service.events == [PushEvent.CALL]
    assert house.heard() == [110]


async def test_a_device_that_has_just_registered_is_awake(open_push_house: Any) -> None:
    house = await open_push_house()
    flow = house.device(APPLE, age=1)
    house.calls()
    house.proxy.advance(1)
    flow.answers(180)
    house.proxy.advance(20)
    await house.settle()
    assert house.service.pushes == []
    assert house.proxy.counters["push_not_needed"] == 1


async def test_a_device_that_has_just_registered_and_fell_asleep_is_pushed(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE, age=1)
    house.calls()
    house.proxy.advance(6)
    await house.settle()
    assert house.service.events == [PushEvent.CALL]


async def test_a_device_that_has_just_hung_up_its_connection_is_pushed_at_once(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE + ";transport=tcp", age=1)
    house.calls()
    await house.settle()
    assert house.service.events == [PushEvent.CALL]


async def test_nobody_is_pushed_for_a_call_that_was_taken_back(open_push_house: Any) -> None:
    house = await open_push_house("module::PushNotification/timeout=5")
    flow = house.device(APPLE)
    house.calls()
    house.hangs_up()
    flow.answers(487)
    house.proxy.advance(40)
    await house.settle()
    assert house.service.pushes == []


async def test_a_push_is_repeated_as_often_as_configured(open_push_house: Any) -> None:
    house = await open_push_house(
        "module::PushNotification/retransmission-count=2", "module::PushNotification/retransmission-interval=5"
    )
    house.device(APPLE)
    house.calls()
    house.proxy.advance(60)
    await house.settle()
    assert house.service.events == [PushEvent.CALL] * 3


async def test_a_push_is_not_repeated_to_a_device_that_shows_up(open_push_house: Any) -> None:
    house = await open_push_house("module::PushNotification/retransmission-count=5")
    house.device(APPLE)
    house.calls()
    await house.settle()
    house.device(APPLE, age=0)
    house.proxy.advance(60)
    await house.settle()
    assert house.service.events == [PushEvent.CALL]


async def test_notifications_ring_on_where_the_app_takes_no_voip_pushes(open_push_house: Any) -> None:
    house = await open_push_house("module::PushNotification/call-remote-push-interval=3")
    house.device(NO_VOIP)
    house.calls()
    house.proxy.advance(10)
    await house.settle()
    assert house.service.events == [PushEvent.CALL] * 4
    assert {push.kind for push in house.service.pushes} == {PushKind.ALERT}
    house.hangs_up()
    house.proxy.advance(40)
    await house.settle()
    assert house.service.events.count(PushEvent.CALL) == 4


# --- the waiting call ------------------------------------------------------------------------------------


async def test_the_caller_hears_that_a_push_was_sent(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE)
    house.calls()
    assert house.heard() == []
    await house.settle()
    assert house.heard() == [110]
    assert house.caller.last_response.reason == b"Push sent"
    assert house.caller.last_response.to.tag is None


async def test_the_caller_hears_ringing_where_the_push_itself_rings(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(NO_VOIP)
    house.calls()
    await house.settle()
    assert house.heard() == [110, 180]


async def test_the_caller_hears_nothing_of_pushes_where_that_is_not_wanted(open_push_house: Any) -> None:
    house = await open_push_house("module::Router/permit-self-generated-provisional-response=false")
    house.device(APPLE)
    house.calls()
    await house.settle()
    assert house.heard() == []


async def test_some_callers_need_a_tag(open_push_house: Any) -> None:
    house = await open_push_house("module::PushNotification/add-to-tag-filter=user-agent contains 'Old'")
    house.device(APPLE)
    house.calls([("User-Agent", "Old Phone")])
    await house.settle()
    assert house.caller.last_response.to.tag


async def test_the_call_goes_to_where_the_woken_app_registers(open_push_house: Any) -> None:
    house = await open_push_house()
    flow = house.device(APPLE)
    flow.refuses = True
    house.calls()
    await house.settle()
    woken = house.proxy.client("192.0.2.99")
    aor = f"<sip:bob@{DOMAIN}>"
    contact = f'<sip:bob@192.0.2.99;{APPLE}>;+sip.instance="<urn:uuid:192.0.2.1>"'
    via = "SIP/2.0/UDP 192.0.2.99:5060;rport"
    register = request(
        "REGISTER", f"sip:{DOMAIN}", [("Contact", contact), ("Expires", "60")], via=via, sender=aor, to=aor
    )
    register.set(b"from", f"From: {aor};tag=2".encode())
    woken.sends(register)
    assert [sent.method for sent in woken.requests] == [b"INVITE"]  # without anything awaited
    woken.answers(200)
    await house.settle()
    assert house.heard() == [110, 200]
    assert house.service.events == [PushEvent.CALL]


async def test_people_behind_a_static_record_are_resumed_too(open_push_house: Any, tmp_path: Any) -> None:
    routes = tmp_path / "routes"
    routes.write_text(f"<sip:everyone@{DOMAIN}> <sip:bob@{DOMAIN}>\n")
    house = await open_push_house(f"module::Registrar/static-records-file={routes}")
    flow = house.device(APPLE)
    house.calls(user="everyone")
    await house.settle()
    assert house.service.events == [PushEvent.CALL]
    flow.sent.clear()
    house.device("transport=udp;x=1;" + APPLE, age=0)
    assert [sent.method for sent in flow.requests].count(b"INVITE") == 1


async def test_a_push_that_the_service_refuses_is_not_announced(open_push_house: Any) -> None:
    house = await open_push_house()
    house.service.results = [PushResult(Outcome.REFUSED, "400 BadDeviceToken", "")]
    house.device(APPLE)
    house.calls()
    await house.settle()
    assert house.heard() == []


# --- how it ended ----------------------------------------------------------------------------------------


async def test_a_device_that_never_came_hears_that_the_call_was_missed(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE)
    house.calls()
    await house.settle()
    house.hangs_up()
    house.proxy.advance(40)
    await house.settle()
    assert house.service.events == [PushEvent.CALL, PushEvent.MISSED_CALL]
    ended = house.service.pushes[1]
    assert (ended.kind, ended.token) == (PushKind.BACKGROUND, REMOTE)
    assert ended.call_id == house.service.pushes[0].call_id
    assert ended.id != house.service.pushes[0].id


async def test_a_missed_call_is_shown_to_an_app_with_a_text_for_it(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE + ";pn-missed-str=MC_MSG")
    house.calls()
    await house.settle()
    house.hangs_up()
    house.proxy.advance(40)
    await house.settle()
    ended = house.service.pushes[1]
    assert (ended.kind, ended.text) == (PushKind.ALERT, "MC_MSG")


async def test_a_device_that_never_came_hears_that_another_answered(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE, "192.0.2.1")
    other = house.device("transport=udp", "192.0.2.2")
    house.calls()
    await house.settle()
    other.answers(200)
    house.proxy.advance(40)
    await house.settle()
    assert house.service.events == [PushEvent.CALL, PushEvent.ANSWERED_ELSEWHERE]


async def test_a_device_that_answered_hears_no_more(open_push_house: Any) -> None:
    house = await open_push_house()
    flow = house.device(APPLE)
    house.calls()
    await house.settle()
    flow.answers(486)
    house.proxy.advance(40)
    await house.settle()
    assert house.service.events == [PushEvent.CALL]


async def test_nothing_is_kept_of_a_call_that_is_over(open_push_house: Any) -> None:
    house = await open_push_house("module::PushNotification/timeout=5")
    for number in range(20):
        house.device(APPLE, f"192.0.2.{number + 1}")
    house.max = 20
    house.calls()
    house.hangs_up()
    house.proxy.advance(200)
    await house.settle()
    waking = house.proxy.module(PushNotification).pushing._waking
    assert (waking._forks, waking.patient) == ({}, {})


# --- dead tokens -----------------------------------------------------------------------------------------


async def test_a_device_whose_token_is_dead_is_forgotten(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE)
    house.service.results = [PushResult(Outcome.DEAD, "410 Unregistered", "", dead_since=time.time())]
    house.calls()
    await house.settle()
    assert house.binding() is None
    assert house.proxy.counters["push_dead_tokens"] == 1


async def test_a_device_that_registered_with_a_new_token_meanwhile_stays(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE)
    house.service.results = [PushResult(Outcome.DEAD, "410 Unregistered", "")]
    house.calls()
    house.device(APPLE.replace(VOIP, "c3" * 32), age=0)
    await house.settle()
    assert house.binding() is not None


async def test_a_token_that_died_before_the_device_registered_says_nothing(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(APPLE)
    house.service.results = [PushResult(Outcome.DEAD, "410 Unregistered", "", dead_since=time.time() - 9000)]
    house.calls()
    await house.settle()
    assert house.binding() is not None


# --- registrations ---------------------------------------------------------------------------------------


async def wake_up(house: PushHouse) -> None:
    await house.proxy.module(PushNotification).pushing._refreshing.look(house.registrar)
    await house.settle()


async def test_an_app_is_woken_before_its_registration_lapses(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(ANDROID, age=0)
    await wake_up(house)
    assert house.service.pushes == []
    binding = house.binding()
    binding.updated_at -= 2000
    binding.expires_at -= 2000
    await wake_up(house)
    (push,) = house.service.pushes
    assert (push.kind, push.event) == (PushKind.BACKGROUND, PushEvent.REFRESH)


async def test_an_app_that_is_gone_is_removed_when_it_is_to_be_woken(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(ANDROID, age=0)
    binding = house.binding()
    binding.updated_at -= 2000
    binding.expires_at -= 2000
    house.service.results = [PushResult(Outcome.DEAD, "404 UNREGISTERED", "")]
    await wake_up(house)
    assert house.binding() is None
    assert house.proxy.counters["push_dead_tokens"] == 1


async def test_many_apps_that_lapse_at_once_do_not_drop_each_other(open_push_house: Any) -> None:
    house = await open_push_house()
    for number in range(12):
        for user in "bcdefghijklm":
            house.device(f"pn-provider=fcm;pn-prid=t{number}{user}", f"192.0.2.{number + 1}", age=0, user=user)
    house.age_all(2000)
    await wake_up(house)
    assert len(house.service.pushes) == 144
    assert "push_recorder_dropped" not in house.proxy.counters


async def test_an_app_that_refreshes_by_itself_is_not_woken(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(ANDROID, age=0, features=';+sip.pnsreg="120"')
    binding = house.binding()
    binding.updated_at -= 2000
    binding.expires_at -= 2000
    await wake_up(house)
    assert house.service.pushes == []


async def test_nobody_rings_for_a_refresh(open_push_house: Any) -> None:
    house = await open_push_house()
    house.device(f"pn-provider=apns;pn-param=TEAM.org.app.voip;pn-prid={VOIP}", age=0)
    binding = house.binding()
    binding.updated_at -= 2000
    binding.expires_at -= 2000
    await wake_up(house)
    assert house.service.pushes == []


async def registers(make_proxy: Any, contact: str, *settings: str) -> Response:
    modules = [RegistrarModule, Router, PushNotification, Forward]
    web = "module::PushNotification/web-push=true"
    proxy = await make_proxy(modules, f"module::Registrar/reg-domains={DOMAIN}", web, *settings)
    flow = proxy.client("192.0.2.1")
    aor = f"<sip:bob@{DOMAIN}>"
    headers = [("Contact", contact), ("Expires", "3600")]
    flow.sends(request("REGISTER", f"sip:{DOMAIN}", headers, to=aor, sender=f"{aor};tag=1"))
    return flow.last_response


async def caps(make_proxy: Any, contact: str, *settings: str) -> list[str]:
    response = await registers(make_proxy, contact, *settings)
    assert response.status == 200
    return [value.decode() for value in response.get_all(b"feature-caps")]


async def test_an_app_hears_whether_it_can_be_pushed(make_proxy: Any) -> None:
    (found,) = await caps(make_proxy, "<sip:bob@192.0.2.1;pn-provider=webpush;pn-prid=https%3a//x.example/>")
    assert found.startswith('*;+sip.pns="webpush";+sip.vapid="B')
    assert ';+sip.pnspurr="' in found
    assert "pnsreg" not in found


async def test_an_app_that_asks_hears_of_all_services(make_proxy: Any) -> None:
    (found,) = await caps(make_proxy, "<sip:bob@192.0.2.1;pn-provider>")
    assert "pnspurr" not in found


async def test_a_service_of_ones_own_reaches_every_app(make_proxy: Any) -> None:
    external = "module::PushNotification/external-push-uri=http://127.0.0.1/"
    (found,) = await caps(make_proxy, "<sip:bob@192.0.2.1;pn-provider=ntfy;pn-prid=door>", external)
    assert found.startswith('*;+sip.pns="ntfy";')


async def test_an_app_that_renews_by_itself_hears_how_early(make_proxy: Any) -> None:
    contact = "<sip:bob@192.0.2.1;pn-provider=webpush;pn-prid=https%3a//x.example/>;+sip.pnsreg"
    (found,) = await caps(make_proxy, contact)
    assert found.endswith(';+sip.pnsreg="120"')
    (found,) = await caps(make_proxy, contact, "module::Registrar/force-expires=100")
    assert found.endswith(';+sip.pnsreg="50"')


async def test_an_app_of_another_service_is_registered_all_the_same(make_proxy: Any) -> None:
    assert await caps(make_proxy, "<sip:bob@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=token>") == []


async def test_an_app_of_another_service_is_refused_where_that_is_wanted(make_proxy: Any) -> None:
    strict = "module::PushNotification/refuse-unsupported-push=true"
    response = await registers(make_proxy, "<sip:bob@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=token>", strict)
    assert (response.status, response.reason) == (555, b"Push Notification Service Not Supported")
    assert response.get(b"feature-caps") == b'*;+sip.pns="webpush"'
    for contact in ("sip:bob@192.0.2.1", "sip:bob@192.0.2.1;pn-provider", "sip:bob@192.0.2.1;pn-provider=webpush"):
        assert (await registers(make_proxy, f"<{contact}>", strict)).status == 200


@pytest.mark.parametrize("parameters", ["", ";pn-provider=apns;pn-prid=" + VOIP, ";x=pn-provider"])
async def test_others_hear_nothing_of_pushes(make_proxy: Any, parameters: str) -> None:
    assert await caps(make_proxy, f"<sip:bob@192.0.2.1{parameters}>") == []


async def test_a_server_without_keys_says_so_in_one_line_and_works(
    make_proxy: Any, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    (tmp_path / "AuthKey_A.p8").write_text("broken")
    modules = [RegistrarModule, Router, PushNotification, Forward]
    domain = f"module::Registrar/reg-domains={DOMAIN}"
    await make_proxy(
        modules,
        domain,
        f"module::PushNotification/apple-certificate-dir={tmp_path}",
        "module::PushNotification/firebase-service-accounts=house:/nowhere.json nonsense",
        "module::PushNotification/external-push-uri=ftp://there/",
    )
    told = [record.getMessage() for record in caplog.records if record.name.endswith("PushNotification")]
    assert len(told) == 6, told
    assert "AuthKey_A.p8: not usable" in told[0]
    assert told[1] == "/nowhere.json: No such file or directory"
    assert "'nonsense' is not PROJECT:FILE" in told[2]
    assert "ftp://there/" in told[3]
    assert told[4] == "no push service can be used: nobody will be woken"
    assert "fork-late" in told[5]


def test_a_server_that_pushes_nothing_loads_nothing_for_it() -> None:
    code = "import sys, flexipy.servers.discovery as d; d.full_schema(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "flexipy.modules.push_notification" in loaded
    assert not [name for name in loaded if name.startswith("flexipy.push.")]
    assert not {"aioapns", "h2", "google.auth", "jwt", "OpenSSL"} & set(loaded)
