"""The records between the server and the process that sends pushes: one JSON array on a line, its kind in front.

Server to sender: `setup` (settings), `push` and `try` (number, request), `reload`, `ping`.
Sender to server: `ready` (whether it can push, features, notes), `result` (number, service, result), `counters`
(increments), `pong`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Final

from flexipy.push.parameters import PushTarget
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest, PushResult
from flexipy.push.settings import PushSettings

LONGEST: Final = 1 << 20  # bytes of a record; a push has a few kilobytes
_TARGET: Final = tuple(field.name for field in dataclasses.fields(PushTarget))
_REQUEST: Final = tuple(field.name for field in dataclasses.fields(PushRequest))[3:]
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def record(kind: str, *facts: object) -> bytes:
    """A record, its line end included."""
    return _encode([kind, *facts]).encode("ascii") + b"\n"


def request_facts(request: PushRequest) -> list[object]:
    """A push for a record."""
    target = request.target
    return [
        [getattr(target, name) for name in _TARGET],
        request.kind.value,
        request.event.value,
        *[getattr(request, name) for name in _REQUEST],
    ]


def request_from(facts: Sequence[Any]) -> PushRequest:
    """The inverse."""
    target, kind, event, *rest = facts
    return PushRequest(PushTarget(*target), PushKind(kind), PushEvent(event), *rest)


def result_facts(result: PushResult) -> list[object]:
    """A result for a record."""
    return [result.outcome.value, result.said, result.meaning, result.retry_after, result.dead_since]


def result_from(facts: Sequence[Any]) -> PushResult:
    """The inverse."""
    outcome, *rest = facts
    return PushResult(Outcome(outcome), *rest)


def settings_facts(settings: PushSettings) -> dict[str, object]:
    """Settings for a record."""
    return dataclasses.asdict(settings)


def settings_from(facts: dict[str, Any]) -> PushSettings:
    """The inverse."""
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    return PushSettings(**plain)
