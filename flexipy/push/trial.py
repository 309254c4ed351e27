"""One push by hand, and what came of it in plain words: PUSH_TEST and `flexipy pusher`."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flexipy.push.parameters import Params, PushParameterError, PushTarget, read_target
from flexipy.push.provider import Pusher
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest, PushResult


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it.

    Attributes:
        kind: of push, or empty where none was sent.
        service: that was asked, or empty.
        result: its answer, or why it was not asked.
        took: seconds.
    """

    kind: str
    service: str
    result: PushResult
    took: float = 0.0

    @property
    def sent(self) -> bool:
        """Whether a service took it."""
        return self.result.outcome is Outcome.SENT

    def facts(self) -> dict[str, object]:
        """For an answer in JSON."""
        return {
            "kind": self.kind,
            "service": self.service,
            "outcome": self.result.outcome.value,
            "answer": self.result.said,
            "meaning": self.result.meaning,
            "milliseconds": round(self.took * 1000),
        }


def usual_kind(target: PushTarget) -> PushKind:
    """The kind that a call would take."""
    return PushKind.ALERT if target.is_apple and not target.voip_token else PushKind.VOIP


async def try_push(service: Pusher, params: Params, kind: PushKind | None = None, to_uri: str = "") -> Trial:
    """Send one push.

    Args:
        service: sends it.
        params: of a Contact URI, lower-case names, escapes resolved.
        kind: None for that of a call.
        to_uri: the address it is for.
    """
    try:
        target = read_target(params)
    except PushParameterError as error:
        return Trial("", "", PushResult(Outcome.REFUSED, "", f"its push parameters are not usable: {error}"))
    if target is None:
        return Trial("", "", PushResult(Outcome.REFUSED, "", "it has no push parameters (pn-provider and pn-prid)"))
    chosen = kind if kind is not None else usual_kind(target)
    push = PushRequest(
        target,
        chosen,
        PushEvent.TEST,
        "push-test",
        to_uri or "sip:flexipy@localhost",
        "Push test",
        to_uri=to_uri,
        text="" if chosen is PushKind.BACKGROUND else target.call_text,
        sound=target.call_sound if chosen is PushKind.ALERT else "",
        ttl=30,
    )
    begun = time.monotonic()
    name, result = await service.send(push)
    return Trial(chosen.value, name, result, time.monotonic() - begun)
