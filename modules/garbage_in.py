"""GarbageIn: makes requests vanish."""

from __future__ import annotations

from flexipy.proxy.api import Module, RequestEvent


class GarbageIn(Module):
    """Drop without an answer."""

    name = "GarbageIn"
    help = (
        "Drops the requests that its filter describes, such as those of scanners, without an answer. Without a filter "
        "of your own it drops nothing."
    )
    default_filter = "false"

    def on_request(self, event: RequestEvent) -> None:
        """Drop it."""
        self.context.counters["garbage_dropped"] += 1
        event.drop()
