"""What every part of the transport room shares."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from flexipy.transport.counters import Counters
from flexipy.transport.flow import Flow
from flexipy.transport.load import LoadMeter
from flexipy.transport.options import TransportOptions

OnMessage = Callable[[bytes, Flow, float], None]
"""Called with the bytes of one message, its flow, and time.monotonic() of the wake-up that brought it."""


class Batch(Protocol):
    """What wants to do something once for all datagrams that are read together, before any of them is answered."""

    def hold(self) -> None:
        """Datagrams are about to be read."""

    def settle(self) -> None:
        """They have been dealt with; the answers leave next."""


@dataclass(slots=True)
class TransportContext:
    """Handed to each listener and connection by `Transports`."""

    on_message: OnMessage
    options: TransportOptions
    counters: Counters = field(default_factory=Counters)
    load: LoadMeter = field(default_factory=lambda: LoadMeter(0.0))
    batch: Batch | None = None
