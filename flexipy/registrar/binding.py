"""What the registrar keeps: bindings of contacts, gathered in one record per address-of-record.

Both are mutable and slotted: ten thousands of them are held, and a refresh touches one in place. Nothing here
decides; see `update.py` for the rules of RFC 3261 section 10.3.
"""

from __future__ import annotations

import enum
from typing import Final

from flexipy.sip.params import Params, parse_params
from flexipy.sip.uri import SipUri

# A binding whose contact names no device gets an id of our own; Flexisip knows such ids by this prefix, which
# matters where both share one Redis.
PLACEHOLDER: Final = "fs-gen-"
NEVER: Final = float("inf")


class Binding:
    """One contact of one address-of-record.

    Attributes:
        key: the record's key, `user@host`.
        unique_id: what tells this binding from others of the record; survives refreshes.
        uri: the contact URI.
        contact_params: the Contact header parameters as they are shown again, `;name=value...`, without
            `expires` and GRUUs.
        instance_id: `urn:uuid:...` of `+sip.instance`, without quotes and brackets; None where absent.
        reg_id: RFC 5626 flow number; None without outbound.
        q: priority, 0 to 1.
        path: Path values in order, each a name-addr.
        call_id: of the REGISTER that wrote it.
        cseq: of that REGISTER.
        expires_at: wall clock seconds; `NEVER` for static ones.
        message_expires_at: until then MESSAGE still reaches it, 0 where not asked for.
        updated_at: when it was last registered.
        user_agent: of the REGISTER, may be empty.
        accept: of the REGISTER, may be empty.
        flow_token: opaque, names the connection it registered over; empty if none.
        is_static: comes from the static records file.
        used_as_route: registered for a whole domain: the contact is a next hop, not a target.
        due: the second in which the expiry queue looks at it; the queue's own.
        shown: what every answer to its renewal shows of it; empty until there was one. `contact_values` keeps it.
        source: what it was made from, as `Registrar.refresh` knows it; 0 where it cannot be renewed that way.
    """

    __slots__ = (
        "accept",
        "call_id",
        "contact_params",
        "cseq",
        "due",
        "expires_at",
        "flow_token",
        "instance_id",
        "is_static",
        "key",
        "message_expires_at",
        "path",
        "q",
        "reg_id",
        "shown",
        "source",
        "unique_id",
        "updated_at",
        "uri",
        "used_as_route",
        "user_agent",
    )

    def __init__(
        self,
        key: str,
        unique_id: str,
        uri: SipUri,
        contact_params: bytes = b"",
        instance_id: str | None = None,
        reg_id: int | None = None,
        q: float = 1.0,
        path: tuple[bytes, ...] = (),
        call_id: bytes = b"",
        cseq: int = 0,
        expires_at: float = NEVER,
        message_expires_at: float = 0.0,
        updated_at: float = 0.0,
        user_agent: bytes = b"",
        accept: bytes = b"",
        flow_token: bytes = b"",
        is_static: bool = False,
        used_as_route: bool = False,
    ) -> None:
        self.key = key
        self.unique_id = unique_id
        self.uri = uri
        self.contact_params = contact_params
        self.instance_id = instance_id
        self.reg_id = reg_id
        self.q = q
        self.path = path
        self.call_id = call_id
        self.cseq = cseq
        self.expires_at = expires_at
        self.message_expires_at = message_expires_at
        self.updated_at = updated_at
        self.user_agent = user_agent
        self.accept = accept
        self.flow_token = flow_token
        self.is_static = is_static
        self.used_as_route = used_as_route
        self.due = 0
        self.shown = b""
        self.source = 0

    @property
    def is_placeholder(self) -> bool:
        """Whether its contact named no device, so that the URI identifies it."""
        return self.unique_id.startswith(PLACEHOLDER)

    @property
    def lapses_at(self) -> float:
        """When nothing reaches it any more: SIP expiry or, if later, that for messages."""
        expires_at = self.expires_at
        message_expires_at = self.message_expires_at
        return expires_at if expires_at >= message_expires_at else message_expires_at

    @property
    def params(self) -> Params:
        """The Contact header parameters, decoded."""
        return parse_params(self.contact_params)

    def is_active(self, now: float) -> bool:
        """Whether calls may go to it."""
        return self.expires_at > now

    def __repr__(self) -> str:
        return f"<Binding {self.key} {self.unique_id} {self.uri} until {self.expires_at:.0f}>"


class Record:
    """The bindings of one address-of-record.

    Attributes:
        key: `user@host`, or `user@merged` where domains are merged.
        bindings: in the order of their first registration.
        earliest: no binding lapses before this time; a lower bound, so that a fetch rarely has to look.
    """

    __slots__ = ("bindings", "earliest", "key")

    def __init__(self, key: str, bindings: list[Binding] | None = None) -> None:
        self.key = key
        self.bindings: list[Binding] = bindings if bindings is not None else []
        self.earliest = 0.0

    def get(self, unique_id: str) -> Binding | None:
        """The binding of that id."""
        for binding in self.bindings:
            if binding.unique_id == unique_id:
                return binding
        return None

    def active(self, now: float) -> list[Binding]:
        """The bindings that calls may go to."""
        return [binding for binding in self.bindings if binding.expires_at > now]

    def __repr__(self) -> str:
        return f"<Record {self.key}: {len(self.bindings)}>"


class ChangeKind(enum.Enum):
    """What happened to a binding."""

    ADDED = "added"
    REPLACED = "replaced"  # the same unique id, other content: a new Binding object
    EXTENDED = "extended"  # only its times, CSeq and flow changed: the same Binding object
    REMOVED = "removed"
    EXPIRED = "expired"


# One change of a record, as a store writes it down; a plain tuple, as one is made for each registration.
Change = tuple[ChangeKind, Binding]
