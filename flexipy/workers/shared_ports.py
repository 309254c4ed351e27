"""The UDP ports that all workers listen on, and who of them is where among the sockets of a port.

The kernel counts the sockets of a port in the order in which they were bound; when one is closed, the last takes its
place. A program that chooses among them (`steering`) must know that order. So they are bound by one alone, the parent,
when a worker asks for them: the last thing that it does before it serves, since a socket that nobody reads yet would be
given datagrams as well. The parent keeps a copy of each until it has seen that the worker is gone: the order changes
when it closes that copy, and at no other time. What comes in the moment between is lost, like what the worker
had not read. A socket is closed with its last copy, so that a worker that is forked lets go those of the others.

Where the kernel takes no such program, or a worker had to bind its sockets itself so that nobody knows the order, the
kernel chooses by addresses and ports, and more has to be handed over.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Sequence
from typing import Final

from flexipy.transport.addresses import family_of
from flexipy.transport.udp import bind_udp
from flexipy.workers.ownership import KEYS
from flexipy.workers.steering import NO_ADVICE, Program, attach, programs

logger = logging.getLogger(__name__)

MOST: Final = 253  # descriptors that one message of a Unix socket carries (SCM_MAX_FD); with more ports nobody steers


class SharedPorts:
    """What the parent has of all workers' UDP sockets.

    Args:
        addresses: of the listening points.
        buffer_size: bytes to ask of the kernel for each socket.
        branch_prefix: what the branches of all workers begin with.
        count: how many workers there shall be.
    """

    def __init__(
        self, addresses: Sequence[tuple[str, int]], buffer_size: int, branch_prefix: bytes, count: int
    ) -> None:
        self._addresses = addresses if len(addresses) <= MOST else ()
        self._buffer_size = buffer_size
        self._branch_prefix = branch_prefix
        self._count = count
        self._sockets: dict[int, list[socket.socket]] = {}  # of each worker, one for each listening point
        self._order: list[int] = []  # the workers, as their sockets stand at every port
        self._steers = True

    def bind(self, worker: int) -> Sequence[socket.socket]:
        """A worker's sockets, one for each listening point; none where it must bind them itself.

        They stay ours, too, until `release`.
        """
        sockets: list[socket.socket] = []
        try:
            for address in self._addresses:
                sockets.append(bind_udp(family_of(address[0]), address, self._buffer_size, reuse_port=True))
        except OSError as error:  # it will see the same and tell why
            _close(sockets)
            self._give_up(error)
            return ()
        self._sockets[worker] = sockets
        self._order.append(worker)
        self._steer()
        return sockets

    def release(self, worker: int) -> None:
        """A worker is gone."""
        if worker not in self._sockets:
            return
        _close(self._sockets.pop(worker))
        last = self._order.pop()
        if last != worker:
            self._order[self._order.index(worker)] = last
        self._steer()

    def forget(self) -> None:
        """In a worker that has been forked: let go what is the others'."""
        for sockets in self._sockets.values():
            _close(sockets)
        self._sockets.clear()
        self._order.clear()

    def _steer(self) -> None:
        if not self._steers or not self._order:
            return
        places = {worker: place for place, worker in enumerate(self._order)}
        steering = [*programs(places, self._branch_prefix, KEYS, self._count)]
        try:
            for sock in self._sockets[self._order[0]]:
                _attach_longest(sock, steering)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Leave it to the kernel from now on."""
        if self._steers:
            logger.debug("the kernel spreads datagrams over the workers by addresses and ports: %s", error)
        self._steers = False
        if self._order:
            with contextlib.suppress(OSError):
                for sock in self._sockets[self._order[0]]:
                    attach(sock, NO_ADVICE)


def _attach_longest(sock: socket.socket, candidates: Sequence[Program]) -> None:
    """Attach the first program that isn't too long for this kernel.

    Raises:
        OSError: there is none.
    """
    *longer, shortest = candidates
    for program in longer:
        try:
            attach(sock, program)
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
        else:
            return
    attach(sock, shortest)


def _close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
