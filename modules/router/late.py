"""Waiting for devices: a ringing call takes in who registers meanwhile, a message waits for its devices."""

from __future__ import annotations

from collections.abc import Callable

from flexipy.proxy.api import BasicFork, CallFork, Fork, MessageFork, ModuleContext, Request
from flexipy.registrar.binding import Binding
from flexipy.registrar.events import EventKind, RegistrarEvent
from flexipy.registrar.registrar import Registrar
from flexipy.sip.uri import SipUri

from .targets import Destination


class LateDevices:
    """Subscribes forks to the registrar, for as long as they live.

    Args:
        context: the Router's.
        registrar: tells who registers.
        clock: monotonic seconds.
    """

    def __init__(self, context: ModuleContext, registrar: Registrar, clock: Callable[[], float]) -> None:
        self._context = context
        self._registrar = registrar
        self._clock = clock

    def watch(
        self,
        fork: CallFork | MessageFork | BasicFork,
        keys: set[str],
        original: Request,
        target: SipUri,
        device: str = "",
    ) -> None:
        """Send the request also to devices that register under one of the keys until the fork is over.

        Args:
            fork: lives until its `finish`.
            keys: registrar keys.
            original: the request before any target was put in.
            target: the address asked for; a GRUU restricts it to one device.
            device: unique id of the only binding that counts, or empty.
        """
        wanted = target.param("gr")

        def on_event(event: RegistrarEvent) -> None:
            binding = event.binding
            if device and binding.unique_id != device:
                return
            if event.kind in (EventKind.REGISTERED, EventKind.REFRESHED) and self._fits(binding, wanted):
                self._arrived(fork, event.binding, original)

        for key in keys:
            fork.finished_listeners.append(self._registrar.subscribe(key, on_event).cancel)

    @staticmethod
    def _fits(binding: Binding, wanted: str | None) -> bool:
        return not wanted or (binding.instance_id or binding.unique_id).lower() == wanted.lower()

    def _arrived(self, fork: Fork, binding: Binding, original: Request) -> None:
        destination = Destination.of(binding)
        request = destination.request_from(original)
        now = self._clock()
        if isinstance(fork, MessageFork):
            if fork.deliver(request, destination.uid, destination.flow_token, now):
                self._context.counters["messages_delivered_late"] += 1
        elif isinstance(fork, CallFork):
            fork.replace(request, destination.uid, destination.q, destination.flow_token, now)
        elif isinstance(fork, BasicFork):
            fork.replace(request, destination.uid, destination.flow_token, now)
