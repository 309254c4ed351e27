"""How an app says where it can be woken: the parameters of its Contact URI (RFC 8599 section 8.7).

Beside the standard's `pn-provider`, `pn-param` and `pn-prid` there are Flexisip's older `pn-type`, `app-id` and
`pn-tok`, and its texts and sounds. All of them come from strangers: what is read here is of known length and made of
known characters, so that it can stand in a path, a file name or a header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Params = Mapping[str, str | None]

APPLE: Final = "apns"
APPLE_SANDBOX: Final = "apns.dev"
FIREBASE: Final = "fcm"
WEB_PUSH: Final = "webpush"

_LONGEST_TOKEN: Final = 4096  # Firebase promises no length; those of today have 150 to 300
_LONGEST_TIMEOUT: Final = 60  # seconds
# Providers, bundle identifiers, project names: also parts of file names, so that none may begin with a dot.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
_TEAM: Final = re.compile(r"[A-Z0-9]{1,20}")
_APPLE_TOKEN: Final = re.compile(r"[0-9A-Fa-f]{8,200}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_:.~%+=/@!*,$-]+")
_URL: Final = re.compile(r"https://[A-Za-z0-9.-]+(:\d{1,5})?/[!-~]*")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]{0,128}=*")
_TEXT: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,100}")
_SERVICES: Final = frozenset(("voip", "remote"))
_LEGACY_TYPES: Final = {"apple": APPLE, "google": FIREBASE, "firebase": FIREBASE}


class PushParameterError(ValueError):
    """Push parameters that nobody could be woken with."""


@dataclass(frozen=True, slots=True)
class PushTarget:
    """One app on one device.

    Attributes:
        provider: `apns`, `apns.dev`, `fcm`, `webpush`, or the name of another service.
        app: bundle identifier or project; empty for services that have none.
        team: Apple's identifier of the developer; empty where it was not told.
        voip_token: wakes the app for a call (PushKit); empty where there is none.
        remote_token: shows a notification, or wakes the app in the background; empty where there is none.
        message_text: key of the text for a message in the app's translations.
        call_text: the same for a call.
        group_text: the same for an invitation to a group chat.
        message_sound: file name of the sound for a message.
        call_sound: the same for a call.
        missed_text: key of the text for a missed call; empty for an app that shows none.
        silent: the app wants nothing shown.
        timeout: seconds that the device has to answer before it is pushed; None leaves it to the server.
        browser_key: `p256dh` of a browser's subscription (RFC 8291), base64url; empty for a push without content.
        browser_secret: its `auth`.
    """

    provider: str
    app: str = ""
    team: str = ""
    voip_token: str = ""
    remote_token: str = ""
    message_text: str = "IM_MSG"
    call_text: str = "IC_MSG"
    group_text: str = "GC_MSG"
    message_sound: str = "default"
    call_sound: str = "default"
    missed_text: str = ""
    silent: bool = False
    timeout: float | None = None
    browser_key: str = ""
    browser_secret: str = ""

    @property
    def is_apple(self) -> bool:
        """Whether Apple's service reaches it."""
        return self.provider in (APPLE, APPLE_SANDBOX)

    @property
    def token(self) -> str:
        """One token, for services that know but one."""
        return self.remote_token or self.voip_token

    @property
    def legacy_type(self) -> str:
        """Flexisip's name of the kind of service: `apple`, `firebase`, or the provider itself."""
        if self.is_apple:
            return "apple"
        return "firebase" if self.provider == FIREBASE else self.provider


def read_target(params: Params) -> PushTarget | None:
    """The push target in the parameters of a Contact URI.

    Args:
        params: lower-case names to values, escapes resolved.

    Returns:
        None where there is none: no parameters, or a provider without a token, which only asks what is supported
        (RFC 8599 section 4.1.1).

    Raises:
        PushParameterError: they make no sense, or no sense that is safe.
    """
    provider = (params.get("pn-provider") or "").lower()
    if provider and params.get("pn-prid"):
        return _standard(provider, params)
    if params.get("pn-type") and params.get("pn-tok"):
        return _legacy(params)
    return None


def _standard(provider: str, params: Params) -> PushTarget:
    _check(provider, _NAME, "pn-provider")
    param = params.get("pn-param") or ""
    prid = params.get("pn-prid") or ""
    if provider in (APPLE, APPLE_SANDBOX):
        team, _, topic = param.partition(".")
        app, services = _without_services(topic)
        _check(team, _TEAM, "pn-param")
        _check(app, _NAME, "pn-param")
        return _apple(provider, app, team, prid, services, params)
    if param:
        _check(param, _NAME, "pn-param")
    return _other(provider, param, prid, params)


def _legacy(params: Params) -> PushTarget:
    kind = (params.get("pn-type") or "").lower()
    provider = _LEGACY_TYPES.get(kind, kind)
    app = params.get("app-id") or ""
    _check(provider, _NAME, "pn-type")
    if app:
        _check(app, _NAME, "app-id")
    token = params.get("pn-tok") or ""
    if provider == APPLE:
        base, _, stage = app.rpartition(".")
        if stage in ("dev", "prod"):
            app = base
            provider = APPLE_SANDBOX if stage == "dev" else APPLE
        app, services = _without_services(app)
        return _apple(provider, app, "", token, services or ("remote",), params)
    return _other(provider, app, token, params)


def _without_services(topic: str) -> tuple[str, tuple[str, ...]]:
    """`org.app.voip&remote` is the app `org.app` and the services voip and remote."""
    app, dot, last = topic.rpartition(".")
    services = tuple(last.split("&"))
    if dot and _SERVICES.issuperset(services):
        return app, services
    return topic, ()


def _apple(provider: str, app: str, team: str, prid: str, services: tuple[str, ...], params: Params) -> PushTarget:
    tokens: dict[str, str] = {}
    for part in prid.split("&"):
        token, colon, service = part.partition(":")
        _check(token, _APPLE_TOKEN, "token")
        for name in (service,) if colon else services or ("remote",):
            if name not in _SERVICES:
                raise PushParameterError("pn-prid names an unknown service")
            tokens.setdefault(name, token.lower())
    return _target(provider, app, team, tokens.get("voip", ""), tokens.get("remote", ""), params)


def _other(provider: str, app: str, token: str, params: Params) -> PushTarget:
    if len(token) > _LONGEST_TOKEN:
        raise PushParameterError("the token is too long")
    _check(token, _URL if provider == WEB_PUSH else _TOKEN, "token")
    return _target(provider, app, "", "", token, params)


def _target(provider: str, app: str, team: str, voip: str, remote: str, params: Params) -> PushTarget:
    def text(name: str, otherwise: str) -> str:
        value = params.get(name) or otherwise
        _check(value, _TEXT, name)
        return value

    def key(name: str) -> str:
        value = params.get(name) or ""
        _check(value, _BASE64URL, name)
        return value.rstrip("=")

    return PushTarget(
        provider,
        app,
        team,
        voip,
        remote,
        text("pn-msg-str", "IM_MSG"),
        text("pn-call-str", "IC_MSG"),
        text("pn-groupchat-str", "GC_MSG"),
        text("pn-msg-snd", "default"),
        text("pn-call-snd", "default"),
        text("pn-missed-str", ""),
        params.get("pn-silent") == "1",
        _seconds(params.get("pn-timeout")),
        key("pn-p256dh"),
        key("pn-auth"),
    )


def _seconds(text: str | None) -> float | None:
    if not text or not (text.isascii() and text.isdigit() and len(text) < 6):
        return None
    return float(min(int(text), _LONGEST_TIMEOUT))


def _check(value: str, pattern: re.Pattern[str], name: str) -> None:
    if not pattern.fullmatch(value) or (pattern is _NAME and ".." in value):
        raise PushParameterError(f"bad {name}")
