"""All push services together: which one reaches an app, and the queue before each."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence

from flexipy.push.parameters import PushTarget
from flexipy.push.provider import Provider
from flexipy.push.queue import PushQueue, Spawn, Told
from flexipy.push.request import Outcome, PushRequest, PushResult


class PushService:
    """Sends pushes.

    Args:
        providers: in the order in which they are asked whether they reach an app.
        limit: pushes that may wait for each.
        spawn: runs something in the background.
        counters: numbers for operators.

    Attributes:
        providers: as given.
        notes: what of the configuration cannot be used, a line each.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        limit: int,
        spawn: Spawn,
        counters: MutableMapping[str, int],
        notes: Sequence[str] = (),
    ) -> None:
        self.providers = tuple(providers)
        self.notes = list(notes)
        self._counters = counters
        self._queues = {
            provider.name: PushQueue(provider.name, provider.send, limit, spawn, counters) for provider in providers
        }

    @property
    def waiting(self) -> int:
        """Pushes that are not being sent yet."""
        return sum(len(queue) for queue in self._queues.values())

    def provider_for(self, target: PushTarget) -> Provider | str:
        """The service for an app; or why there is none, in plain words."""
        reasons: list[str] = []
        for provider in self.providers:
            refusal = provider.refusal(target)
            if not refusal:
                return provider
            reasons.append(f"{provider.name}: {refusal}")
        return "; ".join(reasons) or "no push service is configured"

    def submit(self, request: PushRequest, told: Told) -> str:
        """Send a push when its turn comes.

        Args:
            request: the push.
            told: called once with what became of it.

        Returns:
            Why it cannot be sent at all; empty where it is on its way.
        """
        provider = self.provider_for(request.target)
        if isinstance(provider, str):
            self._counters["push_without_service"] += 1
            return provider
        if not request.token and request.target.is_apple:
            self._counters["push_without_token"] += 1
            return f"the app gave no token for {request.kind.value} pushes"
        self._queues[provider.name].submit(request, told)
        return ""

    async def send(self, request: PushRequest) -> tuple[str, PushResult]:
        """Send one push at once and wait for the answer: by hand.

        Returns:
            The service's name and its answer.
        """
        provider = self.provider_for(request.target)
        if isinstance(provider, str):
            return "", PushResult(Outcome.REFUSED, "", provider)
        return provider.name, await provider.send(request)

    async def close(self) -> None:
        """Forget what waits and close every connection."""
        for queue in self._queues.values():
            queue.close()
        await asyncio.gather(*(provider.close() for provider in self.providers), return_exceptions=True)
