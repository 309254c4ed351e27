"""One push for one branch: waiting for an answer first, sending, repeating, and what the caller hears of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from flexipy.proxy.api import Branch, CallFork, Fork, MessageFork, ModuleContext, Response
from flexipy.push.provider import Pusher
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest, PushResult
from flexipy.sip.timers import Timed

from .composing import Announcing

if TYPE_CHECKING:
    from flexipy.config.subject import Filter

_SEND: Final = 1
_REPEAT: Final = 2
_ENOUGH_FOR: Final = 10.0  # seconds in which one push does for all requests within a device's calls
_MOST_LATELY: Final = 1000
_PUSH_SENT: Final = 110  # Flexisip's own status, "Push sent"


@dataclass(frozen=True, slots=True)
class WakingOptions:
    """The module's parameters; seconds."""

    repetitions: int
    interval: float
    ringing_interval: float
    tells_caller: bool
    tagged: Filter | None


class Wake(Timed):
    """A device that is to be woken for one request.

    Attributes:
        fork: the request's fork.
        branch: the branch to the device.
        push: what it is told.
        key: of its record in the registrar.
        awake: whether it has shown up since.
        sent: whether a service took the push.
    """

    __slots__ = ("awake", "branch", "fork", "key", "left", "push", "sent", "waking")

    def __init__(self, waking: Waking, fork: Fork, branch: Branch, push: PushRequest, key: str) -> None:
        self.epoch = 0
        self.waking = waking
        self.fork = fork
        self.branch = branch
        self.push = push
        self.key = key
        self.left = waking.options.repetitions
        self.awake = False
        self.sent = False

    @property
    def over(self) -> bool:
        """Whether a push would come too late: it answered, it showed up, or there is nothing to answer any more."""
        if self.awake or self.branch.reached or self.branch.cancelled:
            return True
        # The sender of a message is answered while its devices are still waited for.
        return self.fork.event is None if isinstance(self.fork, MessageFork) else self.fork.done

    def on_timer(self, kind: int, now: float) -> None:
        """The device has not answered in time, or has not been woken by the last push."""
        self.waking.on_time(self, kind, now)


class Waking:
    """All devices that are being woken.

    Args:
        context: the module's.
        service: sends pushes.
        options: the module's parameters.
        announcing: how pushes are made.
        forget: told of a binding (key, unique id) whose token is dead, of the token, and since when (0: unknown).

    Attributes:
        patient: wakes that give their device time to answer, by branch.
    """

    def __init__(
        self,
        context: ModuleContext,
        service: Callable[[], Pusher],
        options: WakingOptions,
        announcing: Announcing,
        forget: Callable[[str, str, str, float], None],
    ) -> None:
        self.options = options
        self.patient: dict[Branch, Wake] = {}
        self._context = context
        self._service = service
        self._announcing = announcing
        self._forget = forget
        self._forks: dict[Fork, dict[str, Wake]] = {}
        self._lately: OrderedDict[str, float] = OrderedDict()  # when a token was last pushed within a call

    def arrived(self, fork: Fork, branch: Branch) -> bool:
        """Whether a branch leads to a device that is already being woken for this request: it needs no second push."""
        wake = self._forks.get(fork, {}).get(branch.uid)
        if wake is None:
            return False
        wake.awake = True
        self._rest(wake)
        return True

    def begin(self, wake: Wake, timeout: float, now: float) -> None:
        """Wake a device, after it had some seconds to answer by itself."""
        fork = wake.fork
        if fork not in self._forks:
            self._forks[fork] = {}
            fork.finished_listeners.append(partial(self._finished, fork))
        self._forks[fork][wake.branch.uid] = wake
        if timeout > 0:
            self.patient[wake.branch] = wake
            self._context.timers.set(timeout, now, wake, _SEND)
        else:
            self._send(wake, now)

    def failed(self, branch: Branch, now: float) -> None:
        """A branch ended without the device: push at once."""
        wake = self.patient.get(branch)
        if wake is not None and not wake.over:
            self._rest(wake)
            self._send(wake, now)

    def on_time(self, wake: Wake, kind: int, now: float) -> None:
        """A wake's timer."""
        self.patient.pop(wake.branch, None)
        if wake.over:
            if kind == _SEND:
                self._context.counters["push_not_needed"] += 1
            return
        self._send(wake, now)

    def _rest(self, wake: Wake) -> None:
        wake.epoch += 1
        self.patient.pop(wake.branch, None)

    def _send(self, wake: Wake, now: float) -> None:
        if wake.push.event is PushEvent.REQUEST and self._was_pushed_lately(wake.push.token, now):
            self._context.counters["push_not_again"] += 1
            return
        self._service().submit(wake.push, partial(self._told, wake))
        interval = self._pause(wake)
        if interval > 0:
            self._context.timers.set(interval, now, wake, _REPEAT)

    def _was_pushed_lately(self, token: str, now: float) -> bool:
        """Whether a push is on its way that does for this one, too: nobody is asked for a password within a call."""
        if now - self._lately.get(token, -_ENOUGH_FOR) < _ENOUGH_FOR:
            return True
        self._lately[token] = now
        self._lately.move_to_end(token)
        if len(self._lately) > _MOST_LATELY:
            self._lately.popitem(last=False)
        return False

    def _pause(self, wake: Wake) -> float:
        """Seconds until the push is repeated, 0 for never."""
        if wake.push.event is PushEvent.CALL and wake.push.kind is PushKind.ALERT and self.options.ringing_interval > 0:
            return self.options.ringing_interval  # a notification rings but a moment
        if wake.left <= 0:
            return 0.0
        wake.left -= 1
        return self.options.interval

    def _told(self, wake: Wake, push: PushRequest, result: PushResult) -> None:
        """A service answered."""
        # Without an answer in it the refusal is ours: what a device asks for, which nobody need look after.
        harmless = result.outcome is Outcome.SENT or (result.outcome is Outcome.REFUSED and not result.said)
        level = self._context.logger.info if harmless else self._context.logger.warning
        level("%s: push to %s of %s: %s", push.call_id, push.target.provider, wake.key, result)
        if result.outcome is Outcome.SENT:
            if not wake.sent and isinstance(wake.fork, CallFork) and self.options.tells_caller:
                self._tell_caller(wake)
            wake.sent = True
        else:
            if result.outcome in (Outcome.DEAD, Outcome.REFUSED):
                self._rest(wake)
            if result.outcome is Outcome.DEAD:
                self._forget(wake.key, wake.branch.uid, push.token, result.dead_since)

    def _tell_caller(self, wake: Wake) -> None:
        """110 Push sent; and 180 where the push itself rings."""
        fork = wake.fork
        event, request = wake.branch.event, fork.request
        if fork.done or request is None or wake.push.event is not PushEvent.CALL or wake.branch.cancelled:
            return
        agent = self._context.agent
        now = agent.clock()
        tagged = event is not None and self.options.tagged is not None and self.options.tagged(event)
        sent = Response.to_request(request, _PUSH_SENT, "Push sent", agent.to_tag(request) if tagged else b"")
        agent.stamp_response(sent)
        fork.server.respond(sent, now)
        if wake.push.kind is PushKind.ALERT:
            ringing = Response.to_request(request, 180, "", agent.to_tag(request))
            agent.stamp_response(ringing)
            fork.server.respond(ringing, now)

    def _finished(self, fork: Fork) -> None:
        """A request is answered: those that were pushed for it and never came hear how it ended."""
        winner = next((branch for branch in fork.branches if 200 <= branch.status < 300), None)
        for wake in self._forks.pop(fork, {}).values():
            self._rest(wake)
            if not wake.sent or wake.awake or wake.branch.reached or wake.push.event is not PushEvent.CALL:
                continue
            self._announce_end(wake, PushEvent.MISSED_CALL if winner is None else PushEvent.ANSWERED_ELSEWHERE)

    def _announce_end(self, wake: Wake, event: PushEvent) -> None:
        target = wake.push.target
        shown = event is PushEvent.MISSED_CALL and bool(target.missed_text)
        push = replace(
            wake.push,
            kind=PushKind.ALERT if shown else PushKind.BACKGROUND,
            event=event,
            text=target.missed_text if shown else "",
            sound=target.message_sound if shown else "",
            ttl=self._announcing.message_ttl,
            expires_at=float("inf"),
            id=PushRequest(target, wake.push.kind, event).id,
        )
        if push.token:
            self._service().submit(push, partial(self._told, wake))
