"""From a request for a device to the push that announces it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from flexipy.proxy.api import Request, SipError
from flexipy.push.parameters import PushTarget
from flexipy.push.request import PushEvent, PushKind, PushRequest, clipped
from flexipy.sip import names as H
from flexipy.sip.headers import NameAddr
from flexipy.sip.params import decode

_MOST_TEXT: Final = 1000  # characters of a message for a service of one's own
# A push about these would wake people for nothing.
_NOT_WORTH: Final = (b"im-iscomposing+xml", b"imdn+xml")
_USEFUL_FOR: Final = 60.0  # seconds after which a push about a call that could not be sent is of no use
_EVENT: Final = b"event"


@dataclass(frozen=True, slots=True)
class Announcing:
    """How pushes are made; the module's parameters.

    Attributes:
        call_ttl: seconds for which a service may keep a push about a call.
        message_ttl: the same for a message; None leaves it to the service.
        show_uri: the caller's address instead of the name.
        voicemail: push for waiting messages.
    """

    call_ttl: int
    message_ttl: int | None
    show_uri: bool
    voicemail: bool


def what_happened(request: Request, target: PushTarget, options: Announcing) -> tuple[PushEvent, PushKind] | None:
    """What a request means to its device, and how it is told; None for a request that no push is for."""
    method = request.method
    if method == b"INVITE":
        if request.to.tag:
            return PushEvent.REQUEST, PushKind.BACKGROUND  # a call that stands is no reason to ring
        if _invites_to_chat(request):
            return PushEvent.GROUP_INVITATION, PushKind.ALERT
        if target.is_apple and not target.voip_token:
            return PushEvent.CALL, PushKind.ALERT
        return PushEvent.CALL, PushKind.VOIP
    if method == b"MESSAGE":
        kind = request.get(H.CONTENT_TYPE) or b""
        if any(name in kind for name in _NOT_WORTH):
            return None
        return PushEvent.MESSAGE, PushKind.BACKGROUND if target.silent else PushKind.ALERT
    if method == b"NOTIFY":
        event = (request.get(_EVENT) or b"").partition(b";")[0].strip().lower()
        waiting = event == b"message-summary" and b"messages-waiting: yes" in request.body.lower()
        return (PushEvent.VOICEMAIL, PushKind.ALERT) if waiting and options.voicemail else None
    return PushEvent.REQUEST, PushKind.BACKGROUND


def _invites_to_chat(request: Request) -> bool:
    contact = (request.get(H.CONTACT) or b"").lower()
    return b";isfocus" in contact and b";text" in contact


def compose(
    request: Request, target: PushTarget, event: PushEvent, kind: PushKind, device: str, options: Announcing
) -> PushRequest:
    """The push about a request."""
    sender = _sender(request)
    calls = event is PushEvent.CALL
    text, sound = _shown(target, event)
    name = "" if sender is None or options.show_uri else clipped(sender.display)
    uri = "" if sender is None else clipped(decode(sender.uri_raw.partition(b";")[0]))
    return PushRequest(
        target,
        kind,
        event,
        clipped(decode(request.call_id)),
        uri,
        name,
        "" if sender is None else clipped(sender.tag or ""),
        clipped(_to_uri(request)),
        text,
        sound,
        options.call_ttl if calls else options.message_ttl,
        _text_of(request) if event is PushEvent.MESSAGE else "",
        clipped(device),
        time.time() + _USEFUL_FOR if calls else float("inf"),
    )


def _sender(request: Request) -> NameAddr | None:
    try:
        return NameAddr.parse(request.require(H.FROM))
    except SipError:
        return None


def _to_uri(request: Request) -> str:
    try:
        return decode(NameAddr.parse(request.require(H.TO)).uri_raw)
    except SipError:
        return ""


def _shown(target: PushTarget, event: PushEvent) -> tuple[str, str]:
    """The text's key and the sound."""
    if event is PushEvent.CALL:
        return target.call_text, target.call_sound
    if event is PushEvent.GROUP_INVITATION:
        return target.group_text, target.message_sound
    if event is PushEvent.MISSED_CALL:
        return target.missed_text, target.message_sound
    if event in (PushEvent.MESSAGE, PushEvent.VOICEMAIL, PushEvent.TEST):
        return target.message_text, target.message_sound
    return "", ""


def _text_of(request: Request) -> str:
    kind = (request.get(H.CONTENT_TYPE) or b"").partition(b";")[0].strip().lower()
    return request.body[: _MOST_TEXT * 4].decode("utf-8", "replace")[:_MOST_TEXT] if kind == b"text/plain" else ""
