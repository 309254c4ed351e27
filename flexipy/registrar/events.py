"""Who waits for a device hears of it: events of one address-of-record.

A call that rings on (fork-late) and a message for a sleeping phone subscribe here. Nobody listening costs one
dictionary miss for each registration.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flexipy.registrar.binding import Binding, Change, ChangeKind

logger = logging.getLogger(__name__)


class EventKind(enum.Enum):
    """What happened to a binding."""

    REGISTERED = "registered"
    REFRESHED = "refreshed"
    REMOVED = "removed"
    EXPIRED = "expired"


@dataclass(slots=True, frozen=True)
class RegistrarEvent:
    """One binding of one record came, was renewed, or went."""

    key: str
    binding: Binding
    kind: EventKind


Listener = Callable[[RegistrarEvent], None]

_KINDS = {
    ChangeKind.ADDED: EventKind.REGISTERED,
    ChangeKind.REPLACED: EventKind.REFRESHED,
    ChangeKind.EXTENDED: EventKind.REFRESHED,
    ChangeKind.REMOVED: EventKind.REMOVED,
    ChangeKind.EXPIRED: EventKind.EXPIRED,
}


class Subscription:
    """A listener's stay; `cancel` ends it, as often as called."""

    __slots__ = ("_listener", "_subscribers", "key")

    def __init__(self, subscribers: Subscribers, key: str, listener: Listener) -> None:
        self._subscribers = subscribers
        self._listener: Listener | None = listener
        self.key = key

    def cancel(self) -> None:
        """No event comes any more, not even one being told to others at this moment."""
        if self._listener is not None:
            self._listener = None
            self._subscribers.remove(self)

    def tell(self, event: RegistrarEvent) -> None:
        """Call the listener, if it still listens."""
        if self._listener is not None:
            self._listener(event)


class Subscribers:
    """Listeners by record key.

    Attributes:
        by_key: whose records are listened to; for a quick look, `add` and `remove` change it.
    """

    __slots__ = ("by_key",)

    def __init__(self) -> None:
        self.by_key: dict[str, list[Subscription]] = {}

    def __len__(self) -> int:
        return sum(len(listening) for listening in self.by_key.values())

    def add(self, key: str, listener: Listener) -> Subscription:
        """Tell a listener of each change of a record from now on."""
        subscription = Subscription(self, key, listener)
        self.by_key.setdefault(key, []).append(subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        listening = self.by_key.get(subscription.key, [])
        if subscription in listening:
            listening.remove(subscription)
        if not listening:
            self.by_key.pop(subscription.key, None)

    def tell(self, key: str, changes: Iterable[Change]) -> None:
        """Tell each listener of a record what changed; one that fails doesn't keep it from the others."""
        listening = self.by_key.get(key)
        if listening is None:
            return
        for kind, binding in changes:
            event = RegistrarEvent(key, binding, _KINDS[kind])
            for subscription in list(listening):
                try:
                    subscription.tell(event)
                except Exception:
                    logger.exception("a listener for %s failed", key)
