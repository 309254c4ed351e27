"""Waking apps before their registration lapses (RFC 8599 section 5.5; Flexisip's `register-wakeup-*`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from flexipy.proxy.api import ModuleContext
from flexipy.push.parameters import PushParameterError, read_target
from flexipy.push.provider import Pusher
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest, PushResult
from flexipy.registrar.binding import Binding, Record
from flexipy.registrar.registrar import Registrar

_UNDER_WAY: Final = 32  # pushes at once: a thousand apps due must not drop each other, or a call, from the queue
_AT_ONCE: Final = 100  # records looked at before others get their turn


class Refreshing:
    """Looks through the registrations every so often.

    Args:
        context: the module's.
        service: sends pushes.
        threshold: percentage of the lifetime after which an app is woken.
        forget: told of a binding (key, unique id) whose token is dead, of the token, and since when (0: unknown).
    """

    def __init__(
        self,
        context: ModuleContext,
        service: Callable[[], Pusher],
        threshold: int,
        forget: Callable[[str, str, str, float], None],
    ) -> None:
        self._context = context
        self._service = service
        self._share = threshold / 100
        self._forget = forget
        self._busy = False
        self._room = asyncio.Semaphore(_UNDER_WAY)

    def begin(self, registrar: Registrar, interval: float) -> None:
        """Look through a registrar's records every so many seconds."""
        self._context.every(interval, lambda: self._context.spawn(self.look(registrar)))

    async def look(self, registrar: Registrar) -> None:
        """Wake those whose time has come."""
        if self._busy:
            return
        self._busy = True
        try:
            keys = registrar.keys()
            for number, key in enumerate(list(await keys if isinstance(keys, Awaitable) else keys), 1):
                now = time.time()
                found = registrar.fetch(key, now)
                record = await found if isinstance(found, Awaitable) else found
                await self._wake(record, now)
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)
        finally:
            self._busy = False

    async def _wake(self, record: Record | None, now: float) -> None:
        for binding in [] if record is None else record.bindings:
            if b"pn-" in binding.uri_raw and self._is_due(binding, now):
                push = refresh_push(binding)
                if push is not None:
                    await self._room.acquire()
                    self._service().submit(push, partial(self._told, binding.key, binding.unique_id))
                    self._context.counters["push_refreshes"] += 1

    def _is_due(self, binding: Binding, now: float) -> bool:
        # an app that says +sip.pnsreg refreshes by itself (RFC 8599 section 8.5)
        if binding.is_static or b"+sip.pnsreg" in binding.contact_params:
            return False
        lifetime = binding.expires_at - binding.updated_at
        return now < binding.expires_at and now - binding.updated_at >= lifetime * self._share

    def _told(self, key: str, unique_id: str, push: PushRequest, result: PushResult) -> None:
        self._room.release()
        if result.outcome is Outcome.DEAD:
            self._forget(key, unique_id, push.token, result.dead_since)
        self._context.logger.debug("refresh of %s: %s", push.to_uri, result)


def refresh_push(binding: Binding) -> PushRequest | None:
    """The push that has an app register anew; None where it cannot be pushed."""
    try:
        target = read_target(binding.uri.params)
    except PushParameterError:
        return None
    if target is None or (target.is_apple and not target.remote_token):
        return None  # a VoIP push would have to ring
    left = max(0, int(binding.expires_at - time.time()))
    device = binding.instance_id or binding.unique_id
    return PushRequest(
        target,
        PushKind.BACKGROUND,
        PushEvent.REFRESH,
        to_uri=f"sip:{binding.key}",
        ttl=left,
        device=device,
        expires_at=binding.expires_at,
    )
