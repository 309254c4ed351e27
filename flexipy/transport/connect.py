"""Opening stream connections to targets."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from flexipy.transport.connections import ConnectionTable
from flexipy.transport.errors import FlowError
from flexipy.transport.flow import Flow
from flexipy.transport.locality import Locality
from flexipy.transport.specs import TransportSpec
from flexipy.transport.stream import StreamFlow
from flexipy.transport.target import Target

if TYPE_CHECKING:
    from flexipy.transport.listener import Listener

_log = logging.getLogger(__name__)

ClientContext = Callable[[TransportSpec | None], ssl.SSLContext]
"""Gives the TLS context for connections that leave in the name of a listening point."""


class Connector:
    """Opens TCP and TLS connections; those who ask for the same target at once share one."""

    __slots__ = ("_client_context", "_locality", "_pending", "_table")

    def __init__(self, table: ConnectionTable, locality: Locality, client_context: ClientContext) -> None:
        self._table = table
        self._locality = locality
        self._client_context = client_context
        self._pending: dict[Target, asyncio.Task[Flow]] = {}

    def connect(self, target: Target) -> "asyncio.Future[Flow]":
        """Start connecting, or join those who wait already.

        Returns:
            A future of the caller's own: cancelling it does not disturb others. It may raise FlowError.

        """
        task = self._pending.get(target)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._connect(target))
            self._pending[target] = task
            task.add_done_callback(lambda done: self._finished(target, done))
        return asyncio.shield(task)

    def _finished(self, target: Target, task: "asyncio.Task[Flow]") -> None:
        self._pending.pop(target, None)
        if not task.cancelled() and task.exception() is not None:
            self._table.context.counters.connect_failures += 1
            _log.info("%s", task.exception())

    async def _connect(self, target: Target) -> Flow:
        listener = self._locality.listener_for(target.transport, target.ip)
        secure = target.transport == b"TLS"
        flow = StreamFlow(self._table, target.transport, listener, outgoing=True, tls_name=target.tls_name)
        options = self._table.context.options
        if not self._table.admit_outgoing(target.ip):
            raise FlowError(f"no connection to {target}: too many are open")
        flow.admitted_ip = target.ip
        try:
            tls = self._client_context(listener.spec if listener else None) if secure else None
            async with asyncio.timeout(options.connect_timeout or None):
                await asyncio.get_running_loop().create_connection(
                    lambda: flow,
                    target.ip,
                    target.port,
                    ssl=tls,
                    server_hostname=(target.tls_name or target.ip) if secure else None,
                    local_addr=_source(listener),
                )
        except (OSError, ValueError) as error:  # ValueError: a name that cannot stand in a certificate
            self._give_up(flow)
            raise FlowError(f"no connection to {target}: {error or type(error).__name__}") from error
        except asyncio.CancelledError:
            self._give_up(flow)
            raise
        if flow.closed:
            raise FlowError(f"no connection to {target}: closed at once")
        return flow

    def _give_up(self, flow: StreamFlow) -> None:
        self._table.release(flow)
        flow.abort()

    async def close(self) -> None:
        """Give up the connections under way."""
        tasks = list(self._pending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _source(listener: "Listener | None") -> tuple[str, int] | None:
    """Leave from the address that we listen on, which is what a multi-homed host's peers expect."""
    if listener is None or listener.is_wildcard:
        return None
    return (listener.local[0], 0)
