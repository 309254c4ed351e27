"""BYEs for a call whose media have stopped: the proxy speaks to each side as if the other had hung up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from flexipy.proxy.api import Request
from flexipy.sip import names as H
from flexipy.sip.errors import SipError
from flexipy.sip.headers import NameAddr
from flexipy.sip.message import Message, unfold

# Above what either side will have reached by itself, as the proxy has not counted (RFC 3261 section 12.2.1.1).
_CSEQ: Final = 1_000_000


@dataclass(slots=True)
class DialogSides:
    """What a BYE to either side needs of a dialog.

    Attributes:
        routes_to_caller: Route values from here to the caller, nearest first.
        routes_to_callee: those to the callee.
    """

    call_id: bytes
    caller: bytes  # From of the INVITE, with its tag
    callee: bytes = b""  # To of the answer, with its tag
    caller_contact: bytes = b""
    callee_contact: bytes = b""
    routes_to_caller: list[bytes] = field(default_factory=list)
    routes_to_callee: list[bytes] = field(default_factory=list)

    @staticmethod
    def of_invite(request: Message) -> DialogSides:
        """What the INVITE tells, as it came."""
        return DialogSides(
            request.call_id,
            request.require(H.FROM),
            caller_contact=_contact(request),
            routes_to_caller=request.get_all(H.RECORD_ROUTE),
        )

    def behind_proxy(self, caller: bool) -> bool:
        """Whether another proxy stands between here and the caller, or the callee."""
        return bool(self.routes_to_caller if caller else self.routes_to_callee)

    def answered(self, response: Message, is_own: Callable[[bytes], bool]) -> None:
        """What a response tells, as it came: the Record-Routes above ours were put in beyond us."""
        self.callee = response.require(H.TO)
        self.callee_contact = _contact(response) or self.callee_contact
        beyond: list[bytes] = []
        for value in response.get_all(H.RECORD_ROUTE):
            if is_own(NameAddr.parse(value).uri_raw):
                break
            beyond.append(value)
        self.routes_to_callee = beyond[::-1]


def byes_of(sides: DialogSides) -> list[Request]:
    """A BYE to the caller and one to the callee, as far as the dialog is known."""
    found: list[Request] = []
    if not sides.callee:
        return found
    if sides.caller_contact:
        found.append(_bye(sides.call_id, sides.callee, sides.caller, sides.caller_contact, sides.routes_to_caller))
    if sides.callee_contact:
        found.append(_bye(sides.call_id, sides.caller, sides.callee, sides.callee_contact, sides.routes_to_callee))
    return found


def _bye(call_id: bytes, sender: bytes, reader: bytes, contact: bytes, routes: list[bytes]) -> Request:
    bye = Request(b"BYE", contact, [])
    bye.append(H.MAX_FORWARDS, b"Max-Forwards: 70")
    for route in routes:
        bye.append(H.ROUTE, b"Route: " + route)
    bye.append(H.FROM, b"From: " + sender)
    bye.append(H.TO, b"To: " + reader)
    bye.append(H.CALL_ID, b"Call-ID: " + call_id)
    bye.append(H.CSEQ, b"CSeq: %d BYE" % _CSEQ)
    bye.append(H.REASON, b'Reason: Q.850;cause=102;text="no media"')
    bye.set_body(b"")
    return bye


def _contact(message: Message) -> bytes:
    value = message.get(H.CONTACT)
    if value is None:
        return b""
    try:
        return NameAddr.parse(unfold(value)).uri_raw
    except SipError:
        return b""
