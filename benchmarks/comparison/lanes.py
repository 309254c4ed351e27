"""Load over several ports at once, as from several clients: what a server of several processes needs to show itself.

Each lane is a caller and its callees on ports of their own, with users of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from comparison.servers import PASSWORD, Needs, Server, free_ports, user
from comparison.sipp import LoadError, Outcome, Pace, Sipp, registration
from comparison.tls import TlsPhones

_HOST = "127.0.0.1"
_LANES = 4
_RINGING: tuple[object, ...] = ("-d", 20)  # milliseconds
_TALKING: tuple[object, ...] = ("-d", 100)
_IN_FLIGHT = 50
_SETTLING_S = 5  # for the phones to say that they gave up
_SIPP_TRANSPORTS = {"udp": "u1", "tcp": "t1"}
_CALLER = f"[authentication username=caller password={PASSWORD}]"


@dataclass(slots=True, frozen=True)
class Operation:
    """Something that servers are asked to do.

    Attributes:
        title: in the table.
        sender: scenario of who begins.
        receivers: scenarios of the devices of each user.
        extra: arguments of the sender.
        receiver_extra: arguments of the first receiver.
        needs: of the server.
        phones: what the phones of `tls_phones.py` do, where no sipp does it.
        share: of the usual rate, at which its cost is measured; less where each takes a server much longer.
    """

    title: str
    sender: str = ""
    receivers: tuple[str, ...] = ()
    extra: tuple[object, ...] = ()
    receiver_extra: tuple[object, ...] = ()
    needs: Needs = field(default_factory=Needs)
    phones: str = ""
    share: float = 1.0

    @property
    def transport(self) -> str:
        """By which all messages go."""
        return self.needs.transports[-1]


_TCP = Needs(("udp", "tcp"))
_TLS = Needs(("udp", "tls"))
OPERATIONS = {
    "registration": Operation("registration", "register"),
    "call": Operation("call", "caller", ("callee",), _TALKING, _RINGING),
    "call-auth": Operation(
        "call with password", "caller_auth", ("callee",), _TALKING, _RINGING, Needs(challenged=("REGISTER", "INVITE"))
    ),
    "message": Operation("MESSAGE", "sender", ("reader",)),
    "options": Operation("OPTIONS", "asker", ("answerer",)),
    "fork": Operation("call, 3 devices", "caller", ("callee", "ringer", "ringer"), _TALKING, _RINGING),
    "registration-tcp": Operation("registration, TCP", "register", needs=_TCP),
    "call-tcp": Operation("call, TCP", "caller", ("callee",), _TALKING, _RINGING, _TCP),
    "message-tcp": Operation("MESSAGE, TCP", "sender", ("reader",), needs=_TCP),
    "registration-tls": Operation("registration, TLS", needs=_TLS, phones="register"),
    "registration-tls-new": Operation("registration, new TLS", needs=_TLS, phones="arrive", share=0.1),
    "message-tls": Operation("MESSAGE, TLS", needs=_TLS, phones="message"),
}


class Lanes:
    """Lanes of one operation through one server.

    Args:
        server: started for it.
        operation: what is done.
        users: all that are called or that register.
    """

    def __init__(self, server: Server, operation: Operation, users: range) -> None:
        self._server = server
        self._operation = operation
        part = len(users) // _LANES
        self._users = [users[place * part : (place + 1) * part] for place in range(_LANES)]
        devices = max(1, len(operation.receivers))
        self._ports = [free_ports(devices) for _ in range(_LANES)]
        self._phones: list[TlsPhones] = []

    def enrol(self) -> None:
        """Register every device of every user once.

        Raises:
            LoadError: one could not be.
        """
        for lane, users in enumerate(self._users):
            for device, port in enumerate(self._ports[lane]):
                at, transport = f"{_HOST}:{port}", self._operation.transport
                fields = [registration(number, number + device * 1_000_000, at, transport) for number in users]
                self._register(lane, port, fields, Pace(len(users), 0), "udp").wait(60)

    def run(self, rate: float, seconds: float, patience: float = 30) -> Outcome:
        """Put a load on the server; what became of it.

        Args:
            rate: operations begun each second, in all lanes together.
            seconds: for how long.
            patience: seconds to wait for the last ones.
        """
        pace = Pace(max(1, round(rate * seconds / _LANES)), max(1, round(rate / _LANES)))
        if self._operation.phones:
            return self._run_phones(pace, seconds, patience)
        receivers = [sipp for lane in range(_LANES) for sipp in self._receivers(lane, pace.count)]
        senders = [self._sender(lane, pace) for lane in range(_LANES)]
        try:
            return _together([sender.outcome(seconds + patience) for sender in senders])
        finally:
            for sipp in (*senders, *receivers):
                with suppress(ProcessLookupError):
                    sipp.stop()

    def close(self) -> None:
        """End what lasts from run to run."""
        for phones in self._phones:
            phones.stop()

    def _run_phones(self, pace: Pace, seconds: float, patience: float) -> Outcome:
        if not self._phones:
            self._phones += [TlsPhones(self._server, self._operation.phones, users) for users in self._users]
            for phones in self._phones:
                phones.await_open()
        for phones in self._phones:
            phones.begin(pace, patience)
        return _together([phones.outcome(pace.count, seconds + patience + _SETTLING_S) for phones in self._phones])

    def _receivers(self, lane: int, count: int) -> list[Sipp]:
        operation = self._operation
        found = []
        for place, (scenario, port) in enumerate(zip(operation.receivers, self._ports[lane], strict=False)):
            extra = operation.receiver_extra if place == 0 else ()
            found.append(self._sipp(scenario, 10 * count, port, *extra, transport=operation.transport))
        return found

    def _sender(self, lane: int, pace: Pace) -> Sipp:
        operation = self._operation
        users = self._users[lane]
        port = self._ports[lane][0]
        if operation.sender == "register":
            fields = [registration(number, number, f"{_HOST}:{port}", operation.transport) for number in users]
            return self._register(lane, port, fields, pace, operation.transport)
        fields = [f"{user(number)};{_CALLER}" for number in users]
        inject = self._injection(lane, operation.sender, fields)
        extra = (*operation.extra, *_pacing(pace), "-inf", inject, f"{_HOST}:{self._server.port}")
        return self._sipp(
            operation.sender,
            pace.count,
            free_ports(1)[0],
            "-auth_uri",
            "bench.test",
            *extra,
            transport=operation.transport,
        )

    def _register(
        self, lane: int, port: int, fields: Sequence[str], pace: Pace, transport: str, *extra: object
    ) -> Sipp:
        inject = self._injection(lane, "register", fields)
        extra = (*extra, *_pacing(pace), "-inf", inject, "-auth_uri", "bench.test", f"{_HOST}:{self._server.port}")
        return self._sipp("register", pace.count, port, *extra, transport=transport)

    def _sipp(self, scenario: str, count: int, port: int, *extra: object, transport: str) -> Sipp:
        return Sipp(scenario, count, self._server.directory, port, "-t", _SIPP_TRANSPORTS[transport], *extra)

    def _injection(self, lane: int, name: str, fields: Sequence[str]) -> Path:
        path = self._server.directory / f"{name}-{lane}.fields"
        path.write_text("\n".join(["SEQUENTIAL", *fields]) + "\n")
        return path


def _pacing(pace: Pace) -> list[object]:
    if pace.rate:
        return ["-r", pace.rate, "-l", max(100, pace.rate * 4)]
    return ["-r", 100_000, "-l", _IN_FLIGHT]


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        max(abs(outcome.status) for outcome in outcomes),
        sum(outcome.asked for outcome in outcomes),
        sum(outcome.done for outcome in outcomes),
        sum(outcome.failed for outcome in outcomes),
        sum(outcome.retransmissions for outcome in outcomes),
        next((outcome.said for outcome in outcomes if outcome.said), ""),
    )


__all__ = ["OPERATIONS", "LoadError", "Lanes", "Operation"]
