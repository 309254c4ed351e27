"""Pushes on their way to one service: so many at a time, so many waiting, the patient ones again later.

Whoever submits never waits. The queue holds at most `limit` pushes that are not being sent; one more drops the oldest.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Final

from flexipy.push.provider import Told
from flexipy.push.request import Outcome, PushRequest, PushResult

logger = logging.getLogger(__name__)

Send = Callable[[PushRequest], Coroutine[Any, Any, PushResult]]

Spawn = Callable[[Awaitable[None]], object]

_IN_FLIGHT: Final = 32  # at once to one service; what is more would only wait in its connections
_ATTEMPTS: Final = 5
_FIRST_PAUSE: Final = 1.0  # seconds; doubled each time
_LONGEST_PAUSE: Final = 300.0  # whatever a service asks for


class _Waiting:
    """A push that is not being sent."""

    __slots__ = ("attempts", "request", "timer", "told")

    def __init__(self, request: PushRequest, told: Told) -> None:
        self.request = request
        self.told = told
        self.attempts = 0
        self.timer: asyncio.TimerHandle | None = None


class PushQueue:
    """The way to one service.

    Args:
        name: of the service, for counters.
        send: sends one push.
        limit: pushes that may wait.
        spawn: runs something in the background.
        counters: numbers for operators.
        in_flight: pushes sent at once.
    """

    def __init__(
        self,
        name: str,
        send: Send,
        limit: int,
        spawn: Spawn,
        counters: MutableMapping[str, int],
        in_flight: int = _IN_FLIGHT,
    ) -> None:
        self.send = send
        self._limit = max(limit, 1)
        self._spawn = spawn
        self._counters = counters
        self._prefix = f"push_{name.replace('.', '_')}_"
        self._in_flight = in_flight
        self._waiting: deque[_Waiting] = deque()
        self._resting: dict[_Waiting, None] = {}  # in the order of their submission, until their pause is over
        self._sending = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._resting)

    def submit(self, request: PushRequest, told: Told) -> None:
        """Send a push as soon as there is room.

        Args:
            request: the push.
            told: called once with what became of it, from the event loop, never from within this call but for those
                that are dropped to make room.
        """
        if self._closed:
            return
        if len(self) >= self._limit:
            self._drop_oldest()
        self._enqueue(_Waiting(request, told))

    def _enqueue(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        if self._sending < self._in_flight:
            self._sending += 1
            self._spawn(self._work())

    def _drop_oldest(self) -> None:
        if self._resting:
            oldest = next(iter(self._resting))
            del self._resting[oldest]
            assert oldest.timer is not None
            oldest.timer.cancel()
        else:
            oldest = self._waiting.popleft()
        self._end(oldest, PushResult(Outcome.DROPPED, "", "too many pushes wait for this service"))

    async def _work(self) -> None:
        """Send one after the other until none waits."""
        try:
            while self._waiting and not self._closed:
                waiting = self._waiting.popleft()
                if time.time() >= waiting.request.expires_at:
                    self._end(waiting, PushResult(Outcome.DROPPED, "", "it came too late to be of use"))
                    continue
                waiting.attempts += 1
                self._settle(waiting, await self._try(waiting.request))
        finally:
            self._sending -= 1

    async def _try(self, request: PushRequest) -> PushResult:
        try:
            return await self.send(request)
        except Exception:  # a fault of ours in one push must not keep the others from being sent
            logger.exception("a push failed inside")
            return PushResult(Outcome.REFUSED, "", "the server failed, see its log")

    def _settle(self, waiting: _Waiting, result: PushResult) -> None:
        if result.outcome is not Outcome.LATER or self._closed:
            self._end(waiting, result)
            return
        pause = self._pause(waiting.attempts, result.retry_after)
        if waiting.attempts >= _ATTEMPTS or time.time() + pause >= waiting.request.expires_at:
            self._end(waiting, result)
            return
        self._counters[self._prefix + "retried"] += 1
        if len(self) >= self._limit:
            self._drop_oldest()
        self._resting[waiting] = None
        waiting.timer = asyncio.get_running_loop().call_later(pause, self._again, waiting)

    @staticmethod
    def _pause(attempts: int, asked: float) -> float:
        """Seconds until the next attempt; no two pushes come back at the same moment."""
        pause = max(asked, _FIRST_PAUSE * 2.0 ** (attempts - 1))
        return min(pause, _LONGEST_PAUSE) * random.uniform(1.0, 1.25)

    def _again(self, waiting: _Waiting) -> None:
        if self._resting.pop(waiting, waiting) is None:
            self._enqueue(waiting)

    def _end(self, waiting: _Waiting, result: PushResult) -> None:
        self._counters[self._prefix + result.outcome.value] += 1
        waiting.told(waiting.request, result)

    def close(self) -> None:
        """Forget what waits."""
        self._closed = True
        self._waiting.clear()
        for waiting in self._resting:
            if waiting.timer is not None:
                waiting.timer.cancel()
        self._resting.clear()
