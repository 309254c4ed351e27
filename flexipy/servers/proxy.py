"""The proxy server: wires configuration, transports, agent and modules together, and takes them down again."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flexipy.config.config import Config
from flexipy.config.reader import read
from flexipy.media.relay import MediaRelay
from flexipy.proxy.agent import Agent, AgentOptions
from flexipy.proxy.module import Module, ModuleContext, ModuleError, overrides
from flexipy.proxy.pipeline import Pipeline
from flexipy.proxy.routing import number_branches
from flexipy.servers.collection import begin_collection
from flexipy.servers.control import Commands, ControlSocket, Runner
from flexipy.servers.descriptors import connection_limits, raise_limit
from flexipy.servers.discovery import module_classes
from flexipy.servers.log_level import set_log_level
from flexipy.servers.neighbours import Neighbour, neighbours
from flexipy.transport.errors import TransportError
from flexipy.transport.options import TransportOptions
from flexipy.transport.resolver import Resolver
from flexipy.transport.specs import TransportSpec, parse_transport
from flexipy.transport.transports import Transports
from flexipy.workers.replication import Replication
from flexipy.workers.share import Share

if TYPE_CHECKING:
    from flexipy.config.subject import Filter
    from flexipy.workers.worker import Worker

logger = logging.getLogger(__name__)

_DRAIN = 4.0  # seconds that calls in progress get when the server leaves


class StartError(Exception):
    """The server cannot start; one line for each reason."""


class ProxyServer:
    """A running proxy.

    Args:
        config: the configuration.
        hosts: addresses by name, asked before DNS (`--hosts`).
        transports: `transports=` entries that replace the configured ones (`-t`), parsed or not.
        version: for the Server header.
        worker: what joins this process to the others of the server; None where it is the only one.
    """

    def __init__(
        self,
        config: Config,
        hosts: Mapping[str, Sequence[str]] | None = None,
        transports: Sequence[str | TransportSpec] = (),
        version: str = "",
        worker: Worker | None = None,
    ) -> None:
        self.config = config
        self.worker = worker
        values = config.section("global")
        self.state_directory = state_directory(config)
        self._make_state_directory()
        specs = listening_points(config, transports)
        self.resolver = Resolver(hosts or {})
        options = AgentOptions(
            frozenset(name.lower() for name in values.strings("aliases")),
            values.seconds("transaction-timeout"),
            values.integer("udp-mtu"),
            f"flexipy/{version}".encode() if version else b"",
            values.seconds("max-processing-delay"),
            values.seconds("overload-retry-after"),
        )
        self.agent = Agent(self.resolver, options, time.monotonic)
        receive = self.agent.receive if worker is None else worker.receive
        self.transports = Transports(specs, self._transport_options(), receive, self.resolver, self.agent.load)
        self.agent.use(self.transports)
        commands = Commands(self)
        self._control = ControlSocket(
            commands if worker is None else self._share(worker, commands), self._control_path()
        )
        self._modules: list[tuple[Module, Filter | None]] = []
        self._started: list[Module] = []
        self._neighbours: list[Neighbour] = []
        self._make_modules()

    def _share(self, worker: Worker, commands: Commands) -> Runner:
        """Be one of several."""
        from flexipy.servers.worker_commands import WorkerCommands

        number_branches(worker.index)
        worker.bus.watch(self.agent.load.queue("handed over"))
        worker.use(self.agent.take, self.agent.admits, self.agent.spawn, commands.run)
        self.agent.services[Replication] = worker.replication
        self.agent.services[Share] = worker.share
        return WorkerCommands(commands, worker)

    def _transport_options(self) -> TransportOptions:
        values = self.config.section("global")
        nat = self.config.section("module::NatHelper")
        wanted = values.integer("max-connections")
        descriptors = raise_limit()
        incoming, opened = connection_limits(wanted, descriptors)
        if incoming < wanted:
            logger.warning("max-connections: only %d are possible with %d file descriptors", incoming, descriptors)
        options = TransportOptions(
            idle_timeout=values.seconds("idle-timeout"),
            keepalive_interval=values.seconds("keepalive-interval"),
            udp_mtu=values.integer("udp-mtu"),
            max_message_size=values.integer("max-message-size"),
            max_connections=incoming,
            max_opened=opened,
            max_connections_per_ip=values.integer("max-connections-per-ip"),
            tls_certificates_file=self._file(values.string("tls-certificates-file")),
            tls_certificates_private_key=self._file(values.string("tls-certificates-private-key")),
            tls_certificates_ca_file=self._file(values.string("tls-certificates-ca-file")),
            tls_ciphers=values.string("tls-ciphers"),
            tls_require_peer_certificate=values.boolean("require-peer-certificate"),
            tls_check_interval=values.seconds("tls-certificates-check-interval"),
            flow_token_path=self._token_file(nat.string("flow-token-path")),
            reuse_port=self.worker is not None,
        )
        return options

    def _file(self, name: str) -> str:
        return str(self.config.directory / Path(name).expanduser()) if name else ""

    def _token_file(self, name: str) -> str:
        path = Path(self._file(name)) if name else None
        # The folder may be there and be another server's: Flexisip's, on a machine that had it before.
        if path is not None and os.access(path if path.exists() else path.parent, os.R_OK | os.W_OK):
            return str(path)
        return str(self.state_directory / "flow-token-hash-key")

    def _make_state_directory(self) -> None:
        try:
            self.state_directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"[global] state-directory: {self.state_directory}: {error.strerror or error}") from error

    def _control_path(self) -> Path:
        name = self.config.section("global").string("control-socket")
        process = os.getpid() if self.worker is None else os.getppid()
        return Path(self._file(name) if name else f"/tmp/flexisip-proxy-{process}")  # noqa: S108 - as Flexisip

    # --- modules -----------------------------------------------------------------------------------------

    def _make_modules(self) -> None:
        problems: list[str] = []
        for module_class in module_classes():
            section = self.config.section(f"module::{module_class.name}")
            if not section.boolean("enabled"):
                continue
            context = ModuleContext(self.agent, module_class.name, self.config, self.state_directory)
            try:
                module = module_class(context)
                self._modules.append((module, section.expression("filter")))
            except ModuleError as error:
                problems.append(str(error))
        if problems:
            raise StartError("\n".join(problems))
        modules = [module for module, _ in self._modules]
        admissions = tuple(module.admit for module in modules if overrides(module, "admit"))
        self.agent.install(Pipeline(self.agent, self._modules), admissions)

    @property
    def modules(self) -> list[Module]:
        """The enabled modules in pipeline order."""
        return [module for module, _ in self._modules]

    # --- life --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the modules, then listen.

        Raises:
            StartError: something makes it impossible; nothing is left running.
        """
        try:
            for module in self.modules:
                module.provide()
            for module in self.modules:
                await module.start()
                self._started.append(module)
            if self.worker is not None:
                await self.worker.learn()
                await self.transports.start(await self.worker.sockets())
                self.worker.join(self.transports)
            else:
                await self.transports.start()
            if self.worker is None or self.worker.index == 0:
                await self._start_neighbours()
                await self._start_control()
        except (ModuleError, TransportError) as error:
            await self.stop(drain=0)
            raise StartError(str(error)) from error
        begin_collection()

    async def _start_neighbours(self) -> None:
        for neighbour in neighbours(self.config, self.agent):
            await neighbour.start()
            self._neighbours.append(neighbour)

    async def _start_control(self) -> None:
        try:
            await self._control.start()
        except OSError as error:
            logger.error("no control socket: %s", error)

    async def stop(self, drain: float = _DRAIN) -> None:
        """Let callers get their answers for at most `drain` seconds, then close everything."""
        deadline = time.monotonic() + drain
        while self._neighbours:
            await self._neighbours.pop().stop()
        while self._busy() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        await self._control.stop()
        if self.worker is not None and drain > 0:
            await self.worker.outlive_others()
        await self.agent.stop()
        for module in reversed(self._started):
            try:
                await module.stop()
            except Exception:
                logger.exception("module %s did not stop cleanly", module.name)
        self._started.clear()
        await self.transports.close()
        if self.worker is not None:
            self.worker.stop()
        await self.resolver.close()

    def _busy(self) -> bool:
        """Whether a caller still waits, here or at a worker that may need a connection of this one."""
        busy = self.agent.busy()
        return busy if self.worker is None else self.worker.is_needed(busy)

    def reload(self) -> list[str]:
        """Take in what can be changed while running: reloadable parameters, files, certificates (SIGHUP).

        Returns:
            What is wrong, a line each; everything wrong keeps its old state.
        """
        problems = self._reload_parameters()
        for module in self.modules:
            problems += module.reload()
        problems += self.transports.reload_tls()
        return problems

    def _reload_parameters(self) -> list[str]:
        if self.config.path is None:
            return []
        fresh, found = read(self.config.path, self.config.schema, self.config.overrides)
        errors = [str(problem) for problem in found if problem.is_error]
        if errors:
            return [*errors, "the configuration stays as it was"]
        problems: list[str] = []
        for section in self.config.schema:
            old, new = self.config.section(section.name), fresh.section(section.name)
            for parameter in section.parameters:
                if old.raw(parameter.name) == new.raw(parameter.name):
                    continue
                if parameter.reloadable or parameter.name == "filter":
                    old.set(parameter.name, new.raw(parameter.name))
                else:
                    problems.append(f"[{section.name}] {parameter.name} takes effect at the next start")
        self._renew_filters()
        set_log_level(self.config)
        return problems

    def _renew_filters(self) -> None:
        for module, _ in self._modules:
            self.agent.pipeline.set_filter(module, module.context.values.expression("filter"))

    def apply(self, section: str) -> list[str]:
        """Make a section's reloadable parameters effective after a change at run time.

        Returns:
            What is wrong, a line each.
        """
        self._renew_filters()
        set_log_level(self.config)
        problems: list[str] = []
        for module in self.modules:
            if section.lower() == f"module::{module.name}".lower():
                problems += module.reload()
        return problems

    def counters(self) -> dict[str, int]:
        """Numbers for operators, by name: the core's, the modules', the media relay's and the transports'."""
        layer = self.agent.layer
        relay: MediaRelay | None = self.agent.services.get(MediaRelay)
        return {
            "server_transactions": len(layer.servers),
            "client_transactions": len(layer.clients),
            **dict(sorted(self.agent.counters.items())),
            **(relay.counters if relay is not None else {}),
            **{f"transport_{name}": value for name, value in dataclasses.asdict(self.transports.counters).items()},
            **(self.worker.counters() if self.worker is not None else {}),
        }


def listening_points(config: Config, transports: Sequence[str | TransportSpec] = ()) -> list[TransportSpec]:
    """Where to listen.

    Args:
        config: the configuration.
        transports: `transports=` entries that replace the configured ones.

    Raises:
        StartError: an entry that cannot be understood.
    """
    specs: list[TransportSpec] = []
    for entry in transports or config.section("global").strings("transports"):
        try:
            specs.extend([entry] if isinstance(entry, TransportSpec) else parse_transport(entry))
        except TransportError as error:
            raise StartError(f"[global] transports: {error}") from error
    return specs


def state_directory(config: Config) -> Path:
    """Where state that outlives the process is kept: `state-directory`, else `var` beside the configuration."""
    name = config.section("global").string("state-directory")
    return config.directory / (Path(name).expanduser() if name else Path("var"))
