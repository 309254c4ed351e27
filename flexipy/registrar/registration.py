"""What comes in: a REGISTER's content as a value, the registrar's options, and its refusals."""

from __future__ import annotations

from dataclasses import dataclass, field

from flexipy.sip.errors import SipError
from flexipy.sip.headers import NameAddr
from flexipy.sip.uri import SipUri


class RegistrationError(SipError):
    """A REGISTER that is refused.

    Attributes:
        reason: the reason phrase.
        headers: header lines for the answer (`Min-Expires: 60`).
    """

    def __init__(self, status: int, reason: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(reason, status)
        self.reason = reason
        self.headers = headers


@dataclass(slots=True)
class Registration:
    """What a REGISTER asks for (RFC 3261 section 10.2).

    Attributes:
        aor_key: the record's key, made by the caller (`uri.aor`, or `user@merged`).
        aor: the address-of-record, from To.
        contacts: Contact values; none for a mere fetch.
        star: the Contact was `*`.
        default_expires: the Expires header, None where absent.
        supports_gruu: `Supported: gruu`.
        supports_outbound: `Supported: outbound`; without it a reg-id is ignored (RFC 5626 section 6).
        supports_path: `Supported: path`.
        flow_token: opaque, names the connection the request came over.
        source: a hash of all that decides about the binding but Call-ID, CSeq and flow, so that a device which
            says the same again is recognised; 0 for none.
    """

    aor_key: str
    aor: SipUri
    contacts: list[NameAddr] = field(default_factory=list)
    star: bool = False
    default_expires: int | None = None
    call_id: bytes = b""
    cseq: int = 0
    path: tuple[bytes, ...] = ()
    supports_gruu: bool = False
    supports_outbound: bool = False
    supports_path: bool = False
    user_agent: bytes = b""
    accept: bytes = b""
    flow_token: bytes = b""
    source: int = 0


@dataclass(slots=True, frozen=True)
class RegistrarOptions:
    """Parameters of `[module::Registrar]` that decide about bindings; durations in seconds.

    Attributes:
        max_contacts_by_aor: beyond this number the oldest binding is dropped.
        max_contacts_per_registration: a REGISTER with more is refused.
        unique_id_parameters: searched in this order, in Contact parameters and then in the URI's; lower case.
        force_expires: replaces whatever was asked for; 0 for off.
        reject_too_brief: answer 423 below `min_expires` instead of granting the minimum.
        message_expires_param_name: Contact parameter that keeps a device reachable for MESSAGE.
        expire_randomizer_max: percentage by which the answered expiry may be shortened.
        enable_temporary_gruu: also hand out temp-gruu (RFC 5627 section 3.1.2).
        gruu_secret: key of temporary GRUUs; where empty they don't survive a restart.
    """

    max_contacts_by_aor: int = 12
    max_contacts_per_registration: int = 12
    unique_id_parameters: tuple[str, ...] = ("+sip.instance", "pn-tok", "line")
    enable_gruu: bool = True
    enable_temporary_gruu: bool = True
    max_expires: int = 86400
    min_expires: int = 60
    default_expires: int = 600
    force_expires: int = 0
    reject_too_brief: bool = False
    message_expires_param_name: str = "message-expires"
    expire_randomizer_max: int = 0
    gruu_secret: bytes = b""
