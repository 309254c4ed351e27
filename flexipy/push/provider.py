"""What every push service offers to the rest of the room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flexipy.push.parameters import PushTarget
from flexipy.push.request import PushRequest, PushResult


class Provider(Protocol):
    """A push service.

    Attributes:
        name: for logs and counters.
    """

    name: str

    @property
    def features(self) -> Mapping[str, str]:
        """What an app may name in `pn-provider` to be reached by it, with further feature-capability indicators.

        The answer to its REGISTER carries them (RFC 8599 section 8.1).
        """

    def refusal(self, target: PushTarget) -> str:
        """Why it cannot reach an app, in plain words; empty where it can."""

    async def send(self, request: PushRequest) -> PushResult:
        """Send one push and wait for the service's answer; never raises on what the network does."""

    async def close(self) -> None:
        """Let connections go."""


class ProviderError(Exception):
    """A service that cannot be used with these keys: one line for the operator."""


MISSING_EXTRA = "needs the extra 'push': pip install 'flexipy[push]'"
