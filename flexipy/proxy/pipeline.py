"""The chain of modules that each request and response passes, in order.

Synchronous until a module must wait: `on_request` returns None to go on; only one that waits returns an awaitable.
A future costs no task: the pipeline goes on in its callback. A coroutine gets one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from flexipy.proxy.events import FINISHED, SUSPENDED, RequestEvent, ResponseEvent
from flexipy.proxy.module import Module, methods_of, overrides
from flexipy.sip.errors import SipError
from flexipy.sip.params import decode

if TYPE_CHECKING:
    from flexipy.config.subject import Filter
    from flexipy.proxy.agent import Agent

    RequestStep = tuple[Callable[[RequestEvent], Awaitable[None] | None], Filter | None]
    ResponseStep = tuple[Callable[[ResponseEvent], Awaitable[None] | None], Filter | None]

logger = logging.getLogger(__name__)


def _wants(module: Module, method: bytes) -> bool:
    methods = methods_of(module)
    return methods is None or method in methods


class _AnyRequest:
    """What is known of each request of a method before it comes: for filters that ask no more."""

    def __init__(self, method: bytes) -> None:
        self._method = decode(method)

    def value(self, name: str) -> str | None:
        if name in ("request.method-name", "request.method"):
            return self._method
        if name == "direction":
            return "request"
        raise LookupError(name)

    def flag(self, name: str) -> bool:
        return name == "is_request"


def _foreseen(filter_: Filter, method: bytes) -> bool | None:
    """What a filter says of all requests of a method; None where it depends on the request."""
    try:
        return filter_(_AnyRequest(method))
    except LookupError:
        return None


class Pipeline:
    """The enabled modules in order, with the filters of their sections.

    Args:
        agent: owns the pipeline; keeps counters and background work.
        modules: module and filter (None: every message), in order.
    """

    def __init__(self, agent: Agent, modules: Sequence[tuple[Module, Filter | None]]) -> None:
        self.agent = agent
        self.modules = [module for module, _ in modules]
        self._filters = dict(modules)
        # Which modules see a method never changes between a request and its branches, so a cursor fits both.
        self._steps: dict[bytes, tuple[RequestStep, ...]] = {}
        self._response_steps: tuple[ResponseStep, ...] = ()
        self.prepare()

    def prepare(self) -> None:
        """Work out which modules see what; call again after a filter changed."""
        self._steps.clear()
        self._response_steps = tuple(
            (module.on_response, self._filters[module]) for module in self.modules if overrides(module, "on_response")
        )

    def set_filter(self, module: Module, filter_: Filter | None) -> None:
        """Replace one module's filter."""
        self._filters[module] = filter_
        self.prepare()

    def _steps_for(self, method: bytes) -> tuple[RequestStep, ...]:
        steps: list[RequestStep] = []
        for module in self.modules:
            if not overrides(module, "on_request") or not _wants(module, method):
                continue
            filter_ = self._filters[module]
            known = None if filter_ is None else _foreseen(filter_, method)
            if known is not False:
                steps.append((module.on_request, filter_ if known is None else None))
        found = tuple(steps)
        if len(self._steps) < 64:  # strangers invent methods
            self._steps[method] = found
        return found

    def cursor_after(self, module: Module, method: bytes) -> int:
        """Where a request of a method goes on that a module has seen."""
        steps = self._steps.get(method) or self._steps_for(method)
        for place, (handler, _) in enumerate(steps, 1):
            if getattr(handler, "__self__", None) is module:
                return place
        return 0

    def run(self, event: RequestEvent) -> None:
        """Take a request through the modules it has not seen yet."""
        steps = self._steps.get(event.request.method)
        if steps is None:
            steps = self._steps_for(event.request.method)
        cursor = event.cursor
        count = len(steps)
        try:
            while cursor < count:
                step = steps[cursor]
                cursor += 1
                filter_ = step[1]
                if filter_ is not None and not filter_(event):
                    continue
                event.cursor = cursor
                waiting = step[0](event)
                if waiting is not None:
                    self._suspend(event, waiting)
                    return
                if event.state:
                    return
        except SipError as error:
            logger.info("%s: %r refused: %s", event.request.label, event.request, error)
            event.reply(error.status, error.phrase())
            return
        except Exception:
            self._module_failed(event)
            return
        if event.branch is None:
            event.reply(404)
        else:
            event.branch.answer_locally(event.response(404), event.now)

    def _module_failed(self, event: RequestEvent) -> None:
        self.agent.counters["module_failures"] += 1
        logger.exception("%s: a module failed on %r", event.request.label, event.request)
        if event.state != FINISHED:
            event.reply(500)

    def _suspend(self, event: RequestEvent, waiting: Awaitable[None]) -> None:
        event.state = SUSPENDED
        if event.branch is None and event.request.method != b"ACK":  # to an ACK there is no answer that would end it
            event.server_transaction()  # retransmissions are absorbed while it waits
        if asyncio.iscoroutine(waiting):  # compiled ones, too
            future: asyncio.Future[None] = self.agent.spawn(waiting, self._leave_to_resume)
        else:
            future = asyncio.ensure_future(waiting)

        def resume(done: asyncio.Future[None]) -> None:
            self._resume(event, done)

        future.add_done_callback(resume)

    @staticmethod
    def _leave_to_resume(error: BaseException) -> None:
        """How a module's waiting failed is `_resume`'s to tell."""

    def _resume(self, event: RequestEvent, done: asyncio.Future[None]) -> None:
        event.now = self.agent.clock()
        error = None if done.cancelled() else done.exception()
        if event.state != SUSPENDED:
            if error is not None and not isinstance(error, SipError):  # it had answered before it failed
                self.agent.counters["module_failures"] += 1
                logger.error("%s: a module failed after its answer", event.request.label, exc_info=error)
            return
        if event.branch is None and event.transaction is not None and event.transaction.answered:
            event.state = FINISHED  # the caller gave up meanwhile
        elif done.cancelled():
            event.reply(503)
        elif isinstance(error, SipError):
            event.reply(error.status, error.phrase())
        elif error is not None:
            self.agent.counters["module_failures"] += 1
            logger.error("%s: a module failed while waiting", event.request.label, exc_info=error)
            event.reply(500)
        else:
            event.resume()

    def run_response(self, event: ResponseEvent) -> bool:
        """Take a response through the modules it has not seen yet.

        Returns:
            False when a module holds it: `event.branch` is told once it may go on (`Branch.resume`).
        """
        steps = self._response_steps
        while event.cursor < len(steps):
            handler, filter_ = steps[event.cursor]
            event.cursor += 1
            if filter_ is not None and not filter_(event):
                continue
            try:
                waiting = handler(event)
            except SipError as error:
                logger.info("%s: response not edited: %s", event.response.label, error)
            except Exception:
                self.agent.counters["module_failures"] += 1
                logger.exception("%s: a module failed on a response", event.response.label)
            else:
                if waiting is not None:
                    self._hold_response(event, waiting)
                    return False
        return True

    def _hold_response(self, event: ResponseEvent, waiting: Awaitable[None]) -> None:
        def failed(error: BaseException) -> None:
            if isinstance(error, SipError):
                logger.info("%s: response not edited: %s", event.response.label, error)
            else:
                self.agent.counters["module_failures"] += 1
                logger.error("%s: a module failed on a response", event.response.label, exc_info=error)

        def resume(_: asyncio.Future[None]) -> None:
            event.now = self.agent.clock()
            event.branch.resume(event)

        self.agent.spawn(waiting, failed).add_done_callback(resume)
