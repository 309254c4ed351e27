"""What the registrar keeps: bindings of contacts, gathered in one record per address-of-record.

Both are mutable and slotted: a hundred thousand of them may be held, and a refresh touches one in place. What can be
told from something else is not kept. Nothing here decides; see `update.py` for the rules of RFC 3261 section 10.3.
"""

from __future__ import annotations

import enum
from typing import Final

from flexipy.registrar.sharing import shared
from flexipy.sip.params import Params, decode, encode, parse_params
from flexipy.sip.uri import SipUri

# A binding whose contact names no device gets an id of our own; Flexisip knows such ids by this prefix, which
# matters where both share one Redis.
PLACEHOLDER: Final = "fs-gen-"
NEVER: Final = float("inf")

# Stands for the instance id in the parameters of a binding whose unique id begins with it.
_INSTANCE: Final = b"\x00"


class Binding:
    """One contact of one address-of-record.

    Args:
        uri: the contact URI.
        contact_params: see the attribute.
        instance_id: see the attribute.

    Attributes:
        key: the record's key, `user@host`.
        unique_id: what tells this binding from others of the record; survives refreshes.
        uri_raw: the contact URI as it was written.
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
        has_gruu: its instance id can stand in a GRUU.
        due: the second in which the expiry queue looks at it; the queue's own.
        source: what it was made from, as `Registrar.refresh` knows it; 0 where it cannot be renewed that way.
    """

    __slots__ = (
        "_form",
        "_instance",
        "_is_told",
        "accept",
        "call_id",
        "cseq",
        "due",
        "expires_at",
        "flow_token",
        "has_gruu",
        "is_static",
        "key",
        "message_expires_at",
        "path",
        "q",
        "reg_id",
        "source",
        "unique_id",
        "updated_at",
        "uri_raw",
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
        # Not as a SipUri, which is four times as large and which its cache has while there is talk of it.
        self.uri_raw = uri.raw
        self._instance = instance_id
        self._form = contact_params
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
        self.has_gruu = instance_id is not None and _fits_uri(instance_id)
        self._is_told = instance_id is not None and _tells(unique_id, instance_id) and _INSTANCE not in contact_params
        self.due = 0
        self.source = 0
        if instance_id is not None and self._is_told:
            self._instance = None
            self._form = shared(contact_params.replace(encode(instance_id), _INSTANCE))

    @property
    def uri(self) -> SipUri:
        """The contact URI."""
        return SipUri.parse(self.uri_raw)

    @property
    def instance_id(self) -> str | None:
        """`urn:uuid:...` of `+sip.instance`, without quotes and brackets; None where absent."""
        if not self._is_told:
            return self._instance
        unique_id = self.unique_id
        return unique_id[1:-1] if unique_id[-1] == ">" else unique_id[1:].partition(">")[0]

    @property
    def contact_params(self) -> bytes:
        """The Contact header parameters as they are shown again, `;name=value...`, without `expires` and GRUUs."""
        instance = self.instance_id
        return self._form if instance is None else self.params_with(encode(instance))

    def params_with(self, instance: bytes) -> bytes:
        """`contact_params`, told the instance id, which whoever asks has at hand."""
        return self._form.replace(_INSTANCE, instance) if self._is_told else self._form

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
        return f"<Binding {self.key} {self.unique_id} {decode(self.uri_raw)} until {self.expires_at:.0f}>"


def _fits_uri(instance_id: str) -> bool:
    """Whether an instance id is a URN that can stand in a URI as it is (RFC 5627 section 4.1)."""
    if not instance_id.startswith("urn:") or not instance_id.isascii():
        return False
    return instance_id.replace(":", "").replace("-", "").isalnum()


def _tells(unique_id: str, instance_id: str) -> bool:
    """Whether a unique id begins with this instance id in angle brackets; behind them there may be a reg-id."""
    if not instance_id or ">" in instance_id:
        return False
    bracketed = f"<{instance_id}>"
    return unique_id == bracketed or (unique_id.startswith(bracketed) and unique_id[-1] != ">")


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
