"""The parent of several workers: forks them, starts those again that die, passes signals on, and serves nobody itself.

It has no event loop and no threads, so that it can fork whenever it has to.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from flexipy.workers.bus import Mailbox, make_mailboxes
from flexipy.workers.shared_ports import SharedPorts
from flexipy.workers.supervision import Action, End, Ready, Start, StopAll, Supervisor

logger = logging.getLogger("flexipy")

_LEAVES_WITHIN: Final = 8.0  # seconds that workers get when they are told to leave
_PASSED_ON: Final = (signal.SIGHUP,)
_LEAVE: Final = (signal.SIGTERM, signal.SIGINT)
_HANDLED: Final = (*_LEAVE, *_PASSED_ON, signal.SIGCHLD)
SOCKETS: Final = b"s"  # what a worker says that is about to listen; the answer is the same, with the sockets
READY: Final = b"r"  # what it says that listens


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker is given by its parent.

    Attributes:
        index: its number.
        alive: the workers that are ready.
        mailboxes: of all workers.
        parent: readable once the parent is gone.
        link: to ask the parent for UDP sockets, and to tell it that the worker works.
    """

    index: int
    alive: frozenset[int]
    mailboxes: Sequence[Mailbox]
    parent: int
    link: socket.socket


class Parent:
    """Runs workers until told to leave.

    Args:
        count: how many.
        work: what a worker does, in its own process; returns its exit status.
        on_ready: called when all work for the first time.
        ports: what they listen on.
    """

    def __init__(
        self, count: int, work: Callable[[Place], int], on_ready: Callable[[], None], ports: SharedPorts
    ) -> None:
        self._supervisor = Supervisor(count)
        self._work = work
        self._on_ready = on_ready
        self._ports = ports
        self._mailboxes = make_mailboxes(count)
        self._selector = selectors.DefaultSelector()
        self._processes: dict[int, int] = {}  # process id -> number of the worker
        self._links: dict[int, socket.socket] = {}  # number of the worker -> where it is heard until it is ready
        self._life = os.pipe()  # its writing end is open in the parent only
        self._wakeup, self._signals = socket.socketpair()
        self._status: int | None = None
        self._kill_at: float | None = None

    def run(self) -> int:
        """Start the workers and stay until all have left; returns the exit status."""
        for end in (self._wakeup, self._signals):
            end.setblocking(False)
        signal.set_wakeup_fd(self._signals.fileno(), warn_on_full_buffer=False)
        for number in _HANDLED:
            signal.signal(number, _ignored)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        gc.freeze()  # what is there by now is shared with the workers as long as nobody writes to it
        self._do(self._supervisor.begin(time.monotonic()))
        while self._status is None:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self._wakeup:
                    self._take_signals()
                else:
                    self._listen_to(key.data)
            self._kill_if_overdue()
            self._do(self._supervisor.tick(time.monotonic()))
        return self._status

    def _patience(self) -> float | None:
        due = [at for at in (self._supervisor.next_due(), self._kill_at) if at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Start):
                self._start(action)
            elif isinstance(action, StopAll):
                self._kill_at = time.monotonic() + _LEAVES_WITHIN
                self._signal_all(signal.SIGTERM)
            elif isinstance(action, Ready):
                self._on_ready()
            elif isinstance(action, End):
                self._status = action.status

    # --- workers -----------------------------------------------------------------------------------------

    def _start(self, start: Start) -> None:
        ours, theirs = socket.socketpair()
        # A signal that comes while there are two of us must find the handlers of the one that it is for.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        process = os.fork()
        if process == 0:
            self._be_worker(Place(start.index, start.alive, self._mailboxes, self._life[0], theirs), ours)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        theirs.close()
        self._processes[process] = start.index
        self._links[start.index] = ours
        self._selector.register(ours, selectors.EVENT_READ, start.index)

    def _be_worker(self, place: Place, ours: socket.socket) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _HANDLED:  # until the server has its own: told to leave it leaves, the rest can wait
                signal.signal(number, signal.SIG_IGN if number in _PASSED_ON else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
            self._selector.close()
            os.close(self._life[1])
            for end in (ours, *self._links.values(), self._wakeup, self._signals):
                end.close()
            self._ports.forget()
            status = self._work(place)
        except BaseException:
            logger.exception("worker %d failed", place.index)
        finally:
            logging.shutdown()
            os._exit(status)

    def _listen_to(self, index: int) -> None:
        link = self._links[index]
        said = b""
        with contextlib.suppress(OSError):  # it has died
            said = link.recv(1)
        if said == SOCKETS:
            self._give_sockets(index, link)
            return
        self._close_link(index)
        if said == READY:
            self._do(self._supervisor.ready(index, time.monotonic()))

    def _give_sockets(self, index: int, link: socket.socket) -> None:
        sockets = self._ports.bind(index)
        try:
            socket.send_fds(link, [SOCKETS], [sock.fileno() for sock in sockets])
        except OSError:  # nobody will read from them
            self._ports.release(index)

    def _close_link(self, index: int) -> None:
        link = self._links.pop(index, None)
        if link is not None:
            self._selector.unregister(link)
            link.close()

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._processes:
            os.kill(process, number)

    def _kill_if_overdue(self) -> None:
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = None
            logger.error("workers do not leave and are killed")
            self._signal_all(signal.SIGKILL)

    # --- signals -----------------------------------------------------------------------------------------

    def _take_signals(self) -> None:
        for number in self._wakeup.recv(4096):
            if number in _LEAVE:
                self._do(self._supervisor.leave(time.monotonic()))
            elif number in _PASSED_ON:
                self._signal_all(signal.Signals(number))
            elif number == signal.SIGCHLD:
                self._reap()

    def _reap(self) -> None:
        while self._processes:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            index = self._processes.pop(process, None)
            if index is None:
                continue
            self._close_link(index)
            self._ports.release(index)
            code = os.waitstatus_to_exitcode(status)
            if not self._supervisor.leaving:
                logger.error("worker %d is gone, status %d", index, code)
            self._do(self._supervisor.exited(index, code, time.monotonic()))


def _ignored(number: int, frame: object) -> None:
    """The wake-up socket tells of it."""
