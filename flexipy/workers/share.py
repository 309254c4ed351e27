"""Which part of the work falls to this worker, for what is kept by each for itself."""

from __future__ import annotations

from flexipy.workers.ownership import owner_of_key


class Share:
    """Which part of the work is this worker's; a service for modules that keep something of their own.

    Args:
        index: the number of this worker.
        count: how many there are.
    """

    def __init__(self, index: int, count: int) -> None:
        self.index = index
        self.count = count

    def has_record(self, key: str) -> bool:
        """Whether requests that change this record, and messages for it, come to this worker."""
        return owner_of_key(key, self.count) == self.index
