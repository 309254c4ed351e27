"""What the relay remembers of a call: its two sides, its branches, its dialogs."""

from __future__ import annotations

from dataclasses import dataclass, field

from flexipy.media.relay import Expected, Leg, RelayedCall
from flexipy.media.thinning import Thinner
from flexipy.proxy.api import Fork, RequestEvent
from flexipy.sip import names as H
from flexipy.sip.message import Message
from flexipy.sip.params import decode
from flexipy.sip.sdp import Sdp
from flexipy.sip.transaction import ServerTransaction

Dialog = tuple[bytes, bytes, bytes]  # Call-ID and two tags, of who sent the INVITE first


@dataclass(slots=True, eq=False)
class Side:
    """One end of the relay.

    Attributes:
        bind: our address that packets of that side come to.
        announced: the address that side is told.
        signalling: where its messages come from.
    """

    bind: str = ""
    announced: str = ""
    signalling: str = ""


@dataclass(slots=True, eq=False, repr=False)
class RelayBranch:
    """A device that was called; it is shown by its address."""

    address: bytes
    side: Side = field(default_factory=Side)
    described: bool = False  # it has sent a description
    simplified: bool = False  # of which the caller was told the simplest form first

    def __repr__(self) -> str:
        return repr(decode(self.address))[1:-1]


@dataclass(slots=True, eq=False)
class Call:
    """A call whose media pass here: one INVITE and what it became.

    Attributes:
        transaction: key of the INVITE's server transaction.
        server: that transaction; None when the call is over.
        relay: its ports.
        caller: the side of who called.
        branches: by the event that carries them through the pipeline.
        winner: the branch that answered.
        events: of requests under way that carried a description, or a BYE: to be forgotten with the call.
        dialogs: under which the call is found.
    """

    transaction: bytes
    server: ServerTransaction | None
    relay: RelayedCall
    caller: Side
    branches: dict[RequestEvent, RelayBranch] = field(default_factory=dict)
    winner: RelayBranch | None = None
    events: set[RequestEvent] = field(default_factory=set)
    dialogs: set[Dialog] = field(default_factory=set)
    closed: bool = False

    def caller_leg(self, stream: int) -> Leg:
        """The leg toward the caller.

        Raises:
            RelayError: no port is free.
        """
        return self.relay.caller(stream, self.caller.bind)

    def branch_leg(self, branch: RelayBranch, stream: int) -> Leg:
        """The leg toward a branch.

        Raises:
            RelayError: no port is free.
        """
        return self.relay.branch(branch, stream, branch.side.bind)


@dataclass(slots=True, eq=False)
class Exchange:
    """A request under way whose responses matter to a call.

    Attributes:
        pending: what its offer said of each leg, which holds once it is answered: a refused offer changes nothing
            (RFC 3261 section 14.1).
        offer: what the request described, for its answer to be compared with.
        numbers: as `pending`, the payload types under which a branch's leg gets what the caller sends under others.
    """

    call: Call
    branch: RelayBranch
    from_caller: bool
    initial: bool = False
    ends_call: bool = False
    pending: list[tuple[Leg, Expected, Thinner | None]] = field(default_factory=list)
    offer: Sdp | None = None
    numbers: dict[Leg, dict[int, int]] = field(default_factory=dict)

    def agree(self) -> None:
        """The offer is answered."""
        for leg, expected, thinner in self.pending:
            if not leg.closed:
                leg.expect(expected)
                leg.thin(thinner)
        for leg, numbers in self.numbers.items():
            if not leg.closed:
                leg.renumber(numbers)
        self.pending.clear()
        self.numbers.clear()


class CallTable:
    """All calls, found by transaction, by dialog, or by a request under way."""

    def __init__(self) -> None:
        self.by_transaction: dict[bytes, Call] = {}
        self._by_dialog: dict[Dialog, tuple[Call, RelayBranch]] = {}
        self._exchanges: dict[RequestEvent, Exchange] = {}

    def __len__(self) -> int:
        return len(self.by_transaction)

    def add(self, call: Call) -> None:
        """Keep a new call."""
        self.by_transaction[call.transaction] = call

    def expect_response(self, event: RequestEvent, exchange: Exchange) -> None:
        """Remember a request until its final response."""
        event.awaits_repetitions = True
        self._exchanges[event] = exchange
        exchange.call.events.add(event)

    def exchange(self, event: RequestEvent | None) -> Exchange | None:
        """What a response belongs to, told by its request's event."""
        return None if event is None else self._exchanges.get(event)

    def settle(self, event: RequestEvent, exchange: Exchange) -> None:
        """The final response came."""
        self._exchanges.pop(event, None)
        exchange.call.events.discard(event)

    def enter_dialog(self, call: Call, branch: RelayBranch, response: Message) -> None:
        """Make a call findable by the dialog that a response begins."""
        dialog = dialog_of(response)
        if dialog is not None and dialog not in self._by_dialog:
            self._by_dialog[dialog] = (call, branch)
            call.dialogs.add(dialog)

    def find(self, request: Message) -> tuple[Call, RelayBranch, bool] | None:
        """The call a request within a dialog belongs to, the branch, and whether the caller sent it."""
        dialog = dialog_of(request)
        if dialog is None:
            return None
        found = self._by_dialog.get(dialog)
        if found is not None:
            return (*found, True)
        call_id, ours, theirs = dialog
        found = self._by_dialog.get((call_id, theirs, ours))
        return None if found is None else (*found, False)

    def forget(self, call: Call) -> None:
        """A call is over."""
        call.closed = True
        self.by_transaction.pop(call.transaction, None)
        for dialog in call.dialogs:
            self._by_dialog.pop(dialog, None)
        for event in call.events:
            self._exchanges.pop(event, None)
        call.events.clear()
        call.branches.clear()
        # An event knows the call that edits its INVITE: no way may lead back, or both would wait for the collector
        # of cycles, which runs rarely.
        call.server = None
        call.relay.close()


def forks(event: RequestEvent) -> bool:
    """Whether a request goes to several devices."""
    return isinstance(event.context, Fork) and event.context.added > 1


def dialog_of(message: Message) -> Dialog | None:
    """Call-ID, From tag and To tag; None where a tag is missing."""
    ours, theirs = message.tag(H.FROM), message.tag(H.TO)
    return (message.call_id, ours, theirs) if ours and theirs else None
