"""All push services together: which one reaches an app, and the queue before each."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence

from flexipy.push.parameters import PushTarget
from flexipy.push.provider import Provider, Pusher, Told
from flexipy.push.queue import PushQueue, Spawn
from flexipy.push.request import Outcome, PushRequest, PushResult


class PushService(Pusher):
    """Sends pushes.

    Args:
        providers: in the order in which they are asked whether they reach an app.
        limit: pushes that may wait for each.
        spawn: runs something in the background.
        counters: numbers for operators.
        notes: what of the configuration cannot be used, a line each.

    Attributes:
        providers: as given.
        notes: as given.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        limit: int,
        spawn: Spawn,
        counters: MutableMapping[str, int],
        notes: Sequence[str] = (),
    ) -> None:
        self.notes = list(notes)
        self._limit = limit
        self._spawn = spawn
        self._counters = counters
        self._queues: dict[str, PushQueue] = {}
        self.providers: tuple[Provider, ...] = ()
        self.renew(providers)

    def renew(self, providers: Sequence[Provider]) -> list[Provider]:
        """Send by other providers from now on, what waits included.

        Returns:
            Those that are no longer used: for the caller to close, once what they are sending is done.
        """
        former = [provider for provider in self.providers if provider not in providers]
        self.providers = tuple(providers)
        self.features = {name: more for provider in providers for name, more in provider.features.items()}
        self.can_push = bool(providers)
        for provider in providers:
            queue = self._queues.get(provider.name)
            if queue is None:
                queue = PushQueue(provider.name, provider.send, self._limit, self._spawn, self._counters)
                self._queues[provider.name] = queue
            queue.send = provider.send
        return former

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

    def submit(self, request: PushRequest, told: Told) -> None:
        """Send a push when its turn comes."""
        provider = self.provider_for(request.target)
        if isinstance(provider, str):
            self._refuse("push_without_service", provider, request, told)
        elif not request.token and request.target.is_apple:
            self._refuse("push_without_token", f"the app gave no token for {request.kind.value} pushes", request, told)
        else:
            self._queues[provider.name].submit(request, told)

    def _refuse(self, counter: str, reason: str, request: PushRequest, told: Told) -> None:
        self._counters[counter] += 1
        asyncio.get_running_loop().call_soon(told, request, PushResult(Outcome.REFUSED, "", reason))

    async def send(self, request: PushRequest) -> tuple[str, PushResult]:
        """Send one push at once and wait for the answer: by hand."""
        provider = self.provider_for(request.target)
        if isinstance(provider, str):
            return "", PushResult(Outcome.REFUSED, "", provider)
        return provider.name, await provider.send(request)

    async def close(self) -> None:
        """Forget what waits and close every connection."""
        for queue in self._queues.values():
            queue.close()
        await asyncio.gather(*(provider.close() for provider in self.providers), return_exceptions=True)
