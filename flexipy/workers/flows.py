"""Connections that other workers have: found as one's own are, and sent on through their owner."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from flexipy.transport.connections import may_carry
from flexipy.transport.flow import Flow
from flexipy.transport.listener import Listener
from flexipy.transport.stream import StreamFlow
from flexipy.transport.target import Target

Name = bytes
"""A connection's name: the life of the worker that has it, and the flow's number there."""

_NAME: Final = struct.Struct("!4sQ")
NAME_SIZE: Final = _NAME.size
_NO_LISTENER: Final = -1
_Key = tuple[bytes, str, int]


def name_of(life: bytes, flow_id: int) -> Name:
    """The name of a connection.

    Args:
        life: four bytes, drawn at each start of a worker: numbers of flows begin anew with it.
        flow_id: `Flow.id`.
    """
    return _NAME.pack(life, flow_id)


def number_of(name: Name, life: bytes) -> int:
    """The number of the flow that a name stands for; 0 where it is one of a former life."""
    its_life, flow_id = _NAME.unpack(name)
    return flow_id if its_life == life else 0


class DistantFlow(Flow):
    """A connection that another worker has.

    Attributes:
        owner: the number of that worker.
        name: see `name_of`.
        outgoing: that worker opened it.
        tls_name: the name its certificate was verified for, when it was opened with TLS.
    """

    __slots__ = ("_send", "_shut", "name", "outgoing", "owner", "tls_name")

    def __init__(
        self,
        facts: FlowFacts,
        owner: int,
        listener: Listener | None,
        send: Callable[[DistantFlow, bytes], bool],
        shut: Callable[[DistantFlow], None],
    ) -> None:
        super().__init__(facts.transport, listener)
        self.owner = owner
        self.name = facts.name
        self.outgoing = facts.outgoing
        self.tls_name = facts.tls_name
        self.peer_names = facts.peer_names
        self._send = send
        self._shut = shut
        self.locate(facts.local, facts.remote)

    def send(self, data: bytes) -> bool:
        return not self.closed and self._send(self, data)

    def close(self) -> None:
        if not self.closed:
            self._shut(self)
            self.mark_closed()


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """What others must know of a connection."""

    name: Name
    transport: bytes
    listener: int
    local: tuple[str, int]
    remote: tuple[str, int]
    outgoing: bool
    tls_name: str
    peer_names: tuple[str, ...]

    @classmethod
    def of(cls, flow: StreamFlow, life: bytes, listeners: Sequence[Listener]) -> FlowFacts:
        """Those of a connection of our own.

        Args:
            flow: the connection.
            life: see `name_of`.
            listeners: all, in the order of the configuration, which is the same in each worker.
        """
        place = _NO_LISTENER if flow.listener is None else listeners.index(flow.listener)
        name = name_of(life, flow.id)
        ends = flow.local, flow.remote
        return cls(name, flow.transport, place, *ends, flow.outgoing, flow.tls_name, flow.peer_names)

    def __bytes__(self) -> bytes:
        ends = [*self.local, *self.remote]
        facts = [self.transport.decode(), self.listener, *ends, self.outgoing, self.tls_name, list(self.peer_names)]
        return self.name + json.dumps(facts).encode()

    @classmethod
    def read(cls, data: bytes) -> FlowFacts:
        """What `bytes` wrote."""
        transport, listener, *ends, outgoing, tls_name, peers = json.loads(data[NAME_SIZE:])
        local, remote = (ends[0], ends[1]), (ends[2], ends[3])
        return cls(data[:NAME_SIZE], transport.encode(), listener, local, remote, outgoing, tls_name, tuple(peers))


class DistantFlows:
    """The connections of all other workers.

    Args:
        listeners: our own listening points.
        send: sends bytes on such a flow; False when that is not possible now.
        shut: has its owner close it.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        send: Callable[[DistantFlow, bytes], bool],
        shut: Callable[[DistantFlow], None],
    ) -> None:
        self._listeners = listeners
        self._send = send
        self._shut = shut
        self._by_name: dict[Name, DistantFlow] = {}
        self._by_remote: dict[_Key, list[DistantFlow]] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def opened(self, owner: int, facts: FlowFacts) -> None:
        """A worker has a connection."""
        if facts.name in self._by_name:
            return
        listener = None if facts.listener == _NO_LISTENER else self._listeners[facts.listener]
        flow = DistantFlow(facts, owner, listener, self._send, self._shut)
        self._by_name[flow.name] = flow
        self._by_remote.setdefault((flow.transport, *flow.remote), []).append(flow)

    def closed(self, name: Name) -> None:
        """A worker's connection is gone."""
        flow = self._by_name.pop(name, None)
        if flow is None:
            return
        key = (flow.transport, *flow.remote)
        flows = self._by_remote[key]
        flows.remove(flow)
        if not flows:
            del self._by_remote[key]
        flow.mark_closed()

    def forget(self, owner: int) -> None:
        """A worker died, and its connections with it."""
        for name in [name for name, flow in self._by_name.items() if flow.owner == owner]:
            self.closed(name)

    def get(self, name: Name) -> DistantFlow | None:
        """The connection of a name."""
        return self._by_name.get(name)

    def find(self, target: Target) -> Flow | None:
        """A connection that may carry messages to a target; see `ConnectionTable.find`."""
        for flow in self._by_remote.get((target.transport, target.ip, target.port), ()):
            if not flow.closed and may_carry(flow, target, flow.outgoing, flow.tls_name):
                return flow
        return None

    def find_exact(self, transport: bytes, local: tuple[str, int], remote: tuple[str, int]) -> Flow | None:
        """The connection with these two ends."""
        for flow in self._by_remote.get((transport, *remote), ()):
            if not flow.closed and flow.local == local:
                return flow
        return None
