"""Several workers: phones at one find phones at another, and one that dies takes nothing along but its connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flexipy.sip import names as H
from tests.harness.classic_bpf import kernel_steers
from tests.harness.events import PATIENCE
from tests.harness.server import DOMAIN, LEAVES_WITHIN, Server
from tests.harness.sip_phone import SipPhone

_USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "door", "screen")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of three workers."""
    server = Server(tmp_path_factory.mktemp("house"), {"global": {"workers": "3"}}).start()
    yield server
    server.stop()


@pytest.fixture
def own(place: Path) -> Iterator[Server]:
    """A server of two workers that a test may do anything to."""
    server = Server(place / "house", {"global": {"workers": "2"}}).start()
    yield server
    if server.program is not None:
        server.stop()


def _counters(server: Server) -> dict[str, int]:
    counters: dict[str, int] = json.loads(server.cli("COUNTERS"))
    return counters


def _workers(server: Server) -> dict[int, int]:
    """Process ids by the number of the worker, as the log tells them; the last one counts."""
    assert server.program is not None
    found = [re.search(r"worker (\d+) is ready, process (\d+)$", line) for line in server.program.output.seen]
    return {int(match[1]): int(match[2]) for match in found if match is not None}


async def _killed(server: Server, number: int) -> None:
    """Kill a worker and wait until another has taken its place."""
    process = _workers(server)[number]
    os.kill(process, signal.SIGKILL)
    while _workers(server)[number] == process:
        await server.logs(rf"worker {number} is ready, process")


async def _gone(process: int) -> None:
    """Wait for the end of a process that is no child of ours."""
    descriptor = os.pidfd_open(process)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    async with asyncio.timeout(PATIENCE):
        await ended.wait()
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)


async def _talk(caller: SipPhone, callee: SipPhone) -> None:
    """A call from beginning to end."""
    call = await caller.invite(callee.uri)
    invite = await callee.incoming("INVITE")
    invite.answer(180)
    await call.response(180)
    invite.answer(200)
    dialog = await caller.connected(call)
    await callee.incoming("ACK")
    bye = asyncio.create_task(dialog.bye())
    (await callee.incoming("BYE")).answer(200)
    assert (await bye).status == 200


async def test_every_phone_reaches_every_other_over_every_transport(server: Server) -> None:
    transports = ("udp", "tcp", "tls", "ws", "wss")
    async with contextlib.AsyncExitStack() as stack:
        phones = [
            await stack.enter_async_context(SipPhone(server, user, transports[place % 5]))
            for place, user in enumerate(_USERS)
        ]
        for phone in phones:
            await phone.register()
        for caller, callee in zip(phones, [*phones[3:], *phones[:3]], strict=True):
            await _talk(caller, callee)
    counters = _counters(server)
    assert counters["workers_handed_over"] > 0
    assert counters["workers_messages_lost"] == 0
    assert counters.get("stray_responses", 0) == 0


async def test_a_phone_is_found_as_soon_as_it_is_registered(server: Server) -> None:
    async with SipPhone(server, "carol") as carol:
        for _ in range(12):  # each from another port, so that every pair of workers has its turn
            async with SipPhone(server, "dave") as dave:
                await dave.register()
                call = await carol.invite(dave.uri)
                (await dave.incoming("INVITE")).answer(486)
                assert (await call.final()).status == 486
                await dave.register(expires=0)
                assert (await (await carol.invite(dave.uri)).final()).status == 480


async def test_a_cancel_that_comes_another_way_finds_its_call(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave", "tcp") as dave:
        await dave.register()
        for _ in range(6):
            call = await carol.invite(dave.uri)
            invite = await dave.incoming("INVITE")
            invite.answer(180)
            await call.response(180)
            async with SipPhone(server, "carol") as elsewhere:
                call.phone = elsewhere
                assert (await call.cancel().final()).status == 200
            await dave.incoming("CANCEL")
            invite.answer(487)
            assert (await call.final()).status == 487
            call.phone = carol


async def test_counters_are_those_of_all_workers(server: Server) -> None:
    before = _counters(server).get("wrong_passwords", 0)
    for _ in range(9):
        async with SipPhone(server, "frank", password="wrong") as frank:
            assert (await frank.register()).status == 403
    assert _counters(server)["wrong_passwords"] == before + 9


async def test_an_answer_to_a_challenge_counts_once_at_whichever_worker(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as dave:
        await dave.register()
        call = await carol.invite(dave.uri)
        (await dave.incoming("INVITE")).answer(486)
        assert (await call.final()).status == 486
        for _ in range(9):  # somebody who overheard it calls in her name
            stolen = call.request.copy()
            stolen.set(H.CALL_ID, b"Call-ID: " + secrets.token_hex(8).encode())
            branch = stolen.top_via_raw.partition(b";branch=")[0] + b";branch=z9hG4bK" + secrets.token_hex(8).encode()
            stolen.set(H.VIA, b"Via: " + branch)
            answered = await carol.send(stolen).final()
            assert answered.status == 407
            assert b"stale=true" in answered.require(H.PROXY_AUTHENTICATE)


async def test_guesses_are_counted_by_all_workers_together(own: Server) -> None:
    async with SipPhone(own, "frank", password="wrong") as frank:
        for _ in range(12):
            call = await frank.invite(f"sip:dave@{DOMAIN}")
            assert (await call.final()).status == 403
        last = await (await frank.invite(f"sip:dave@{DOMAIN}")).final()
        assert last.get(H.RETRY_AFTER) is not None
        bans = json.loads(own.cli("BANS"))
        assert len(bans) == len({ban["key"] for ban in bans}) > 0
        assert own.cli(f"UNBAN '{bans[0]['key']}'").startswith("Done")
        assert bans[0]["key"] not in [ban["key"] for ban in json.loads(own.cli("BANS"))]


async def test_commands_reach_the_worker_that_they_concern(server: Server) -> None:
    for user in _USERS:
        answer = server.cli(f"REGISTRAR_UPSERT sip:{user}@{DOMAIN} sip:{user}@192.0.2.1 600 desk")
        assert json.loads(answer)["contacts"][0]["unique-id"] == "desk"
    assert json.loads(server.cli("REGISTRAR_DUMP"))["aors"] == sorted(f"{user}@{DOMAIN}" for user in _USERS)
    for user in _USERS:
        assert "1 contacts removed" in server.cli(f"REGISTRAR_CLEAR sip:{user}@{DOMAIN}")
    assert json.loads(server.cli("REGISTRAR_DUMP"))["aors"] == []
    assert "debug" in server.cli("CONFIG_SET global/log-level debug")
    assert server.cli("REGISTRAR_CLEAR nothing:x@@").startswith(("Error", "Done"))


async def test_a_phone_that_registers_while_it_is_called_rings(own: Server) -> None:
    own.write_configuration({"module::Router": {"fork-late": "true"}})
    own.restart()
    async with SipPhone(own, "carol") as carol:
        for _ in range(4):
            call = await carol.invite(f"sip:dave@{DOMAIN}")
            async with SipPhone(own, "dave", "tcp") as dave:
                await call.response(100)
                await dave.register()
                (await dave.incoming("INVITE")).answer(603)
                assert (await call.final()).status == 603
                await dave.register(expires=0)


async def test_a_worker_that_dies_is_replaced_and_knows_who_is_registered(own: Server) -> None:
    async with SipPhone(own, "carol") as carol, SipPhone(own, "dave") as dave:
        await carol.register()
        await dave.register()
        await _talk(carol, dave)
        for number in (1, 0, 1):
            await _killed(own, number)
            assert json.loads(own.cli("REGISTRAR_DUMP"))["aors"] == [f"carol@{DOMAIN}", f"dave@{DOMAIN}"]
            for _ in range(3):
                await _talk(carol, dave)
                await _talk(dave, carol)


async def _talked_without_help(server: Server, *pair: SipPhone) -> None:
    """Several calls of which nothing came to another worker than the one that it belonged to."""
    before = _counters(server)["workers_handed_over"]
    for _ in range(8):
        await _talk(*pair)
    assert _counters(server)["workers_handed_over"] == before


@pytest.mark.skipif(not kernel_steers(), reason="the kernel takes no programs")
async def test_the_kernel_gives_what_comes_by_udp_to_the_worker_it_belongs_to(own: Server) -> None:
    async with SipPhone(own, "carol") as carol, SipPhone(own, "dave") as dave:
        await carol.register()
        await dave.register()
        await _talked_without_help(own, carol, dave)
        for number in (0, 1):
            await _killed(own, number)
            await _talked_without_help(own, dave, carol)


async def test_a_connection_that_died_with_its_worker_is_known_to_be_gone(own: Server) -> None:
    async with SipPhone(own, "carol") as carol:
        phones = [SipPhone(own, user, "tcp") for user in ("dave", "erin", "frank", "door")]
        for phone in phones:
            await phone.connect()
            await phone.register()
        await _killed(own, 1)
        for phone in phones:
            call = await carol.invite(phone.uri)
            if phone.wire.closed.is_set():
                assert (await call.final()).status in (408, 480, 500)
            else:
                (await phone.incoming("INVITE")).answer(486)
                assert (await call.final()).status == 486
        for phone in phones:
            await phone.wire.close()


async def test_registrations_survive_the_death_of_all(own: Server) -> None:
    async with SipPhone(own, "carol") as carol, SipPhone(own, "dave") as dave:
        await dave.register()
        workers = _workers(own).values()
        own.kill9()
        for process in workers:
            await _gone(process)  # they leave by themselves when their parent is gone
        own.start()
        await _talk(carol, dave)


async def test_messages_that_wait_are_delivered_once_and_in_order(own: Server) -> None:
    database = {"message-database-enabled": "true", "message-database-backend": "sqlite3"}
    own.write_configuration({"module::Router": database})
    own.restart()
    async with SipPhone(own, "carol") as carol:
        for number in range(4):
            assert (await carol.message(f"sip:dave@{DOMAIN}", f"text {number}")).status == 202
        own.restart()
        async with SipPhone(own, "dave", "tcp") as dave:
            await dave.register()
            sending = asyncio.create_task(carol.message(dave.uri, "text 4"))
            for number in range(5):
                incoming = await dave.incoming("MESSAGE")
                assert incoming.request.body == f"text {number}".encode()
                incoming.answer(200)
            assert (await sending).status == 200


async def test_a_caller_still_gets_the_answer_when_all_leave(own: Server) -> None:
    async with SipPhone(own, "carol", "ws") as carol, SipPhone(own, "dave", "tls") as dave:
        await dave.register()
        calls = [await carol.invite(dave.uri) for _ in range(4)]
        invites = [await dave.incoming("INVITE") for _ in calls]
        for invite in invites:
            invite.answer(180)
        for call in calls:
            await call.response(180)
        stopping = asyncio.create_task(asyncio.to_thread(own.stop))
        await own.logs("leaving")
        for invite in invites:
            invite.answer(200)
        for call in calls:
            assert (await call.final()).status == 200
        assert await stopping < LEAVES_WITHIN


def test_a_port_that_another_server_has_is_not_shared(own: Server, place: Path) -> None:
    other = Server(place / "other", {"global": {"workers": "2"}}, transports=[("udp", "127.0.0.1")])
    other.ports = {("udp", "127.0.0.1"): own.port("udp")}
    program = other.launch().program
    assert program is not None
    assert program.finish() == 1
    assert any("Address already in use" in line for line in program.output.seen)


def test_workers_that_are_told_to_leave_while_they_begin_leave_at_once(own: Server) -> None:
    for _ in range(3):
        own.stop()
        program = own.launch().program
        assert program is not None
        program.prints_now("worker 0 is ready")  # the other is about to ask it for what it knows
        assert own.stop() < LEAVES_WITHIN
        own.start()
