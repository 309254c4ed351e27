"""What every push service offers to the rest of the room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from flexipy.push.parameters import PushTarget
from flexipy.push.request import PushRequest, PushResult

Told = Callable[[PushRequest, PushResult], None]


class Provider(Protocol):
    """A push service.

    Attributes:
        name: for logs and counters.
    """

    name: str

    @property
    def features(self) -> Mapping[str, str]:
        """What an app may name in `pn-provider` to be reached by it, with further feature-capability indicators.

        The answer to its REGISTER carries them (RFC 8599 sections 8.2 and 8.3).
        """

    def refusal(self, target: PushTarget) -> str:
        """Why it cannot reach an app, in plain words; empty where it can."""

    async def send(self, request: PushRequest) -> PushResult:
        """Send one push and wait for the service's answer; never raises on what the network does."""

    async def close(self) -> None:
        """Let connections go."""


class Pusher:
    """What sends pushes: in this process (`PushService`), or in one of its own (`PushLink`).

    Attributes:
        features: what an app may name in `pn-provider` to be reached, with further feature-capability indicators.
        can_push: whether there is any service at all.
    """

    features: Mapping[str, str]
    can_push: bool

    def submit(self, request: PushRequest, told: Told) -> None:
        """Send a push when its turn comes; never waits.

        Args:
            request: the push.
            told: called once with what became of it, never from within this call but for those that are dropped to
                make room.
        """
        raise NotImplementedError

    async def send(self, request: PushRequest) -> tuple[str, PushResult]:
        """Send one push at once and wait for the answer: by hand.

        Returns:
            The service's name, empty where none reaches the app, and its answer.
        """
        raise NotImplementedError

    def reload(self) -> None:
        """Read keys anew."""

    async def close(self) -> None:
        """Forget what waits and close every connection."""


class ProviderError(Exception):
    """A service that cannot be used with these keys: one line for the operator."""


MISSING_EXTRA = "needs the extra 'push': pip install 'flexipy[push]'"
