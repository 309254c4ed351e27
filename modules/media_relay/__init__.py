"""MediaRelay: lets audio and video pass through the server, and shows the caller's to every device that rings.

`internal.py` relays in this process, `external.py` has an rtpengine do it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, Protocol

from flexipy.modules.media_relay.external import ExternalRelay
from flexipy.modules.media_relay.internal import InternalRelay
from flexipy.proxy.api import (
    Module,
    ModuleContext,
    RequestEvent,
    ResponseEvent,
    boolean,
    duration,
    enum,
    integer,
    integer_range,
    string,
    string_list,
)

_METHODS: Final = frozenset((b"INVITE", b"ACK", b"BYE", b"PRACK", b"UPDATE"))


class Backend(Protocol):
    """Who relays: told of each message of a call, which it edits."""

    def provide(self) -> None:
        """Offer services to other modules."""

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """Free everything."""

    def on_request(self, event: RequestEvent) -> Awaitable[None] | None:
        """A request of a call."""

    def on_response(self, event: ResponseEvent) -> Awaitable[None] | None:
        """A response of a call."""


class MediaRelayModule(Module):
    """Relay the media of calls.

    Attributes:
        backend: who does it.
    """

    name = "MediaRelay"
    help = (
        "Lets audio and video pass through the server, for devices that cannot reach each other, and copies what the "
        "caller sends to every device that rings and has described its media: a door's camera is seen before anybody "
        "answers. Session descriptions are rewritten to name the relay; encrypted media pass as they are."
    )
    enabled_by_default = True
    methods = _METHODS
    parameters = (
        enum(
            "media-relay-backend",
            "internal",
            "`internal` relays in this process. `rtpengine` has one of `rtpengine-servers` do it, for more calls than "
            "this machine carries; before the answer encrypted media of the caller then reach one device only.",
            ("internal", "rtpengine"),
        ),
        string_list(
            "rtpengine-servers",
            "127.0.0.1:2223",
            "Control ports (ng protocol, UDP) of rtpengine, `host:port`; a call stays with the one that took it, and "
            "one that does not answer is left out for a while.",
        ),
        string(
            "nortpproxy",
            "nortpproxy",
            "SDP attribute that marks a session as relayed, so that the next proxy stays out; it does not when it "
            "forks the call, as each device then needs a copy of the media. `disable` for no mark.",
        ),
        integer_range("sdp-port-range", "1024-65535", "UDP ports to use.", minimum=1, maximum=65535),
        boolean("bye-orphan-dialogs", "false", "End calls whose media have stopped by a BYE to both sides."),
        integer("max-calls", "0", "Calls relayed at once, more are answered 503; 0 is without limit.", minimum=0),
        boolean(
            "force-relay-for-non-ice-targets",
            "true",
            "Relay also for devices without ICE. `false` leaves the media of calls between such devices alone.",
        ),
        boolean("prevent-loops", "true", "Leave descriptions alone that name a port of this relay already."),
        boolean("early-media-relay-single", "true", "Before the answer, let the caller hear one device only."),
        integer(
            "max-early-media-per-call",
            "0",
            "Devices that may see the caller and be heard before one answers; 0 is without limit.",
            minimum=0,
        ),
        duration("inactivity-period", "3600", "A call without any packet for this long is given up."),
        boolean(
            "force-public-ip-for-sdp-masquerading",
            "false",
            "Announce the address that the public name in `transports` stands for, also where the name is no address.",
        ),
        integer("sdp-port-range-min", "1024", "Use sdp-port-range.", implemented=False),
        integer("sdp-port-range-max", "65535", "Use sdp-port-range.", implemented=False),
        integer(
            "h264-filtering-bandwidth",
            "0",
            "Send only the key frames of H.264 video to receivers whose description allows less than this many kbit/s "
            "in its bandwidth line; 0 is never. Encrypted video passes as it is.",
            minimum=0,
        ),
        integer("h264-iframe-decim", "1", "Of those key frames every n-th.", minimum=1),
        boolean(
            "h264-decim-only-last-proxy",
            "true",
            "Do so only toward receivers that no other proxy stands before.",
        ),
        boolean("drop-telephone-event", "false", "Keep dialled digits (RFC 4733) back."),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        external = context.values.string("media-relay-backend") == "rtpengine"
        self.backend: Backend = ExternalRelay(context) if external else InternalRelay(context)

    def provide(self) -> None:
        """Offer the relay, for its figures."""
        self.backend.provide()

    async def start(self) -> None:
        """Start the clocks, find the engines."""
        await self.backend.start()

    async def stop(self) -> None:
        """Free every port."""
        await self.backend.stop()

    def on_request(self, event: RequestEvent) -> Awaitable[None] | None:
        """Make the description in it name the relay."""
        return self.backend.on_request(event)

    def on_response(self, event: ResponseEvent) -> Awaitable[None] | None:
        """Make the description in it name the relay; a final answer settles who is relayed."""
        return self.backend.on_response(event)
