"""Runs a server: logging, signals, pid file, the event loop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import logging.handlers
import os
import signal
import sys
from pathlib import Path

from flexipy import __version__
from flexipy.config.config import Config
from flexipy.config.reader import read
from flexipy.servers.discovery import full_schema
from flexipy.servers.log_level import set_log_level
from flexipy.servers.proxy import ProxyServer, StartError

logger = logging.getLogger("flexipy")

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
        server_options = (hosts, (options.transports or "").split(), __version__)
    except ValueError as error:
        print(f"flexipy: {error}", file=sys.stderr)
        return 1
    if options.daemon:
        _detach()
    _log_to(config, options)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(config, server_options, options))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, server_options, options))


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


async def _serve(
    config: Config, server_options: tuple[dict[str, list[str]], list[str], str], options: argparse.Namespace
) -> int:
    pidfile: str | None = options.pidfile
    loop = asyncio.get_running_loop()
    leaving = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leaving.set)
    early = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, early.set)
    try:
        server = ProxyServer(config, *server_options)
        await server.start()
    except StartError as error:
        for line in str(error).splitlines():
            print(f"flexipy: {line}", file=sys.stderr)
            if options.daemon or options.syslog:  # nobody reads the standard error then
                logger.error("%s", line)
        return 1
    loop.add_signal_handler(signal.SIGHUP, _reload, server)
    if pidfile:
        try:
            Path(pidfile).write_text(f"{os.getpid()}\n")
        except OSError as error:
            logger.error("cannot write the pid file: %s", error)
    if early.is_set():
        _reload(server)
    logger.info("ready")
    await leaving.wait()
    logger.info("leaving")
    await server.stop()
    if pidfile:
        Path(pidfile).unlink(missing_ok=True)
    return 0


def _reload(server: ProxyServer) -> None:
    problems = server.reload()
    for problem in problems:
        logger.warning("reload: %s", problem)
    logger.info("reloaded")
