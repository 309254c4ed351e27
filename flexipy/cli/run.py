"""Runs a server: logging, signals, pid file, the event loop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexipy import __version__
from flexipy.config.config import Config
from flexipy.config.reader import read
from flexipy.servers.discovery import full_schema
from flexipy.servers.log_level import set_log_level
from flexipy.servers.proxy import ProxyServer, StartError
from flexipy.transport.specs import TransportSpec

if TYPE_CHECKING:
    from flexipy.workers.worker import Worker

logger = logging.getLogger("flexipy")

ServerOptions = tuple[dict[str, list[str]], Sequence[str | TransportSpec], str]

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def run(options: argparse.Namespace, path: Path | None) -> int:
    """Start what the command line asks for and stay until told to leave; returns the exit status."""
    overrides = [*options.set, *(["global/log-level=debug"] if options.debug else [])]
    config, problems = read(path, full_schema(), overrides)
    for problem in problems:
        print(problem, file=sys.stderr)
    if any(problem.is_error for problem in problems):
        return 1
    roles = (options.server or " ".join(config.section("global").strings("default-servers"))).split()
    unknown = [role for role in roles if role not in ("proxy", "all")]
    if unknown or not roles:
        print(f"flexipy: no server called '{' '.join(unknown)}' yet; there is: proxy", file=sys.stderr)
        return 1
    try:
        hosts = _hosts(options.hosts)
        server_options: ServerOptions = (hosts, (options.transports or "").split(), __version__)
    except ValueError as error:
        print(f"flexipy: {error}", file=sys.stderr)
        return 1
    if options.daemon:
        _detach()
    _log_to(config, options)
    workers = config.section("global").integer("workers")
    if workers > 1:
        from flexipy.cli.workers import run_workers

        return run_workers(workers, config, server_options, options)
    return in_loop(serve(config, server_options, options.pidfile, _reports(options)))


def in_loop(work: Coroutine[Any, Any, int]) -> int:
    """Run a server in the fastest event loop there is; returns the exit status."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _reports(options: argparse.Namespace) -> bool:
    """Whether what keeps the server from starting must also go to the log: nobody reads the standard error."""
    return bool(options.daemon or options.syslog)


def _hosts(texts: list[str]) -> dict[str, list[str]]:
    hosts: dict[str, list[str]] = {}
    for text in texts:
        for entry in text.split():
            name, equals, addresses = entry.partition("=")
            if not equals or not name or not addresses:
                raise ValueError(f"--hosts '{entry}' is not of the form name=ip")
            hosts.setdefault(name.lower(), []).extend(addresses.split(","))
    return hosts


def _log_to(config: Config, options: argparse.Namespace) -> None:
    handler: logging.Handler
    if options.syslog:
        handler = logging.handlers.SysLogHandler("/dev/log" if os.path.exists("/dev/log") else ("localhost", 514))
        handler.setFormatter(logging.Formatter("flexipy: %(levelname)s %(name)s: %(message)s"))
    else:
        handler = _file_or_terminal(config, options)
        handler.setFormatter(logging.Formatter(_FORMAT))
    logging.basicConfig(handlers=[handler], force=True)
    set_log_level(config)


def _file_or_terminal(config: Config, options: argparse.Namespace) -> logging.Handler:
    values = config.section("global")
    directory = Path(values.string("log-directory"))
    if options.daemon and not options.debug:
        name = values.string("log-filename").replace("{server}", "proxy")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return logging.handlers.WatchedFileHandler(directory / name)
        except OSError as error:
            print(f"flexipy: cannot log to {directory}: {error}", file=sys.stderr)
    return logging.StreamHandler(sys.stderr)


def _detach() -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


async def serve(
    config: Config,
    server_options: ServerOptions,
    pidfile: str | None,
    report: bool,
    worker: Worker | None = None,
    on_ready: Callable[[asyncio.Event], None] | None = None,
) -> int:
    """Run a server until it is told to leave; returns the exit status.

    Args:
        config: the configuration.
        server_options: see `ProxyServer`.
        pidfile: where to write the process id.
        report: log what keeps it from starting.
        worker: what joins it to other processes.
        on_ready: called in place of a line in the log, with what makes it leave.
    """
    loop = asyncio.get_running_loop()
    leaving = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leaving.set)
    early = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, early.set)
    try:
        server = ProxyServer(config, *server_options, worker)
        if not await _started(server, leaving):
            return 0
    except StartError as error:
        report_failure(error, report)
        return 1
    loop.add_signal_handler(signal.SIGHUP, _reload, server)
    if pidfile:
        write_pid(pidfile)
    if early.is_set():
        _reload(server)
    if on_ready is None:
        logger.info("ready")
    else:
        on_ready(leaving)
    await leaving.wait()
    logger.info("leaving")
    await server.stop()
    if pidfile:
        Path(pidfile).unlink(missing_ok=True)
    return 0


async def _started(server: ProxyServer, leaving: asyncio.Event) -> bool:
    """Start a server; False where it is told to leave before it has, and then it has left.

    What it waits for may never come: a worker that begins asks others, which leave as well.
    """
    starting = asyncio.ensure_future(server.start())
    told = asyncio.ensure_future(leaving.wait())
    await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if starting.done():
        starting.result()
        return True
    logger.info("leaving before it has begun")
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    await server.stop(drain=0)
    return False


def report_failure(error: StartError, log: bool) -> None:
    """Say why the server does not start."""
    for line in str(error).splitlines():
        print(f"flexipy: {line}", file=sys.stderr)
        if log:
            logger.error("%s", line)


def write_pid(pidfile: str) -> None:
    """Leave this process's number where service managers look for it."""
    try:
        Path(pidfile).write_text(f"{os.getpid()}\n")
    except OSError as error:
        logger.error("cannot write the pid file: %s", error)


def _reload(server: ProxyServer) -> None:
    problems = server.reload()
    for problem in problems:
        logger.warning("reload: %s", problem)
    logger.info("reloaded")
