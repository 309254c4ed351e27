"""The media relay: calls whose RTP, RTCP, STUN and DTLS pass through this host.

The behaviour is that of Flexisip's media relay. What the caller sends goes to every branch that answered with SDP;
what branches send reaches the caller from the one that leads. No SIP here: whoever rewrites the session descriptions
asks for legs, tells what the descriptions said, and says which branch answered, won or failed.
"""

import logging
import time
from collections.abc import Callable, Collection

from flexipy.media.call import RelayedCall
from flexipy.media.leg import Leg
from flexipy.media.ports import PortPool
from flexipy.media.terms import Expected, RelayError, RelayOptions

__all__ = ["Expected", "Leg", "MediaRelay", "RelayError", "RelayOptions", "RelayedCall"]

_log = logging.getLogger(__name__)

_COUNTERS = (
    "relay_calls",
    "relay_calls_refused",
    "relay_packets",
    "relay_bytes",
    "relay_copies",
    "relay_strangers",
    "relay_thinned",
    "relay_malformed",
    "relay_send_failures",
    "relay_socket_errors",
    "relay_inactive_calls",
    "relay_port_exhaustions",
    "relay_key_frame_requests",
)


class MediaRelay:
    """All relayed calls of this process.

    Attributes:
        counters: sums since the start; `relay_packets` and `relay_bytes` count what was received and taken,
            `relay_copies` what was sent on.

    """

    def __init__(
        self,
        options: RelayOptions,
        on_inactive: Callable[[RelayedCall], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a relay without calls.

        Args:
            options: limits.
            on_inactive: told of a call without media for too long, just before it is closed.
            clock: seconds, steady.

        """
        self.counters = dict.fromkeys(_COUNTERS, 0)
        self._options = options
        self._on_inactive = on_inactive
        self._clock = clock
        self._pool = PortPool(options.first_port, options.last_port)
        self._calls: dict[RelayedCall, None] = {}

    @property
    def calls(self) -> Collection[RelayedCall]:
        """The calls that live, oldest first."""
        return self._calls.keys()

    def open(self, name: str) -> RelayedCall:
        """Begin a call; ports are taken when legs are asked for.

        Args:
            name: for logs and reports, such as the Call-ID; need not be unique.

        Raises:
            RelayError: "calls": there are as many as `max_calls` allows.

        """
        limit = self._options.max_calls
        if limit and len(self._calls) >= limit:
            self.counters["relay_calls_refused"] += 1
            raise RelayError("calls", f"{limit} calls are relayed already, the most that are allowed")
        call = RelayedCall(name, self._options, self._pool, self.counters, self._clock, self._forget)
        self._calls[call] = None
        self.counters["relay_calls"] += 1
        return call

    def owns(self, ip: str, port: int) -> bool:
        """Whether a leg of ours listens there: media sent to it would come back to us."""
        return self._pool.holds(ip, port)

    def tick(self, now: float) -> None:
        """Close the calls that fell silent; to be called about once a second.

        Args:
            now: of the relay's clock.

        """
        for call in list(self._calls):
            call.tick(now)
            if now - call.heard >= self._options.inactivity:
                self._end_inactive(call)

    def _end_inactive(self, call: RelayedCall) -> None:
        self.counters["relay_inactive_calls"] += 1
        _log.info("%s: no media for %g s, relaying ends", call.name, self._options.inactivity)
        try:
            if self._on_inactive is not None:
                self._on_inactive(call)
        except Exception:
            _log.exception("%s: its end could not be told", call.name)
        call.close()

    def _forget(self, call: RelayedCall) -> None:
        self._calls.pop(call, None)

    def close(self) -> None:
        """Close all calls."""
        for call in list(self._calls):
            call.close()
