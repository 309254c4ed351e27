"""The base of pipeline modules and what the server offers them. Part of the public module API."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from mypy_extensions import mypyc_attr

from flexipy.config.errors import ConfigError
from flexipy.config.schema import Parameter, ParameterType, Section
from flexipy.proxy.outgoing import send_request
from flexipy.transport.host_set import HostSet

if TYPE_CHECKING:
    from flexipy.config.config import Config
    from flexipy.config.reader import SectionValues
    from flexipy.proxy.agent import Agent
    from flexipy.proxy.events import RequestEvent, ResponseEvent
    from flexipy.sip.message import Request, Response
    from flexipy.sip.timers import Timers
    from flexipy.sip.uri import SipUri
    from flexipy.transport.flow import Flow
    from flexipy.transport.transports import Transports

T = TypeVar("T")


class ModuleError(Exception):
    """A module cannot start or reload with this configuration: one line for the operator."""


class ModuleContext:
    """What a module may use of the server.

    Attributes:
        values: the module's own section, typed.
        state_directory: where state that outlives the process is kept.
        counters: numbers for operators, by name; a module adds its own.
    """

    def __init__(self, agent: Agent, name: str, config: Config, state_directory: Path) -> None:
        self._agent = agent
        self._config = config
        self.name = name
        self.values: SectionValues = config.section(f"module::{name}")
        self.state_directory = state_directory
        self.counters: dict[str, int] = agent.counters
        self.logger = logging.getLogger(f"flexipy.modules.{name}")

    @property
    def agent(self) -> Agent:
        """The proxy core: sends requests of a module's own, answers questions about addresses."""
        return self._agent

    @property
    def transports(self) -> Transports:
        """Listening points and flows."""
        return self._agent.transports

    @property
    def timers(self) -> Timers:
        """Timer queues; for objects with an `on_timer`."""
        return self._agent.timers

    def section(self, name: str) -> SectionValues:
        """Another section of the configuration, such as `cluster`."""
        return self._config.section(name)

    def host_set(self, parameter: str, *more: str) -> HostSet:
        """The hosts that a list parameter names: addresses, networks, names, `${section/parameter}` for another list.

        Args:
            parameter: of the module's own section.
            more: further hosts.

        Raises:
            ModuleError: an entry that is none of those.
        """
        entries: list[str] = []
        try:
            for entry in self.values.strings(parameter):
                if entry.startswith("${") and entry.endswith("}"):
                    section, _, name = entry[2:-1].rpartition("/")
                    entries += self._list_elsewhere(section, name)
                else:
                    entries.append(entry)
            return HostSet((*entries, *more))
        except (ValueError, ConfigError) as error:
            raise ModuleError(f"[module::{self.name}] {parameter}: {error}") from error

    def _list_elsewhere(self, section: str, name: str) -> list[str]:
        values = self._config.section(section)
        if values.parameter(name).type is ParameterType.STRING_LIST:
            return values.strings(name)
        return values.raw(name).split()

    async def keep_resolved(self, hosts: HostSet) -> None:
        """Look the names of a host set up, now and every few minutes until the server stops."""
        if hosts.names:
            await hosts.resolve_first(self._agent.resolver)
            self.spawn(hosts.keep_resolved(self._agent.resolver))

    def send(
        self,
        request: Request,
        next_hop: SipUri | None = None,
        before_send: Callable[[Request, Flow], None] | None = None,
    ) -> Awaitable[Response]:
        """Send a request of the module's own and wait for its final response.

        Args:
            request: whole but for the Via.
            next_hop: where to; None takes the topmost Route, or else the request URI.
            before_send: called with a copy and the flow that it leaves by, for what depends on the way out.

        Returns:
            The response; one made here (408 or 503) where nobody answered.
        """
        return send_request(self._agent, request, next_hop, before_send)

    def file(self, name: str) -> Path:
        """A file named in the configuration; relative names start at the configuration's own directory."""
        return self._config.directory / Path(name).expanduser()

    def state_file(self, name: str) -> Path:
        """A file in the state directory, which is made when missing."""
        self.state_directory.mkdir(parents=True, exist_ok=True)
        return self.state_directory / name

    def provide(self, kind: type[T], service: T) -> None:
        """Offer a service to other modules under its type."""
        self._agent.services[kind] = service

    def require(self, kind: type[T]) -> T:
        """A service that another module provides.

        Raises:
            ModuleError: no enabled module provides it.
        """
        service: Any = self._agent.services.get(kind)
        if service is None:
            raise ModuleError(f"module {self.name} needs {kind.__name__}: enable the module that provides it")
        found: T = service
        return found

    def optional(self, kind: type[T]) -> T | None:
        """A service that another module may provide."""
        return self._agent.services.get(kind)

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        """Run something again and again until the server stops. Exceptions are logged, not fatal."""
        self._agent.schedule(seconds, action)

    def spawn(self, work: Awaitable[None]) -> None:
        """Run something in the background; the server owns it and cancels it when it stops."""
        self._agent.spawn(work)


@mypyc_attr(allow_interpreted_subclasses=True)
class Module:
    """A step of the pipeline. Subclass it, declare `name`, `help` and `parameters`, override what you need.

    One instance lives as long as the server. `on_request` and `on_response` run for each message that the section's
    `filter` lets through; leave out the one you don't need and it costs nothing.

    Attributes:
        name: as in the section header `[module::Name]`.
        help: a paragraph for the configuration reference.
        parameters: the section's parameters, `enabled` and `filter` aside.
        enabled_by_default: the default of `enabled`.
        default_filter: the default of `filter`.
        position: the name of the module it runs before, for modules that are not flexipy's own; empty: last
            before Forward.
        methods: requests of other methods pass by without a call; None for all. A module may narrow it when it is
            made, once it knows its configuration.
    """

    name: ClassVar[str] = ""
    help: ClassVar[str] = ""
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    enabled_by_default: ClassVar[bool] = False
    default_filter: ClassVar[str] = ""
    position: ClassVar[str] = ""
    methods: frozenset[bytes] | None = None

    def __init__(self, context: ModuleContext) -> None:
        self.context = context

    def provide(self) -> None:
        """Called first, in pipeline order: make the services that other modules require."""

    async def start(self) -> None:
        """Called before the first message, when every module has provided its services.

        Raises:
            ModuleError: the configuration makes it impossible.
        """

    async def stop(self) -> None:
        """Called when the server leaves; no message comes after it."""

    def reload(self) -> list[str]:
        """Read files and reloadable parameters anew (SIGHUP). On a fault keep the old state.

        Returns:
            What is wrong, a line each.
        """
        return []

    def admit(self, flow: Flow, now: float) -> bool:
        """Whether bytes that came on a flow shall be looked at, before they are even parsed."""
        return True

    def on_request(self, event: RequestEvent) -> Awaitable[None] | None:
        """A request. Return None to let it go on (or after answering it), or an awaitable to hold it until done."""
        return None

    def on_response(self, event: ResponseEvent) -> Awaitable[None] | None:
        """A response on its way back to the caller. Return an awaitable to hold it, and those behind it, until done."""
        return None


def methods_of(module: Any) -> frozenset[bytes] | None:
    """A module's `methods`. Untyped, since compiled code would not look at what an interpreted class sets."""
    methods: frozenset[bytes] | None = module.methods
    return methods


def overrides(module: Module, method: str) -> bool:
    """Whether a module's class has its own version of one of `Module`'s methods."""
    return getattr(type(module), method) is not getattr(Module, method)


def section_of(module: type[Module]) -> Section:
    """The configuration section that a module class declares."""
    from flexipy.config.schema import module_section

    return module_section(module.name, module.help, module.enabled_by_default, module.default_filter, module.parameters)
