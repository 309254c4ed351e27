"""All listening points and flows of a server: the door between the network and the rest of the house.

Messages come in through `on_message(data, flow, now)`, leave through `flow.send(data)`.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Iterable, Sequence

from flexipy.transport import tokens
from flexipy.transport.accept import StreamAcceptor
from flexipy.transport.addresses import normalize_ip
from flexipy.transport.bind import Binder
from flexipy.transport.connect import Connector
from flexipy.transport.connections import ConnectionTable
from flexipy.transport.context import Batch, OnMessage, TransportContext
from flexipy.transport.counters import Counters
from flexipy.transport.elsewhere import Elsewhere, Watcher
from flexipy.transport.errors import FlowError, TransportError
from flexipy.transport.flow import Flow
from flexipy.transport.listener import Listener
from flexipy.transport.load import LoadMeter
from flexipy.transport.locality import Locality
from flexipy.transport.options import TransportOptions
from flexipy.transport.resolver import Resolver
from flexipy.transport.specs import TransportSpec
from flexipy.transport.stream import StreamFlow
from flexipy.transport.target import Target
from flexipy.transport.tls import TlsIdentities
from flexipy.transport.udp import UdpSocket

__all__ = ["Counters", "TransportOptions", "Transports"]

_log = logging.getLogger(__name__)

_INTERFACE_CHECK = 60.0
_SWEEPS_PER_TIMEOUT = 4
_LONGEST_SWEEP = 5.0
_SHORTEST_SWEEP = 0.02


class Transports:
    """The listening points, the connections and the ways out.

    Attributes:
        listeners: one per listening socket, in the order of the configuration.
        counters: what has happened so far.
        options: limits in force.

    """

    def __init__(
        self,
        specs: Iterable[TransportSpec],
        options: TransportOptions,
        on_message: OnMessage,
        resolver: Resolver,
        load: LoadMeter | None = None,
    ) -> None:
        self.listeners: list[Listener] = []
        self.options = options
        self.counters = Counters()
        self.resolver = resolver
        self._specs = list(specs)
        self._context = TransportContext(on_message, options, self.counters, load or LoadMeter(0.0))
        self._table = ConnectionTable(self._context)
        self._locality = Locality(self.listeners)
        self._tls = TlsIdentities(options)
        self._connector = Connector(self._table, self._locality, self._tls.client_context)
        self._udp: dict[Listener, UdpSocket] = {}
        self._acceptors: list[StreamAcceptor] = []
        self._token_key = tokens.load_key(options.flow_token_path)
        self._sweeper: asyncio.Task[None] | None = None
        self._elsewhere: Elsewhere | None = None

    def share(self, elsewhere: Elsewhere, watcher: Watcher, batch: Batch) -> None:
        """Look also among the connections of other processes, and let them know of ours.

        Args:
            elsewhere: theirs.
            watcher: told of each of ours.
            batch: told when datagrams are read, and before they are answered.
        """
        self._elsewhere = elsewhere
        self._table.watcher = watcher
        self._context.batch = batch

    # -- life --------------------------------------------------------------------------------------

    async def start(self, given: Sequence[socket.socket] = ()) -> None:
        """Bind every listening point and begin to receive.

        Args:
            given: sockets of the UDP ones, in their order, where somebody else has bound them.

        Raises:
            TransportError: one of them is not possible; nothing is left listening.

        """
        binder = Binder(self._specs, self._context, self._table, self._tls, self.resolver, given)
        try:
            async for bound in binder.bind_all():
                self.listeners.append(bound.listener)
                if isinstance(bound, UdpSocket):
                    self._udp[bound.listener] = bound
                else:
                    self._acceptors.append(bound)
                where = bound.listener
                _log.info("listening on %s %s:%d", where.transport.decode().lower(), *where.local)
        except BaseException:
            await self.close()
            raise
        self._locality.forget()
        self.resolver.prefer_families([listener.family for listener in self.listeners])
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep_forever())

    async def close(self) -> None:
        """Stop listening, let queued output drain for `drain_timeout` seconds, close everything."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
            self._sweeper = None
        timeout = self.options.drain_timeout
        await asyncio.gather(*(acceptor.close() for acceptor in self._acceptors))
        await self._connector.close()
        await asyncio.gather(self._table.close(timeout), *(udp.close(timeout) for udp in self._udp.values()))
        self._udp.clear()
        self._acceptors.clear()
        self.listeners.clear()
        self._locality.forget()

    # -- flows -------------------------------------------------------------------------------------

    def flow_for(self, target: Target) -> Flow | None:
        """A flow that exists or costs nothing: always for UDP, a live connection for streams.

        Returns:
            None when a connection must be opened first (`connect`), or when we have no such transport.

        """
        if target.transport == b"UDP":
            try:
                listener = self._locality.listener_for(b"UDP", target.ip)
                return None if listener is None else self._udp[listener].flow_to(target.ip, target.port)
            except ValueError:  # not an address
                return None
        found: Flow | None = self._table.find(target)
        if found is None and self._elsewhere is not None:
            found = self._elsewhere.find(target)
        return found

    def connections(self) -> list[StreamFlow]:
        """The connections of this process."""
        return self._table.flows()

    def udp_flow(self, place: int, ip: str, port: int) -> Flow | None:
        """The flow from one of our UDP sockets to an address.

        Args:
            place: of the listening point among `listeners`.
            ip: numeric.
            port: the remote's.
        """
        udp = self._udp.get(self.listeners[place])
        return None if udp is None else udp.flow_to(ip, port)

    def connect(self, target: Target) -> "asyncio.Future[Flow]":
        """Open a connection to a target, unless there is a flow to it already.

        Returns:
            A future that gives the flow or raises FlowError.

        """
        flow = self.flow_for(target)
        if flow is None and target.transport in {b"TCP", b"TLS"}:
            return self._connector.connect(target)
        future: asyncio.Future[Flow] = asyncio.get_running_loop().create_future()
        if flow is not None:
            future.set_result(flow)
        else:
            future.set_exception(FlowError(f"no way to {target}: we cannot open such a flow"))
        return future

    def flow_by_id(self, flow_id: int) -> Flow | None:
        """A live flow by its id; UDP flows are forgotten when many others came after them."""
        found: Flow | None = self._table.by_id(flow_id)
        if found is not None:
            return found
        return next((flow for udp in self._udp.values() if (flow := udp.flow_by_id(flow_id))), None)

    def flow_token(self, flow: Flow) -> bytes:
        """A name for a flow that can be given to strangers (RFC 5626 section 5.2); base64url."""
        return tokens.make_token(self._token_key, (flow.transport, flow.local, flow.remote))

    def flow_from_token(self, token: bytes) -> Flow | None:
        """The flow that a token names; None when it is forged or the flow is gone (430 Flow Failed)."""
        ends = tokens.read_token(self._token_key, token)
        if ends is None:
            return None
        transport, local, remote = ends
        if transport != b"UDP":
            found: Flow | None = self._table.find_exact(transport, local, remote)
            if found is None and self._elsewhere is not None:
                found = self._elsewhere.find_exact(transport, local, remote)
            return found
        for listener, udp in self._udp.items():
            bound = listener.local
            if bound[1] == local[1] and (bound[0] == local[0] or (listener.is_wildcard and listener.reaches(local[0]))):
                return udp.flow_to(*remote)
        return None

    # -- ourselves ---------------------------------------------------------------------------------

    def is_local(self, host: str, port: int | None) -> bool:
        """Whether `host:port` is one of our listening points (see `Locality.is_local`)."""
        return self._locality.is_local(host, port)

    def listener_for(self, transport: bytes, ip: str) -> Listener | None:
        """The listening point whose address we advertise to `ip`."""
        canonical = normalize_ip(ip)
        return None if canonical is None else self._locality.listener_for(transport, canonical)

    def certificate_problems(self) -> list[str]:
        """Why listening points can't serve TLS, a line each; to be asked before they are started."""
        problems: dict[str, None] = {}
        for spec in self._specs:
            if spec.transport in (b"TLS", b"WSS"):
                try:
                    self._tls.identity(spec)
                except TransportError as error:
                    problems[str(error)] = None
        return list(problems)

    def reload_tls(self) -> list[str]:
        """Read all certificate files again; live connections are untouched.

        Returns:
            Problems as text; where there was one, the old certificate keeps serving.

        """
        return self._tls.reload()

    async def _sweep_forever(self) -> None:
        period = _sweep_period(self.options)
        next_interfaces = time.monotonic() + _INTERFACE_CHECK
        next_certificates = time.monotonic() + self.options.tls_check_interval
        while True:
            await asyncio.sleep(period)
            now = time.monotonic()
            self._table.sweep(now)
            if now >= next_interfaces:
                next_interfaces = now + _INTERFACE_CHECK
                self._refresh_addresses()
            if self.options.tls_check_interval > 0 and now >= next_certificates:
                next_certificates = now + self.options.tls_check_interval
                self._tls.reload_changed()

    def _refresh_addresses(self) -> None:
        if self._locality.refresh():
            _log.info("addresses of the network interfaces have changed")
            for udp in self._udp.values():
                udp.forget_flows()


def _sweep_period(options: TransportOptions) -> float:
    """How often to look for overdue connections: a fraction of the shortest timeout."""
    timeouts = (
        options.idle_timeout,
        options.keepalive_interval,
        options.handshake_timeout,
        options.message_timeout,
        options.send_timeout,
        options.tls_check_interval,
    )
    shortest = min((timeout for timeout in timeouts if timeout > 0), default=_LONGEST_SWEEP)
    return min(max(shortest / _SWEEPS_PER_TIMEOUT, _SHORTEST_SWEEP), _LONGEST_SWEEP)
