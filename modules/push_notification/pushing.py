"""Which devices are woken, and what becomes of those that cannot be any more."""

from __future__ import annotations

import time
from collections.abc import Awaitable

from flexipy.proxy.api import Fork, ModuleContext, RequestEvent, ResponseEvent
from flexipy.push.link import PushLink
from flexipy.push.parameters import PushParameterError, PushTarget, read_target
from flexipy.push.provider import Pusher
from flexipy.push.service import PushService
from flexipy.push.settings import settings_of
from flexipy.registrar.binding import Binding, Record
from flexipy.registrar.registrar import Registrar
from flexipy.sip import names as H
from flexipy.sip.uri import scheme_of

from .capabilities import Capabilities
from .composing import Announcing, compose, what_happened
from .refreshing import Refreshing
from .waking import Wake, Waking, WakingOptions

# A device that registered so lately over a connection that lives is awake, seconds; it gets as long to answer.
_AWAKE = 5.0
_IN_CALL = 2.0  # seconds that a device in a call gets to answer: it is awake, as a rule
_PATIENCE = 5.0  # seconds that the start waits for the process that sends pushes


class Pushing:
    """The work of the module.

    Args:
        context: the module's.

    Attributes:
        service: sends pushes.
    """

    def __init__(self, context: ModuleContext) -> None:
        self._context = context
        values = context.values
        router = context.section("module::Router")
        self._timeout = values.seconds("timeout")
        self._announcing = Announcing(
            int(router.seconds("call-fork-timeout")),
            int(values.seconds("message-time-to-live")) or None,
            values.boolean("display-from-uri"),
            values.boolean("enable-message-summaries-pn"),
        )
        self._late = router.boolean("fork-late")
        options = WakingOptions(
            values.integer("retransmission-count"),
            values.seconds("retransmission-interval"),
            values.seconds("call-remote-push-interval"),
            router.boolean("permit-self-generated-provisional-response"),
            values.expression("add-to-tag-filter"),
        )
        self._registrar: Registrar | None = None
        settings = settings_of(values, context.file, context.state_file)
        self.service: Pusher = PushService((), settings.limit, context.spawn, context.counters)
        if settings.may_push:
            self.service = PushLink(settings, context.counters, self._report, context.logger)
        self._waking = Waking(context, lambda: self.service, options, self._announcing, self._forget)
        self._refreshing = Refreshing(context, lambda: self.service, values.integer("register-wakeup-threshold"))

    async def start(self) -> None:
        """Get hold of the registrar, and say what will not work."""
        self._registrar = self._context.require(Registrar)
        logger = self._context.logger
        if isinstance(self.service, PushLink):
            await self.service.start(_PATIENCE)
        else:
            self._report([])
        if not self._late:
            logger.warning("calls do not wait for woken apps: set fork-late=true in [module::Router]")
        capabilities = Capabilities(lambda: self.service, self._registrar.purrs)
        self._registrar.answer_edits.append(capabilities.edit)
        if self._context.values.boolean("refuse-unsupported-push"):
            self._registrar.conditions.append(capabilities.refuse_unsupported)
        interval = self._context.values.seconds("register-wakeup-interval")
        if interval > 0:
            self._refreshing.begin(self._registrar, interval)

    def _report(self, notes: list[str]) -> None:
        """Keys have been read, at the start or again."""
        for note in notes:
            self._context.logger.error("%s", note)
        if not self.service.can_push:
            self._context.logger.error("no push service can be used: nobody will be woken")

    def look_at(self, event: RequestEvent) -> None:
        """See whether the device of a branch has to be woken."""
        branch = event.branch
        if branch is None or not isinstance(branch.context, Fork):
            return
        target = self._target(event)
        if target is None:
            return
        fork = branch.context
        if self._waking.arrived(fork, branch):
            return  # it was pushed in this call, and here it is
        happened = what_happened(event.request, target, self._announcing)
        if happened is None:
            return
        binding = self._binding(branch.key or fork.key, branch.uid)
        device = branch.uid if binding is None else binding.instance_id or binding.unique_id
        push = compose(event.request, target, *happened, device, self._announcing)
        wake = Wake(self._waking, fork, branch, push, branch.key or fork.key)
        timeout = self._timeout if target.timeout is None else target.timeout
        if binding is not None and self._is_awake(binding):
            timeout = max(timeout, _AWAKE)
        elif event.request.tag(H.TO):
            timeout = max(timeout, _IN_CALL)  # whose connection is gone fails before that
        self._waking.begin(wake, timeout, event.now)

    def failed(self, event: ResponseEvent) -> None:
        """A branch ended with an answer that was made here."""
        if self._waking.patient:
            self._waking.failed(event.branch, event.now)

    def _target(self, event: RequestEvent) -> PushTarget | None:
        request = event.request
        if scheme_of(request.uri_raw) not in ("sip", "sips"):
            return None
        try:
            return read_target(request.uri.params)
        except PushParameterError as error:
            self._context.counters["push_bad_parameters"] += 1
            self._context.logger.info("%s: no push: %s", request.label, error)
            return None

    def _binding(self, key: str, unique_id: str) -> Binding | None:
        if self._registrar is None:
            return None
        found = self._registrar.fetch(key, time.time())
        return found.get(unique_id) if isinstance(found, Record) else None

    def _is_awake(self, binding: Binding) -> bool:
        if time.time() - binding.updated_at >= _AWAKE:
            return False
        if binding.flow_token:
            flow = self._context.transports.flow_from_token(binding.flow_token)
        elif binding.path:
            return True  # another proxy has the connection
        else:
            flow = self._context.agent.egress.immediate_flow(binding.uri)
        return flow is not None and not flow.closed

    def _forget(self, wake: Wake, dead_since: float) -> None:
        """A service says that a token is dead: nobody is reached by that binding, unless it has been renewed since."""
        binding = self._binding(wake.key, wake.branch.uid)
        if self._registrar is None or binding is None or binding.is_static:
            return
        if dead_since and binding.updated_at > dead_since:
            return
        try:
            target = read_target(binding.uri.params)
        except PushParameterError:
            return
        if target is None or wake.push.token not in (target.voip_token, target.remote_token):
            return
        self._context.counters["push_dead_tokens"] += 1
        self._context.logger.info("%s: removed, its push token is dead: %s", wake.key, binding.uri.host_port)
        removing = self._registrar.delete(wake.key, binding.unique_id)
        if isinstance(removing, Awaitable):
            self._context.spawn(_ended(removing))


async def _ended(removing: Awaitable[bool]) -> None:
    await removing
