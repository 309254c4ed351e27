"""What runs beside the proxy in its process and is no part of the pipeline, each imported only where it is enabled."""

from __future__ import annotations

from typing import Protocol

from flexipy.config.config import Config
from flexipy.proxy.agent import Agent


class Neighbour(Protocol):
    """Something that lives as long as the server does."""

    async def start(self) -> None:
        """Begin.

        Raises:
            TransportError: the configuration or the machine makes it impossible.
        """

    async def stop(self) -> None:
        """End; not more than a moment is left for it."""


def neighbours(config: Config, agent: Agent) -> list[Neighbour]:
    """What the configuration enables, not started.

    Args:
        config: the configuration.
        agent: the proxy, which listens already.
    """
    found: list[Neighbour] = []
    values = config.section("stun-server")
    if values.boolean("enabled"):
        from flexipy.transport.stun_server import StunServer

        software = agent.options.server_header
        found.append(StunServer(values.strings("bind-address"), values.integer("port"), software, agent.counters))
    return found
