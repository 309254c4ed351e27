"""The variables that `filter=` expressions may ask of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from flexipy.sip import names as H
from flexipy.sip.errors import SipError
from flexipy.sip.headers import NameAddr
from flexipy.sip.message import Message
from flexipy.sip.params import Params, decode
from flexipy.sip.uri import SipUri

if TYPE_CHECKING:
    from flexipy.proxy.events import RequestEvent, ResponseEvent

_ADDRESSES = {"from": H.FROM, "to": H.TO, "contact": H.CONTACT}
_HEADERS = {
    "user-agent": H.USER_AGENT,
    "content-type": H.CONTENT_TYPE,
    "call-id": H.CALL_ID,
    "event": H.EVENT,
    "supported": H.SUPPORTED,
    "require": H.REQUIRE,
}


def request_value(event: RequestEvent, name: str) -> str | None:
    """A variable's text for a request; None where the message lacks it."""
    request = event.request
    if name in ("request.method-name", "request.method"):
        return decode(request.method)
    if name == "direction":
        return "request"
    try:
        if name.startswith("request.uri."):
            return _uri_part(request.uri, name[12:])
        return message_value(request, name)
    except SipError:
        return None


def response_value(event: ResponseEvent, name: str) -> str | None:
    """A variable's text for a response; None where the message lacks it."""
    response = event.response
    if name == "status.code":
        return str(response.status)
    if name == "status.phrase":
        return decode(response.reason)
    if name == "direction":
        return "response"
    try:
        if name in ("request.method-name", "request.method"):
            return response.cseq.method
        return message_value(response, name)
    except SipError:
        return None


def message_value(message: Message, name: str) -> str | None:
    """Variables that requests and responses share.

    Raises:
        SipError: the header asked for cannot be read.
    """
    head, _, rest = name.partition(".")
    header = _ADDRESSES.get(head)
    if header is not None:
        raw = message.get(header)
        if raw is None:
            return None
        address = NameAddr.parse(raw)
        if rest.startswith("uri."):
            return _uri_part(address.uri, rest[4:])
        return {"uri": decode(address.uri_raw), "display": address.display}.get(rest)
    if name == "content-type":
        raw = message.get(H.CONTENT_TYPE)
        return None if raw is None else decode(raw.partition(b";")[0].strip())
    if name == "call-id.hash":
        return str(crc32(message.call_id))
    header = _HEADERS.get(name)
    if header is None:
        return None
    raw = message.get(header)
    return None if raw is None else decode(raw)


def _uri_part(uri: SipUri, part: str) -> str | None:
    if part == "domain":
        return uri.host
    if part == "user":
        return uri.user
    if part == "params":
        return _params_text(uri.params)
    if part == "port":
        return None if uri.port is None else str(uri.port)
    return uri.scheme if part == "scheme" else None


def _params_text(params: Params) -> str:
    return ";".join(name if value is None else f"{name}={value}" for name, value in params.items())
