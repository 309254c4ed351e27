"""Android and browsers are woken as iPhones are; keys are exchanged and the sending process dies without harm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.harness.events import until
from tests.harness.fake_apns import FakeApns
from tests.harness.fake_fcm import FakeFcm
from tests.harness.fake_webpush import FakeWebPush
from tests.harness.push_keys import signing_key
from tests.harness.server import Server, children, python_path
from tests.harness.sip_phone import Incoming, SipPhone, Transaction

_ROOT = Path(__file__).parents[2]
_INSTANCE = ';+sip.instance="<urn:uuid:7f0e6a52-0c1b-4d2e-8b1a-4b5ed1c0f0aa>"'
_APPLE = f"pn-provider=apns;pn-param=TEAM123456.org.house.voip;pn-prid={'a1' * 32}"


def _server(place: Path) -> Server:
    late = {"module::Router": {"fork-late": "true"}}
    return Server(place / "house", late, [("udp", "127.0.0.1"), ("tcp", "127.0.0.1")])


@contextlib.asynccontextmanager
async def _pushing(server: Server, settings: dict[str, str]) -> AsyncIterator[Server]:
    authority = {"enabled": "true", "push-ca-file": str(server.authority.file), "apple": "false"}
    server.write_configuration({"module::PushNotification": authority | settings})
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def _goes_to_sleep(server: Server, push: str) -> str:
    """A phone registers and loses its connection; its address."""
    async with SipPhone(server, "dave", "tcp") as asleep:
        asleep.contact += f";{push}"
        await asleep.register(parameters=_INSTANCE)
    return asleep.uri


async def _wakes_and_answers(server: Server, push: str, call: Transaction) -> None:
    async with SipPhone(server, "dave", "tcp") as awake:
        awake.contact += f";{push}"
        await awake.register(parameters=_INSTANCE)
        incoming = await awake.incoming("INVITE")
        assert b"pn-" not in incoming.request.uri_raw
        incoming.answer(200)
        assert (await call.final()).status == 200


async def test_an_android_phone_is_woken_by_firebase(place: Path) -> None:
    server = _server(place)
    async with FakeFcm(place, server.authority) as google:
        account = f"house:{google.account()}"
        settings = {"firebase-service-accounts": account, "firebase-server": google.address}
        async with _pushing(server, settings), SipPhone(server, "carol") as carol:
            push = "pn-provider=fcm;pn-param=house;pn-prid=dGVzdA:APA91b"
            call = await carol.invite(await _goes_to_sleep(server, push))
            await call.response(110)
            pushed = await google.pushes.take(lambda _: True, "push")
            assert (pushed.project, pushed.token) == ("house", "dGVzdA:APA91b")
            assert pushed.message["android"] == {"priority": "high", "ttl": "90s"}
            assert pushed.message["data"]["event"] == "call"
            assert pushed.message["data"]["from-uri"] == carol.uri
            await _wakes_and_answers(server, push, call)


async def test_a_browser_subscribes_with_the_key_of_the_answer_and_is_woken(place: Path) -> None:
    server = _server(place)
    async with FakeWebPush(place, server.authority) as service:
        settings = {
            "web-push": "true",
            "web-push-services": service.address,
            "web-push-contact": "mailto:me@house.test",
        }
        async with _pushing(server, settings), SipPhone(server, "carol") as carol:
            async with SipPhone(server, "dave", "tcp") as asking:
                asking.contact += ";pn-provider=webpush"
                caps = (await asking.register()).require(b"feature-caps").decode()
                await asking.register(expires=0)
            key = caps.partition('+sip.vapid="')[2].partition('"')[0]
            push = service.subscribe(key)
            call = await carol.invite(await _goes_to_sleep(server, push))
            await call.response(110)
            pushed = await service.pushes.take(lambda _: True, "push")
            assert (pushed.content["event"], pushed.content["from-uri"]) == ("call", carol.uri)
            assert (pushed.headers["ttl"], pushed.headers["urgency"]) == ("90", "high")
            await _wakes_and_answers(server, push, call)


@contextlib.asynccontextmanager
async def _with_apple(place: Path) -> AsyncIterator[tuple[Server, FakeApns]]:
    server = _server(place)
    async with FakeApns(place, server.authority) as apns:
        apns.trust("KEY1234567", "TEAM123456", signing_key(place / "keys"))
        settings = {"apple": "true", "apple-certificate-dir": str(place / "keys"), "apns-server": apns.address}
        async with _pushing(server, settings):
            yield server, apns


async def test_new_keys_serve_after_a_reload_and_spoilt_ones_do_not(place: Path) -> None:
    async with _with_apple(place) as (server, apns), SipPhone(server, "carol") as carol:
        uri = await _goes_to_sleep(server, _APPLE)
        first = place / "keys" / "AuthKey_KEY1234567.p8"
        first.write_text("spoilt")
        await server.all_log("push keys were read")
        await server.reload()
        await server.all_log("push keys were read")
        await server.all_log("no signing key in it; the old one is used")
        call = await carol.invite(uri)
        await apns.pushed("call")
        call.cancel()
        await call.final()

        first.unlink()
        apns.trust("NEW1234567", "TEAM123456", signing_key(place / "keys", "NEW1234567"))
        # Apple gave the old key up: from now on only the new one is taken.
        apns.distrust("KEY1234567")
        await server.reload()
        await server.all_log("push keys were read")
        call = await carol.invite(uri)
        await apns.pushed("call")
        call.cancel()
        await call.final()


def _senders_of(server: Server) -> set[int]:
    """The processes that send pushes, one for each worker."""
    return {child for process in server.processes for child in children(int(process.name))}


async def test_the_sending_process_may_die(place: Path) -> None:
    async with _with_apple(place) as (server, apns), SipPhone(server, "carol") as carol:
        uri = await _goes_to_sleep(server, _APPLE)
        apns.silent = True
        call = await carol.invite(uri)
        before = _senders_of(server)
        for sender in before:
            os.kill(sender, signal.SIGKILL)
        apns.silent = False
        await apns.pushed("call")
        assert _senders_of(server) != before
        await _wakes_and_answers(server, _APPLE, call)


async def test_the_sending_process_leaves_with_a_killed_server(place: Path) -> None:
    server = _server(place)
    async with FakeWebPush(place, server.authority):
        server.write_configuration({"module::PushNotification": {"enabled": "true", "web-push": "true"}})
        server.start()
        senders = _senders_of(server)
        assert len(senders) == server.workers
        server.kill9()
        await until(lambda: not any(map(_runs, senders)), "the senders are gone")


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"


async def test_a_call_on_hold_waits_for_the_phone_that_fell_asleep(place: Path) -> None:
    async with _with_apple(place) as (server, apns), SipPhone(server, "carol") as carol:
        push = f"{_APPLE}:voip&{'b2' * 32}:remote"
        async with SipPhone(server, "dave", "tcp") as dave:
            dave.contact += f";{push}"
            await dave.register(parameters=_INSTANCE)
            call = await carol.invite(dave.uri)
            (await dave.incoming("INVITE")).answer(200)
            dialog = await carol.connected(call)
            await dave.incoming("ACK")
        hold = asyncio.ensure_future(dialog.request("INVITE"))
        assert (await apns.pushed("request")).headers["apns-push-type"] == "background"
        async with SipPhone(server, "dave", "tcp") as back:
            back.contact += f";{push}"
            await back.register(parameters=_INSTANCE)
            resumed: Incoming = await back.incoming("INVITE")
            assert b";tag=" in resumed.request.require(b"to")
            resumed.answer(200)
            assert (await hold).status == 200
            await back.incoming("ACK")
            bye = asyncio.ensure_future(dialog.bye())
            (await back.incoming("BYE")).answer(200)
            assert (await bye).status == 200


async def test_the_demo_plays_and_tells_what_an_operator_sees() -> None:
    command = (sys.executable, str(_ROOT / "examples/sleeping-phone/demo.py"))
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, "PYTHONPATH": python_path()}, stdout=asyncio.subprocess.PIPE
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0
    for expected in (
        "POST voip",
        "door and phone hear each other",
        "sent  200",
        "410 Unregistered",
        "cannot be reached",
    ):
        assert expected in said, said
