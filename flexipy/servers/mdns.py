"""Announces the server in the local network by multicast DNS, so that phones find it (`[mdns-register]`)."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from flexipy.transport.addresses import interface_addresses
from flexipy.transport.announcement import Service, addresses_of, services_of
from flexipy.transport.errors import TransportError

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    from flexipy.config.reader import SectionValues
    from flexipy.transport.listener import Listener

logger = logging.getLogger(__name__)

_LOOK_AGAIN: Final = 30.0
"""Seconds between two looks at the addresses of the machine, which may get its network after its server."""
_GOODBYE: Final = 2.0
"""Seconds that taking the announcement back may need."""


class Announcer:
    """Keeps the announcement true for as long as the server runs.

    Args:
        values: of `[mdns-register]`.
        listeners: the listening points at any time.
    """

    def __init__(self, values: SectionValues, listeners: Callable[[], list[Listener]]) -> None:
        low, high = values.range("mdns-priority")
        self._priority = random.randint(low, high)
        self._weight = values.integer("mdns-weight")
        self._ttl = max(1, int(values.seconds("mdns-ttl")))
        self._listeners = listeners
        self._announced: list[Service] = []
        self._zeroconf: AsyncZeroconf | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Announce in the background: it takes a second, and a server without a network serves all the same.

        Raises:
            TransportError: the package is not installed.
        """
        try:
            import zeroconf.asyncio  # noqa: F401 - here, where its absence can be told
        except ImportError as error:
            raise TransportError(
                f"[mdns-register] needs the Python package 'zeroconf' ({error}): pip install 'flexipy[mdns]'"
            ) from error
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """Take the announcement back (RFC 6762 section 10.1)."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        await self._withdraw()

    async def _keep(self) -> None:
        told = ""
        while True:
            wanted = services_of(self._listeners(), interface_addresses(), socket.gethostname())
            if wanted != self._announced:
                try:
                    await self._withdraw()
                    await self._announce(wanted)
                    told = ""
                except Exception as error:  # of a library and a network that may be in any state
                    await self._withdraw()
                    if str(error) != told:
                        told = str(error)
                        logger.warning("not announced by multicast DNS: %s", error or type(error).__name__)
            await asyncio.sleep(_LOOK_AGAIN)

    async def _announce(self, services: list[Service]) -> None:
        from zeroconf import IPVersion
        from zeroconf.asyncio import AsyncZeroconf

        if not services:
            return
        addresses = addresses_of(services)
        version = IPVersion.All if any(":" in address for address in addresses) else IPVersion.V4Only
        self._zeroconf = AsyncZeroconf(interfaces=addresses, ip_version=version)
        # Probing for each takes a moment, so all at once; a name that somebody else has gets a number.
        await asyncio.gather(*(self._register(self._zeroconf, service) for service in services))
        self._announced = services

    async def _register(self, zeroconf: AsyncZeroconf, service: Service) -> None:
        info = self._info(service)
        sending = await zeroconf.async_register_service(info, allow_name_change=True)
        await sending
        logger.info("announced %s port %d on %s", info.name, service.port, ", ".join(service.addresses))

    def _info(self, service: Service) -> AsyncServiceInfo:
        from zeroconf.asyncio import AsyncServiceInfo

        return AsyncServiceInfo(
            service.type,
            f"{service.instance}.{service.type}",
            port=service.port,
            weight=self._weight,
            priority=self._priority,
            server=service.host,
            host_ttl=self._ttl,
            other_ttl=self._ttl,
            parsed_addresses=list(service.addresses),
        )

    async def _withdraw(self) -> None:
        running, self._zeroconf, self._announced = self._zeroconf, None, []
        if running is None:
            return
        try:
            async with asyncio.timeout(_GOODBYE):
                await running.async_unregister_all_services()
        except (TimeoutError, OSError) as error:
            logger.info("announcement not taken back: %s", error or "too slow")
        await running.async_close()
