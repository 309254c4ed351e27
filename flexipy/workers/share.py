"""What modules see of the other workers: which part of the work is this one's, and a way to tell the others."""

from __future__ import annotations

from collections.abc import Callable

from flexipy.workers.ownership import owner_of_key

Tell = Callable[[bytes], None]


class Share:
    """One worker's share; a service for modules that keep something of their own.

    Args:
        index: the number of this worker.
        count: how many there are.
        send: has all other workers hear something on a subject.
        take_in: has this one hear what the others have said.

    Attributes:
        take_in: to be called before a decision that depends on what the others have said; else it is heard soon.
    """

    def __init__(
        self, index: int, count: int, send: Callable[[bytes, bytes], None], take_in: Callable[[], None]
    ) -> None:
        self.take_in = take_in
        self.index = index
        self.count = count
        self._send = send
        self._listeners: dict[bytes, Tell] = {}

    def has_record(self, key: str) -> bool:
        """Whether messages for this record come to this worker."""
        return owner_of_key(key, self.count) == self.index

    def subject(self, name: bytes, listener: Tell) -> Tell:
        """Share a subject with the same module of the other workers. Nothing is said to those that come later.

        Args:
            name: one byte, the same in all workers.
            listener: called with what the others say, perhaps in the middle of something else: it may only take note.

        Returns:
            Says something to all others.
        """
        self._listeners[name] = listener
        return lambda what: self._send(name, what)

    def hear(self, name: bytes, what: bytes) -> None:
        """Another worker said something."""
        listener = self._listeners.get(name)
        if listener is not None:
            listener(what)
