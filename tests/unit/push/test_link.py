"""The process that sends pushes: fed, watched, started again, let go."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from flexipy.config.reader import read
from flexipy.push import link as link_module
from flexipy.push.link import PushLink
from flexipy.push.parameters import PushTarget
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest, PushResult
from flexipy.push.settings import PushSettings, settings_of
from flexipy.push.wire import request_facts, request_from, settings_facts, settings_from
from flexipy.servers.discovery import full_schema
from tests.harness.certificates import Authority
from tests.harness.events import PATIENCE, until
from tests.harness.https_service import HttpAnswer, HttpRequest, HttpsService

TARGET = PushTarget("ntfy", remote_token="topic")
# Stand-ins that do as little as it takes: they read what they are told, and this.
DIES_OF_A_PUSH = "import sys\nfor line in sys.stdin:\n if 'push' in line[:7]: sys.exit(3)"
READS_NOTHING = "import time\ntime.sleep(600)"
SAYS_NOTHING = "import sys\nfor line in sys.stdin: pass"


def push(number: int = 0, **more: Any) -> PushRequest:
    return PushRequest(TARGET, PushKind.VOIP, PushEvent.CALL, f"call-{number}", **more)


def settings(tmp_path: Path, **parameters: str) -> PushSettings:
    changes = [f"module::PushNotification/{name.replace('_', '-')}={value}" for name, value in parameters.items()]
    config, problems = read(None, full_schema(), changes)
    assert not problems
    return settings_of(config.section("module::PushNotification"), tmp_path.joinpath, tmp_path.joinpath)


class Told:
    """What became of each push."""

    def __init__(self) -> None:
        self.results: dict[str, PushResult] = {}

    def __call__(self, request: PushRequest, result: PushResult) -> None:
        assert request.call_id not in self.results, "told twice"
        self.results[request.call_id] = result

    @property
    def outcomes(self) -> list[Outcome]:
        return [result.outcome for result in self.results.values()]


class Linked:
    """A link and what it counts and reports."""

    def __init__(self, made: PushSettings, program: str = "") -> None:
        self.counters: dict[str, int] = defaultdict(int)
        self.notes: list[str] = []
        self.told = Told()
        command: Any = {"command": (sys.executable, "-c", program)} if program else {}
        self.link = PushLink(made, self.counters, self.notes.extend, logging.getLogger("test"), **command)

    def submit(self, *numbers: int, **more: Any) -> None:
        for number in numbers:
            self.link.submit(push(number, **more), self.told)

    async def has_told(self, count: int) -> None:
        await until(lambda: len(self.told.results) >= count, "results")


@asynccontextmanager
async def linked(made: PushSettings, program: str = "") -> AsyncIterator[Linked]:
    found = Linked(made, program)
    await found.link.start(0.01 if program else PATIENCE)
    try:
        yield found
    finally:
        process = found.link.process_id
        await found.link.close()
        if process:
            with pytest.raises(ProcessLookupError):
                os.kill(process, 0)


@asynccontextmanager
async def service_of_ones_own(
    tmp_path: Path, authority: Authority, answer: Callable[[HttpRequest], HttpAnswer | None] = lambda _: HttpAnswer(200)
) -> AsyncIterator[tuple[HttpsService, PushSettings]]:
    async with HttpsService(tmp_path, authority, answer, tls=False) as service:
        yield service, settings(tmp_path, external_push_uri=f"{service.url}/$token?id=$callid", max_queue_size="50")


def test_a_push_comes_out_of_the_pipe_as_it_went_in() -> None:
    target = PushTarget("apns", "org.app", "TEAM", "aa", "bb", silent=True, timeout=3.0, browser_key="k")
    odd = PushRequest(target, PushKind.ALERT, PushEvent.MISSED_CALL, from_name='"\u2028\n\ud800', ttl=5, expires_at=9.5)
    assert request_from(request_facts(odd)) == odd


def test_settings_come_out_of_the_pipe_as_they_went_in(tmp_path: Path) -> None:
    made = settings(tmp_path, firebase_service_accounts="house:key.json", https_proxy_host="proxy.example")
    assert made.firebase_accounts == (f"house:{tmp_path}/key.json",)
    assert settings_from(settings_facts(made)) == made


async def test_pushes_are_sent_by_another_process(tmp_path: Path, authority: Authority) -> None:
    async with service_of_ones_own(tmp_path, authority) as (service, made), linked(made) as house:
        assert house.link.can_push
        house.submit(1, 2, 3)
        await house.has_told(3)
        assert set(house.told.outcomes) == {Outcome.SENT}
        assert house.counters["push_external_sent"] == 3
        targets = {(await service.requests.take(lambda _: True, "push")).target for _ in range(3)}
        assert targets == {f"/topic?id=call-{number}" for number in (1, 2, 3)}


async def test_one_push_by_hand_names_the_service(tmp_path: Path, authority: Authority) -> None:
    async with service_of_ones_own(tmp_path, authority) as (_, made), linked(made) as house:
        name, result = await house.link.send(push())
        assert (name, result.outcome) == ("external", Outcome.SENT)


async def test_what_a_killed_process_had_is_sent_by_the_next(tmp_path: Path, authority: Authority) -> None:
    async with service_of_ones_own(tmp_path, authority) as (service, made), linked(made) as house:
        service.silent = True
        house.submit(1, 2)
        for _ in range(2):
            await service.requests.take(lambda _: True, "push")
        service.silent = False
        os.kill(house.link.process_id, signal.SIGKILL)
        house.submit(3)
        await house.has_told(3)
        assert house.told.outcomes == [Outcome.SENT] * 3
        assert house.counters["push_sender_deaths"] == 1


async def test_a_push_that_two_processes_died_of_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_FIRST_PAUSE", 0.01)
    async with linked(settings(tmp_path), DIES_OF_A_PUSH) as house:
        house.submit(1)
        await house.has_told(1)
        assert house.told.outcomes == [Outcome.DROPPED]
        assert house.counters["push_sender_deaths"] == 2


async def test_a_process_that_does_not_keep_up_loses_the_oldest(tmp_path: Path) -> None:
    async with linked(settings(tmp_path, max_queue_size="50"), READS_NOTHING) as house:
        total = 0
        while not house.told.results:
            house.submit(*range(total, total + 100), body="x" * 1000)
            total += 100
            await asyncio.sleep(0)
            assert total < 10_000, "nothing bounds what waits"
        dropped = [int(call_id.removeprefix("call-")) for call_id in house.told.results]
        assert dropped == sorted(dropped)
        assert max(dropped) < total - 50
        assert set(house.told.outcomes) == {Outcome.DROPPED}
        assert house.counters["push_dropped"] == len(dropped)


async def test_a_process_that_says_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_PING", 0.02)
    monkeypatch.setattr(link_module, "_SILENCE", 0.1)
    async with linked(settings(tmp_path), SAYS_NOTHING) as house:
        house.submit(1)
        await until(lambda: house.counters["push_sender_deaths"] >= 1, "a death")


async def test_a_push_that_nobody_needs_any_more_is_not_given_to_the_next(tmp_path: Path, authority: Authority) -> None:
    async with service_of_ones_own(tmp_path, authority) as (service, made), linked(made) as house:
        os.kill(house.link.process_id, signal.SIGKILL)
        await until(lambda: house.counters["push_sender_deaths"] == 1, "a death")
        house.submit(1, expires_at=1.0)
        await house.has_told(1)
        assert house.told.outcomes == [Outcome.DROPPED]
        assert not service.requests.seen


async def test_a_program_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link_module, "_FIRST_PAUSE", 0.01)
    link = PushLink(settings(tmp_path), {}, print, logging.getLogger("test"), ("/nonexistent/python",))
    await link.start(0.01)
    await until(lambda: caplog.text.count("cannot start the process") >= 2, "attempts")
    await link.close()


async def test_leaving_tells_whoever_waits_by_hand(tmp_path: Path) -> None:
    async with linked(settings(tmp_path), SAYS_NOTHING) as house:
        waiting = asyncio.ensure_future(house.link.send(push()))
        await asyncio.sleep(0)
    assert (await waiting)[1].outcome is Outcome.DROPPED


async def test_keys_that_cannot_be_used_are_reported(tmp_path: Path) -> None:
    made = settings(tmp_path, firebase_service_accounts="house:missing.json", web_push="true")
    async with linked(made) as house:
        assert house.notes == [f"{tmp_path}/missing.json: No such file or directory"]
        assert list(house.link.features) == ["webpush"]


def test_without_a_service_no_process_is_wanted(tmp_path: Path) -> None:
    assert not settings(tmp_path, apple_certificate_dir="none").may_push
    assert settings(tmp_path, apple_certificate_dir=".").may_push
    assert settings(tmp_path, web_push="true").may_push
