"""The way to a service is of limited width, and patient where the service asks for patience."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Awaitable
from typing import Any

import pytest

from flexipy.push import queue as queue_module
from flexipy.push.parameters import PushTarget
from flexipy.push.queue import PushQueue
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest, PushResult

SENT = PushResult(Outcome.SENT)
TARGET = PushTarget("fcm", "house", remote_token="t")


def push(number: int = 0, **more: Any) -> PushRequest:
    return PushRequest(TARGET, PushKind.VOIP, PushEvent.CALL, str(number), **more)


class Service:
    """Answers when it is told to."""

    def __init__(self, limit: int = 100, in_flight: int = 4) -> None:
        self.counters: dict[str, int] = defaultdict(int)
        self.asked: list[str] = []
        self.results: list[PushResult | Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.told: list[tuple[str, Outcome]] = []
        self.tasks: set[asyncio.Future[None]] = set()
        self.most_at_once = self.at_once = 0
        self.queue = PushQueue("fake", self.send, limit, self.spawn, self.counters, in_flight)

    def spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def send(self, request: PushRequest) -> PushResult:
        self.asked.append(request.call_id)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await self.gate.wait()
        self.at_once -= 1
        result = self.results.pop(0) if self.results else SENT
        if isinstance(result, Exception):
            raise result
        return result

    def submit(self, *numbers: int, **more: Any) -> None:
        for number in numbers:
            self.queue.submit(push(number, **more), self.note)

    def note(self, request: PushRequest, result: PushResult) -> None:
        self.told.append((request.call_id, result.outcome))

    async def idle(self) -> None:
        while self.tasks:
            await asyncio.gather(*self.tasks)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "_FIRST_PAUSE", 0.001)


async def test_whoever_submits_does_not_wait() -> None:
    service = Service()
    service.gate.clear()
    service.submit(*range(50))
    assert service.asked == []
    await asyncio.sleep(0)
    assert service.at_once == 4
    service.gate.set()
    await service.idle()
    assert service.asked == [str(number) for number in range(50)]
    assert len(service.told) == 50
    assert service.most_at_once == 4


async def test_the_oldest_is_dropped_where_too_many_wait() -> None:
    service = Service(limit=3, in_flight=1)
    service.gate.clear()
    service.submit(0)
    await asyncio.sleep(0)
    service.submit(1, 2, 3, 4, 5)
    assert service.told == [("1", Outcome.DROPPED), ("2", Outcome.DROPPED)]
    assert service.counters["push_fake_dropped"] == 2
    service.gate.set()
    await service.idle()
    assert service.asked == ["0", "3", "4", "5"]


async def test_a_service_that_asks_for_patience_is_asked_again() -> None:
    service = Service()
    service.results = [PushResult(Outcome.LATER, retry_after=0.002), PushResult(Outcome.LATER)]
    done = asyncio.Event()
    service.queue.submit(push(), lambda _, result: (service.told.append(("", result.outcome)), done.set()))  # type: ignore[func-returns-value]
    await asyncio.wait_for(done.wait(), 5)
    assert len(service.asked) == 3
    assert service.told == [("", Outcome.SENT)]
    assert service.counters["push_fake_retried"] == 2


async def test_patience_has_an_end() -> None:
    service = Service()
    service.results = [PushResult(Outcome.LATER)] * 99
    done = asyncio.Event()
    service.queue.submit(push(), lambda _, result: done.set() if result.outcome is Outcome.LATER else None)
    await asyncio.wait_for(done.wait(), 5)
    assert len(service.asked) == 5


async def test_nobody_waits_longer_than_the_push_is_of_use() -> None:
    service = Service()
    service.results = [PushResult(Outcome.LATER, retry_after=100)]
    service.submit(1, expires_at=time.time() + 50)
    service.submit(2, expires_at=time.time() - 1)
    await service.idle()
    assert service.told == [("1", Outcome.LATER), ("2", Outcome.DROPPED)]
    assert len(service.queue) == 0


async def test_a_fault_in_one_push_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(in_flight=1)
    service.results = [RuntimeError("fault")]
    service.submit(1, 2)
    await service.idle()
    assert service.told == [("1", Outcome.REFUSED), ("2", Outcome.SENT)]
    assert "a push failed inside" in caplog.text


async def test_ten_thousand_pushes_to_a_service_that_sleeps_take_little_memory() -> None:
    service = Service(limit=100, in_flight=32)
    service.gate.clear()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(10_000):
        service.queue.submit(push(number, from_name="n" * 200), lambda request, result: None)
        if number % 100 == 0:
            await asyncio.sleep(0)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(service.queue) == 100
    assert service.counters["push_fake_dropped"] == 10_000 - 132
    assert grown < 500_000
    service.gate.set()
    await service.idle()


async def test_a_queue_that_is_closed_sends_nothing_more() -> None:
    service = Service(in_flight=1)
    service.gate.clear()
    service.submit(1, 2)
    await asyncio.sleep(0)
    service.queue.close()
    service.gate.set()
    await service.idle()
    service.submit(3)
    assert service.asked == ["1"]
