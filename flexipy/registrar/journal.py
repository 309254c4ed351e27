"""The journal that lets the embedded store survive a restart, `kill -9` included.

A change is in the kernel's page cache before its 200 leaves: one `os.write` for each REGISTER, no flush. What
a power cut may lose is bounded by `sync`, which the server calls about once a second and, if disks are slow,
in a thread of its own. When the file has grown to several times what it has to say, it is written anew in
small steps beside the running one, changes going to both, and takes its place by a rename.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from flexipy.registrar.binding import Change, Record
from flexipy.registrar.journal_lines import binding_line, lines_of
from flexipy.registrar.journal_reading import Replay

logger = logging.getLogger(__name__)

HEADER: Final = b"flexipy-bindings 1\n"
_GROWTH: Final = 4  # rewrite at this multiple of the size after the last rewrite
_LEAST: Final = 1 << 20  # but never a file smaller than this, in bytes
_PAUSE: Final = 60  # calls of `step` before a rewrite that failed is tried again
_STEP: Final = 100  # bindings written in one step of a rewrite: well below a millisecond


class JournalError(Exception):
    """The journal can't be used; the text says why, for the operator."""


class Journal:
    """An append-only file of changes.

    Args:
        path: the file; made, readable for its owner only, where it doesn't exist.
        least: bytes below which the file is never rewritten.

    Attributes:
        failures: how many changes could not be written since the start.
        size: of the file, in bytes.
    """

    def __init__(self, path: str | os.PathLike[str], least: int = _LEAST) -> None:
        self.path = Path(path)
        self.failures = 0
        self.size = 0
        self._least = least
        self._base = 0  # size after the last rewrite
        self._fd = -1
        self._torn = False  # the last write was cut short: its line must be ended first
        self._behind = False  # changes are missing in the file: rewrite it when the disk has room again
        self._new_fd = -1
        self._new_size = 0
        self._todo: list[Record] = []
        self._ready = False  # the new file is complete, but not yet on disk
        self._synced = False
        self._dirty = False
        self._pause = 0

    # --- opening -----------------------------------------------------------------------------------------

    def open(self, now: float) -> dict[str, Record]:
        """Open the file and read what it has kept; lines that are damaged are left out with a warning.

        Args:
            now: wall clock seconds; what lapsed meanwhile is left out.

        Raises:
            JournalError: it can't be opened, isn't a journal, or another process uses it.
        """
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._lock(self._fd)
            records = self._read(now)
        except OSError as error:
            self.close()
            raise JournalError(f"{self.path}: {error.strerror or error}") from error
        with suppress(OSError):
            self._new_path.unlink()
        self._base = self.size
        return records

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{self.path} is in use by another process") from None

    def _read(self, now: float) -> dict[str, Record]:
        with os.fdopen(os.dup(self._fd), "rb") as file:
            header = file.readline()
            if not HEADER.startswith(header):
                raise JournalError(f"{self.path} is not a journal of bindings")
            if header != HEADER:  # new, or torn while it was made
                os.ftruncate(self._fd, 0)
                self._append(HEADER)
                return {}
            replay = Replay(file, 2)
        self.size = os.fstat(self._fd).st_size
        self._torn = replay.torn
        if replay.bad:
            number, reason = replay.bad[0]
            logger.warning("%s:%d: %s; %d such lines left out", self.path, number, reason, len(replay.bad))
        return replay.living(now)

    @property
    def _new_path(self) -> Path:
        return self.path.with_name(self.path.name + ".new")

    def close(self) -> None:
        """Let go of the file; a rewrite under way is given up."""
        self._abandon()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # --- writing -----------------------------------------------------------------------------------------

    def write(self, record: Record, changes: list[Change]) -> None:
        """Append changes; an expiry isn't one, its time is in the file already."""
        lines = lines_of(changes)
        if lines:
            self.write_lines(lines)

    def write_lines(self, lines: bytes) -> None:
        """Append changes that are lines already."""
        self._append(lines)
        if self._new_fd >= 0:
            self._append_new(lines)

    def _append(self, data: bytes) -> None:
        if self._torn:
            data = b"\n" + data
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            self._failed(error.strerror or str(error))
            return
        self.size += written
        self._dirty = True
        if written == len(data):
            self._torn = False
        else:
            self._torn = True
            self._failed("no room")

    def _failed(self, reason: str) -> None:
        if not self._behind:
            logger.warning("%s: can't be written: %s; bindings won't survive a restart", self.path, reason)
        self.failures += 1
        self._behind = True

    @property
    def needs_sync(self) -> bool:
        """Whether `sync` has anything to do."""
        return self._dirty or (self._ready and not self._synced)

    def sync(self) -> None:
        """Flush to disk. May block; may run in a thread beside all other methods but `close`."""
        if self._ready and not self._synced:
            with suppress(OSError):
                os.fsync(self._new_fd)
            self._synced = True
        elif self._dirty:
            self._dirty = False
            with suppress(OSError):
                os.fdatasync(self._fd)

    # --- rewriting ---------------------------------------------------------------------------------------

    def step(self, records: Iterable[Record]) -> bool:
        """Do a little of a rewrite if one is due; call it often, every tick or second.

        Args:
            records: all records as they are; read only when a rewrite begins.

        Returns:
            Whether there is more to do soon.
        """
        if self._new_fd < 0:
            return self._is_due() and self._begin(records)
        if self._todo:
            self._copy_some()
        elif not self._ready:
            self._ready = True
        elif self._synced:
            self._replace()
        return self._new_fd >= 0

    def _is_due(self) -> bool:
        if self._pause:
            self._pause -= 1
            return False
        return self._behind or self.size > max(self._least, _GROWTH * self._base)

    def _begin(self, records: Iterable[Record]) -> bool:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            self._new_fd = os.open(self._new_path, flags, 0o600)
            self._lock(self._new_fd)
        except (OSError, JournalError):
            self._give_up()
            return False
        self._new_size = 0
        self._ready = self._synced = False
        self._todo = list(records)
        self._append_new(HEADER)
        return self._new_fd >= 0

    def _copy_some(self) -> None:
        lines: list[bytes] = []
        while self._todo and len(lines) < _STEP:
            # its bindings as they are now: later changes have gone to the new file already or will do so
            lines += [binding_line(binding) for binding in self._todo.pop().bindings]
        if lines:
            self._append_new(b"".join(lines))

    def _append_new(self, data: bytes) -> None:
        try:
            complete = os.write(self._new_fd, data) == len(data)
        except OSError:
            complete = False
        if complete:
            self._new_size += len(data)
        else:
            self._give_up()

    def _give_up(self) -> None:
        """Keep to the old file for now."""
        self._abandon()
        self._pause = _PAUSE

    def _abandon(self) -> None:
        self._todo = []
        self._ready = self._synced = False
        if self._new_fd >= 0:
            os.close(self._new_fd)
            self._new_fd = -1
            with suppress(OSError):
                self._new_path.unlink()

    def _replace(self) -> None:
        try:
            os.replace(self._new_path, self.path)
        except OSError:
            self._give_up()
            return
        os.close(self._fd)
        self._fd, self._new_fd = self._new_fd, -1
        self.size = self._base = self._new_size
        self._torn = self._ready = self._synced = False
        if self._behind:
            self._behind = False
            logger.warning("%s: is written again, nothing is missing", self.path)
