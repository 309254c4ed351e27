"""What a client or program reports, in order, and how a test waits for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 15.0  # seconds that a test waits for something which should come at once


class Events(Generic[T]):
    """A list that grows, fed from any thread; each entry is taken once.

    Args:
        name: whose events these are, for the message of a wait that was in vain.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[T] = []
        self._waiting: list[T] = []
        self._takers: list[tuple[Callable[[T], bool], concurrent.futures.Future[T]]] = []
        self._lock = threading.Lock()

    def add(self, event: T) -> None:
        """Note an event and hand it to the first who waits for such a one."""
        with self._lock:
            self.seen.append(event)
            for index, (fits, future) in enumerate(self._takers):
                if fits(event) and future.set_running_or_notify_cancel():
                    del self._takers[index]
                    future.set_result(event)
                    return
            self._waiting.append(event)

    def _take(self, fits: Callable[[T], bool]) -> concurrent.futures.Future[T]:
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        with self._lock:
            for index, event in enumerate(self._waiting):
                if fits(event):
                    del self._waiting[index]
                    future.set_result(event)
                    return future
            self._takers.append((fits, future))
        return future

    async def take(self, fits: Callable[[T], bool], what: str = "", timeout: float = PATIENCE) -> T:
        """The first event not taken yet that fits, now or when it comes.

        Raises:
            AssertionError: none came within `timeout` seconds.
        """
        future = self._take(fits)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), timeout)
        except TimeoutError:
            self._forget(future)
            raise AssertionError(self._in_vain(what, timeout)) from None

    def take_now(self, fits: Callable[[T], bool], what: str = "", timeout: float = PATIENCE) -> T:
        """Like `take`, for code that is not asynchronous."""
        future = self._take(fits)
        try:
            return future.result(timeout)
        except TimeoutError:
            self._forget(future)
            raise AssertionError(self._in_vain(what, timeout)) from None

    def drop(self, fits: Callable[[T], bool]) -> None:
        """Pass over those up to now that fit."""
        with self._lock:
            self._waiting = [event for event in self._waiting if not fits(event)]

    def any(self, fits: Callable[[T], bool]) -> bool:
        """Whether such an event came at all, taken or not."""
        with self._lock:
            return any(fits(event) for event in self.seen)

    def _forget(self, future: concurrent.futures.Future[T]) -> None:
        with self._lock:
            self._takers = [taker for taker in self._takers if taker[1] is not future]

    def _in_vain(self, what: str, timeout: float) -> str:
        recent = "\n".join(f"    {event}" for event in self.seen[-15:])
        return f"{self.name}: no {what or 'such event'} within {timeout:g} s; the last events were\n{recent}"


async def until(condition: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
    """Wait for a state of which nobody sends word, such as the length of a file.

    Raises:
        AssertionError: it did not come about within `timeout` seconds.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        await asyncio.sleep(0.05)
