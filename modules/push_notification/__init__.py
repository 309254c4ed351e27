"""PushNotification: wakes the app of a device that a call, a message or another request is for."""

from __future__ import annotations

from collections.abc import Awaitable

from flexipy.proxy.api import Module, ModuleContext, RequestEvent, ResponseEvent

from .parameters import PARAMETERS


class PushNotification(Module):
    """Wake devices."""

    name = "PushNotification"
    help = (
        "Wakes telephones whose app sleeps, by a push through the maker of their operating system, through the maker "
        "of a browser, or through a service of your own. Calls wait for the woken app with `fork-late` of "
        "`[module::Router]`."
    )
    parameters = PARAMETERS

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        # Every server loads the classes of all modules; one that pushes nothing pays for no more than this file.
        from .pushing import Pushing

        self.pushing = Pushing(context)

    def provide(self) -> None:
        """Offer the push services to others."""
        from flexipy.push.provider import Pusher

        self.context.provide(Pusher, self.pushing.service)

    async def start(self) -> None:
        """Get hold of the registrar, and say what will not work."""
        await self.pushing.start()

    async def stop(self) -> None:
        """Close the connections to push services."""
        await self.pushing.service.close()

    def reload(self) -> list[str]:
        """Read keys anew; what is wrong with them is logged as soon as it is known."""
        self.pushing.service.reload()
        return []

    def on_request(self, event: RequestEvent) -> Awaitable[None] | None:
        """See whether the device of a branch has to be woken; the request itself goes on at once."""
        if event.branch is not None and event.request.uri_raw.find(b"pn-") >= 0:
            self.pushing.look_at(event)
        return None

    def on_response(self, event: ResponseEvent) -> Awaitable[None] | None:
        """A branch that failed here cannot answer any more: its push need not wait."""
        if event.flow is None:
            self.pushing.failed(event)
        return None
