"""From a Contact value of a REGISTER to the binding it asks for (RFC 3261 section 10.3, RFC 5626 section 6).

Expiry is decided here: the contact's own, else the Expires header, else the default; held to the limits.
"""

from __future__ import annotations

from typing import Final

from flexipy.registrar.binding import Binding
from flexipy.registrar.registration import RegistrarOptions, Registration, RegistrationError
from flexipy.registrar.sharing import shared, shared_path
from flexipy.sip.errors import SipError
from flexipy.sip.headers import NameAddr, is_token
from flexipy.sip.params import Params, encode, quote
from flexipy.sip.uri import SipUri

_OURS: Final = frozenset(("expires", "pub-gruu", "temp-gruu"))
# RFC 3840 section 9: the values of feature parameters stand in quotes, tokens too; so do those of all `+` ones
_FEATURE_TAGS: Final = frozenset(
    (
        "actor",
        "application",
        "audio",
        "automata",
        "class",
        "control",
        "data",
        "description",
        "duplex",
        "events",
        "extensions",
        "isfocus",
        "language",
        "methods",
        "mobility",
        "priority",
        "schemes",
        "text",
        "video",
    )
)
_REG_ID_LIMIT: Final = 2**31  # RFC 5626 section 4.2: reg-id is 1 to 2**31 - 1


def requested_binding(contact: NameAddr, registration: Registration, options: RegistrarOptions, now: float) -> Binding:
    """The binding that one contact asks for; one to be removed has `expires_at == now`.

    Args:
        contact: the value.
        registration: the request it stands in.
        options: limits.
        now: wall clock seconds.

    Returns:
        A binding with an empty unique id where the contact names no device.

    Raises:
        RegistrationError: 400 for a contact that can't be one, 403 for a loop, 423 for a brief expiry.
    """
    try:
        uri = SipUri.parse(contact.uri_raw)
    except SipError:
        raise RegistrationError(400, "Invalid Contact") from None
    params = contact.params
    unique_id = instance = None
    for name in options.unique_id_parameters:
        unique_id = params.get(name) or uri.params.get(name)
        if unique_id:
            break
    value = params.get("+sip.instance")
    if value:
        instance = value[1:-1] if value[0] == "<" else value
    reg_id = None
    if registration.supports_outbound and instance is not None and "reg-id" in params:
        reg_id = _reg_id(params["reg-id"])
        # Flow 1 shares the id of a registration without outbound: it is the same device, come back.
        if reg_id != 1:
            unique_id = f"{unique_id};reg-id={reg_id}"
    value = params.get("q")
    message_expires = params.get(options.message_expires_param_name)
    granted = granted_expires(params, registration.default_expires, options)
    aor = registration.aor
    binding = Binding(
        registration.aor_key,
        unique_id or "",
        uri,
        parameter_bytes(params),
        instance,
        reg_id,
        1.0 if value is None else _priority(value),
        shared_path(registration.path),
        registration.call_id,
        registration.cseq,
        now + granted,
        now + int(message_expires) if message_expires and _is_number(message_expires) else 0.0,
        now,
        shared(registration.user_agent),
        shared(registration.accept),
        registration.flow_token,
        False,
        aor.user is None,
    )
    if granted and uri.host == aor.host:
        _refuse_loop(uri, registration)
    return binding


def granted_expires(params: Params, header: int | None, options: RegistrarOptions) -> int:
    """How long a contact is bound, in seconds; 0 removes it.

    Args:
        params: of the Contact value.
        header: the Expires header.
        options: limits.

    Raises:
        RegistrationError: 423 with Min-Expires, only with `reject_too_brief`.
    """
    text = params.get("expires")
    # RFC 3261 section 10.2.1.1: a malformed value counts as if there were none
    wanted = int(text) if text and _is_number(text) else header
    if wanted == 0:
        return 0
    if options.force_expires > 0:
        return options.force_expires
    if wanted is None:
        wanted = options.default_expires
    if wanted < options.min_expires:
        if options.reject_too_brief:
            least = str(options.min_expires).encode()
            raise RegistrationError(423, "Interval Too Brief", ((b"Min-Expires", least),))
        return options.min_expires
    return min(wanted, options.max_expires)


def parameter_bytes(params: Params) -> bytes:
    """Contact parameters as they are kept and shown again."""
    out = []
    for name, value in params.items():
        if name in _OURS:
            continue
        if value is None:
            out.append(f";{name}")
        elif name[0] == "+" or name in _FEATURE_TAGS:
            out.append(f";{name}={quote(value)}")
        elif value.isalnum() or is_token(value):
            out.append(f";{name}={value}")
        else:
            out.append(f";{name}={quote(value)}")
    return encode("".join(out))


def _is_number(text: str) -> bool:
    # ten digits hold 2**32 - 1, the largest delta-seconds
    return len(text) <= 10 and text.isascii() and text.isdigit()


def _reg_id(text: str | None) -> int:
    if not text or not _is_number(text) or not 0 < int(text) < _REG_ID_LIMIT:
        raise RegistrationError(400, "Invalid reg-id")
    return int(text)


def _priority(text: str) -> float:
    # RFC 3261 section 25.1: qvalue has up to three decimals
    if len(text) > 5 or not text.replace(".", "", 1).isdigit() or not text.isascii():
        raise RegistrationError(400, "Invalid q in Contact")
    return min(float(text), 1.0)


def _refuse_loop(uri: SipUri, registration: Registration) -> None:
    """A contact that is the address-of-record leads back here, unless a flow or Path leads to the device.

    One with header fields says that it means another place (RFC 4475 section 3.3.14).
    """
    if registration.path or registration.flow_token or uri.headers:
        return
    aor = registration.aor
    if uri.aor == aor.aor and uri.port == aor.port and "gr" not in uri.params:
        raise RegistrationError(403, "Contact Is The Address Of Record")
