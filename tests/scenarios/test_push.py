"""The phone sleeps, the door rings: Apple's service wakes the app, the call has waited for it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest_asyncio

from tests.harness.fake_apns import ApplePush, FakeApns
from tests.harness.linphone import Linphone
from tests.harness.push_keys import signing_key
from tests.harness.server import Server, run_flexipy
from tests.harness.sip_phone import SipPhone

_VOIP = "a1" * 32
_REMOTE = "b2" * 32
_PUSH = f"pn-provider=apns;pn-param=TEAM123456.org.house.voip&remote;pn-prid={_VOIP}:voip&{_REMOTE}:remote"
_LATE = {"module::Router": {"fork-late": "true"}}


class PushHouse:
    """A server that pushes by a service on this machine."""

    def __init__(self, server: Server, apns: FakeApns) -> None:
        self.server = server
        self.apns = apns


@pytest_asyncio.fixture
async def push_house(place: Path) -> AsyncIterator[PushHouse]:
    server = Server(place / "house", _LATE, [("udp", "127.0.0.1"), ("tcp", "127.0.0.1")])
    async with FakeApns(place, server.authority) as apns:
        apns.trust("KEY1234567", "TEAM123456", signing_key(place / "keys"))
        push = {
            "enabled": "true",
            "apple-certificate-dir": str(place / "keys"),
            "apns-server": apns.address,
            "push-ca-file": str(server.authority.file),
        }
        server.write_configuration({"module::PushNotification": push})
        server.start()
        try:
            yield PushHouse(server, apns)
        finally:
            server.stop()


async def test_a_killed_linphone_is_pushed_and_talks(push_house: PushHouse, place: Path) -> None:
    server, apns = push_house.server, push_house.apns
    phone = Linphone(server, place, "bob", "tcp", contact_parameters=_PUSH)
    async with phone:
        pass  # it registers and is taken away, as a system does that needs the memory

    async with Linphone(server, place, "alice", tone=500) as alice:
        # The fake service is also the telephone's system: what wakes the app is the push.
        pushed: asyncio.Future[ApplePush] = asyncio.get_running_loop().create_future()
        apns.on_push = pushed.set_result
        await alice.call(phone.uri)
        push = await pushed
        assert push.token == _VOIP
        assert push.headers["apns-topic"] == "org.house.voip"
        assert push.payload["from-uri"] == alice.uri

        async with phone.again() as woken:
            await woken.incoming()
            await woken.answer()
            await asyncio.gather(alice.established(), woken.established())
            await asyncio.gather(alice.talk(), woken.talk())
            await asyncio.gather(alice.receives_audio(), woken.receives_audio())
            await alice.command("terminate")
            await asyncio.gather(alice.ended(), woken.ended())


async def test_the_call_is_resumed_at_once_when_the_app_registers(push_house: PushHouse) -> None:
    server, apns = push_house.server, push_house.apns
    instance = ';+sip.instance="<urn:uuid:7f0e6a52-0c1b-4d2e-8b1a-4b5ed1c0f0aa>"'
    async with SipPhone(server, "carol") as carol:
        async with SipPhone(server, "dave", "tcp") as asleep:
            asleep.contact += f";{_PUSH}"
            await asleep.register(parameters=instance)
        call = await carol.invite(asleep.uri)
        sent = await call.response(110)
        assert sent.reason == b"Push sent"
        await apns.pushed("call")
        async with SipPhone(server, "dave", "tcp") as awake:
            awake.contact += f";{_PUSH}"
            await awake.register(parameters=instance)
            registered = time.perf_counter()
            incoming = await awake.incoming("INVITE")
            assert time.perf_counter() - registered < 0.5  # no pause between looks would be so short
            assert b"pn-" not in incoming.request.uri_raw
            incoming.answer(200)
            assert (await call.final()).status == 200
    assert len(apns.pushes.seen) == 1


async def test_a_message_is_announced_and_delivered(push_house: PushHouse, place: Path) -> None:
    phone = Linphone(push_house.server, place, "bob", "tcp", contact_parameters=_PUSH)
    async with phone:
        pass
    async with SipPhone(push_house.server, "carol") as carol:
        assert (await carol.message(phone.uri, "the parcel is here")).status == 202
        push = await push_house.apns.pushed("message")
        assert push.headers["apns-push-type"] == "alert"
        async with phone.again() as woken:
            assert "the parcel is here" in await woken.event("message-received")


async def test_a_phone_without_its_app_is_forgotten(push_house: PushHouse) -> None:
    server, apns = push_house.server, push_house.apns
    apns.answers[_VOIP] = (410, "Unregistered")
    async with SipPhone(server, "dave", "tcp") as asleep:
        asleep.contact += f";{_PUSH}"
        await asleep.register()
    async with SipPhone(server, "carol") as carol:
        call = await carol.invite(asleep.uri)
        await server.logs("its push token is dead")
        assert "not found" in server.cli(f"REGISTRAR_GET {asleep.uri}")
        call.cancel()
        await call.final()


async def test_an_operator_tries_a_push(push_house: PushHouse) -> None:
    server, apns = push_house.server, push_house.apns
    async with SipPhone(server, "dave", "tcp") as dave, SipPhone(server, "dave") as desk:
        dave.contact += f";{_PUSH}"
        await dave.register()
        await desk.register()
        said = [json.loads(await asyncio.to_thread(server.cli, f"PUSH_TEST {dave.uri}"))]
        apns.next_answers.append((400, "BadDeviceToken"))
        said.append(json.loads(await asyncio.to_thread(server.cli, f"PUSH_TEST {dave.uri} alert")))
    by_phone, on_desk = said[0]
    assert (by_phone["service"], by_phone["kind"], by_phone["outcome"], by_phone["answer"]) == (
        "apple",
        "voip",
        "sent",
        "200",
    )
    assert "no push parameters" in on_desk["meaning"]
    assert (said[1][0]["kind"], said[1][0]["answer"]) == ("alert", "400 BadDeviceToken")
    assert "apns.dev" in said[1][0]["meaning"]
    assert "usage" in await asyncio.to_thread(server.cli, f"PUSH_TEST {dave.uri} loud")


async def test_a_push_from_the_command_line(push_house: PushHouse) -> None:
    server, apns = push_house.server, push_house.apns
    run = partial(run_flexipy, "pusher", "-c", str(server.configuration), directory=server.directory)
    status, told = await asyncio.to_thread(run, "--contact", f"sip:bob@192.0.2.7;{_PUSH}")
    assert (status, told.partition(" after")[0]) == (0, "taken: apple answered"), told
    apns.answers[_VOIP] = (410, "Unregistered")
    token = ("--pn-provider", "apns", "--pn-param", "TEAM123456.org.house.voip", "--pn-prid", _VOIP)
    status, told = await asyncio.to_thread(run, *token)
    assert status == 1
    assert told.startswith("dead: apple answered")
    assert "410 Unregistered: the app was removed" in told
    status, told = await asyncio.to_thread(run, "--pn-provider", "fcm", "--pn-prid", "x")
    assert (status, told.partition(":")[0]) == (1, "not sent")
    status, told = await asyncio.to_thread(run, "--contact", "nonsense")
    assert (status, told.partition(": not")[0]) == (1, "flexipy pusher")


async def test_a_server_whose_push_service_cannot_be_reached_works_for_the_rest(push_house: PushHouse) -> None:
    server, apns = push_house.server, push_house.apns
    await apns.stop()
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as desk:
        async with SipPhone(server, "dave", "tcp") as asleep:
            asleep.contact += f";{_PUSH}"
            await asleep.register()
        await desk.register()
        call = await carol.invite(desk.uri)
        (await desk.incoming("INVITE")).answer(200)
        assert (await call.final()).status == 200
    await apns.start()
