"""One push, before any service has its say about the form, and what became of it."""

from __future__ import annotations

import enum
import hashlib
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Final

from flexipy.push.parameters import PushTarget

# Apple takes 4096 bytes in all (5120 for calls), Firebase 4000 of data: no part may take them for itself.
_LONGEST: Final = 256
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")


class PushKind(enum.Enum):
    """How the device is to take it; the names are Apple's push types."""

    VOIP = "voip"  # a call: wakes the app at once, which has to ring
    ALERT = "alert"  # shown by the system
    BACKGROUND = "background"  # wakes the app without a word, when the system sees fit


class PushEvent(enum.Enum):
    """What happened."""

    CALL = "call"
    MESSAGE = "message"
    GROUP_INVITATION = "group-invitation"
    MISSED_CALL = "missed-call"
    ANSWERED_ELSEWHERE = "answered-elsewhere"
    VOICEMAIL = "voicemail"
    REFRESH = "refresh"  # the registration lapses soon (RFC 8599 section 5.5)
    REQUEST = "request"  # another request waits
    TEST = "test"


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What to tell one app.

    Attributes:
        target: the app.
        kind: how the device takes it.
        event: what happened.
        call_id: of the request that waits.
        from_uri: of its sender.
        from_name: display name of its sender, or empty.
        from_tag: of its From header.
        to_uri: whom it is for.
        text: key of a text in the app's translations; empty for none.
        sound: file name of a sound; empty for none.
        ttl: seconds for which the service may keep it; None leaves it to the service.
        body: text of the message, for a service of one's own.
        device: the binding's instance id or unique id.
        expires_at: wall clock seconds after which it is of no use to anybody.
        id: names this push, a UUID.
        sent_at: wall clock seconds.
    """

    target: PushTarget
    kind: PushKind
    event: PushEvent
    call_id: str = ""
    from_uri: str = ""
    from_name: str = ""
    from_tag: str = ""
    to_uri: str = ""
    text: str = ""
    sound: str = ""
    ttl: int | None = None
    body: str = field(default="", repr=False)
    device: str = ""
    expires_at: float = float("inf")
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    sent_at: float = field(default_factory=time.time)

    @property
    def token(self) -> str:
        """The token that goes with the kind; empty where the app has none of that kind."""
        target = self.target
        if not target.is_apple:
            return target.token
        return target.voip_token if self.kind is PushKind.VOIP else target.remote_token

    @property
    def collapse_id(self) -> str:
        """The same for each push about one call or message: a later one takes the place of an earlier one.

        Apple allows 64 bytes, a Web Push topic 32 characters of base64url (RFC 8030 section 5.4).
        """
        return hashlib.sha256(self.call_id.encode("utf-8", "replace")).hexdigest()[:32] if self.call_id else ""

    @property
    def shown_name(self) -> str:
        """Who is at the other end, for people."""
        return self.from_name or self.from_uri

    @property
    def send_time(self) -> str:
        """When it was made, as Flexisip writes it: UTC, `2026-01-31 23:59:59`."""
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.sent_at))


def clipped(text: str, limit: int = _LONGEST) -> str:
    """A text of strangers for a payload: of limited length in bytes, without control characters."""
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    clean = _CONTROLS.sub(" ", text[:limit])
    return clean.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


class Outcome(enum.Enum):
    """What became of a push."""

    SENT = "sent"
    DEAD = "dead"  # the token leads nowhere any more
    LATER = "later"  # the service asks for patience
    REFUSED = "refused"  # trying again would not help
    DROPPED = "dropped"  # never sent: too many wait, or it took too long


@dataclass(frozen=True, slots=True)
class PushResult:
    """A service's answer.

    Attributes:
        outcome: what it means.
        said: what the service said, such as `410 Unregistered`.
        meaning: the same in plain words, with what to do.
        retry_after: seconds that the service asks to wait; 0 where it said nothing.
        dead_since: wall clock seconds at which the service saw the token die; 0 where it did not say.
    """

    outcome: Outcome
    said: str = ""
    meaning: str = ""
    retry_after: float = 0.0
    dead_since: float = 0.0

    def __str__(self) -> str:
        return f"{self.said}: {self.meaning}" if self.said and self.meaning else self.said or self.meaning
