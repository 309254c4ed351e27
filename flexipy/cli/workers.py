"""Runs a server as several processes (`[global] workers`)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import socket
from dataclasses import replace
from functools import partial
from pathlib import Path

from flexipy.cli.parent import READY, SOCKETS, Parent, Place
from flexipy.cli.run import ServerOptions, in_loop, report_failure, serve, write_pid
from flexipy.config.config import Config
from flexipy.proxy.routing import BRANCH_PREFIX
from flexipy.servers.descriptors import raise_limit
from flexipy.servers.proxy import StartError, listening_points
from flexipy.transport.errors import TransportError
from flexipy.transport.options import TransportOptions
from flexipy.transport.probe import places_of
from flexipy.transport.resolver import Resolver
from flexipy.workers.shared_ports import MOST, SharedPorts
from flexipy.workers.worker import Worker

logger = logging.getLogger("flexipy")


def run_workers(count: int, config: Config, server_options: ServerOptions, options: argparse.Namespace) -> int:
    """Start the workers and stay until told to leave; returns the exit status."""
    hosts, texts, version = server_options
    pidfile: str | None = options.pidfile
    report = bool(options.daemon or options.syslog)
    try:
        # Workers share their ports with whoever asks: whether somebody else has them is to be found out before.
        specs = listening_points(config, texts)
        places = asyncio.run(places_of(specs, Resolver(hosts)))
    except (StartError, TransportError) as error:
        report_failure(StartError(str(error)), report)
        return 1
    points = [replace(spec, port=port) for spec, (_, port) in zip(specs, places, strict=True)]
    datagrams = [place for spec, place in zip(specs, places, strict=True) if spec.transport == b"UDP"]
    raise_limit()  # of each worker there are several sockets here
    ports = SharedPorts(datagrams, TransportOptions().udp_buffer_size, BRANCH_PREFIX, count)

    def on_ready() -> None:
        if pidfile:
            write_pid(pidfile)
        logger.info("ready")

    def work(place: Place) -> int:
        worker = Worker(place.index, place.mailboxes, BRANCH_PREFIX, place.alive, partial(_sockets, place.link))
        ready = partial(_ready, place)
        return in_loop(serve(config, (hosts, points, version), None, report, worker, ready))

    status = Parent(count, work, on_ready, ports).run()
    if pidfile:
        Path(pidfile).unlink(missing_ok=True)
    return status


async def _sockets(link: socket.socket) -> list[socket.socket]:
    """Ask the parent for the UDP sockets."""
    loop = asyncio.get_running_loop()
    answered = asyncio.Event()
    loop.add_reader(link, answered.set)
    try:
        link.send(SOCKETS)
        await answered.wait()
        _, descriptors, _, _ = socket.recv_fds(link, 1, MOST, socket.MSG_CMSG_CLOEXEC)
    except OSError:  # the parent is gone, which will be noticed
        return []
    finally:
        loop.remove_reader(link)
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for sock in sockets:
        sock.setblocking(False)
    return sockets


def _ready(place: Place, leaving: asyncio.Event) -> None:
    """Tell the parent, and leave when it is gone."""
    logger.info("worker %d is ready, process %d", place.index, os.getpid())
    loop = asyncio.get_running_loop()

    def parent_is_gone() -> None:
        loop.remove_reader(place.parent)
        leaving.set()

    loop.add_reader(place.parent, parent_is_gone)
    with contextlib.suppress(BrokenPipeError):  # gone already
        place.link.send(READY)
    place.link.close()
