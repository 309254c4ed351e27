"""A file edited by one process at a time and replaced as a whole: its readers never see half of it."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType


class LockedFile:
    """Holds a lock while a file is read, changed and replaced.

    The lock is on a file of its own beside the file, as each replacement makes the file another one.

    Args:
        path: the file; a symbolic link is followed and stays.
        must_exist: fail where it doesn't exist, rather than begin with nothing.
    """

    def __init__(self, path: Path, must_exist: bool = False) -> None:
        self._path = Path(os.path.realpath(path))
        self._must_exist = must_exist
        self._lock = -1

    def __enter__(self) -> LockedFile:
        if self._must_exist:
            self._path.stat()
        self._path.parent.stat()  # an error names the folder that is missing, not the lock in it
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._lock = os.open(self._path.with_name(f".{self._path.name}.lock"), flags, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._lock)

    def read(self) -> str:
        """The content, empty where there is no file yet."""
        try:
            return self._path.read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            if self._must_exist:
                raise
            return ""

    def replace(self, text: str) -> None:
        """Write a new content and put it in the file's place, with the mode and owner that the file had.

        Raises:
            OSError: the file is as before.
        """
        fd, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)  # mode 0600
        try:
            with os.fdopen(fd, "wb") as new:
                self._copy_rights(new.fileno())
                new.write(text.encode("utf-8", "surrogateescape"))
                new.flush()
                os.fsync(new.fileno())
            os.replace(name, self._path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _copy_rights(self, fd: int) -> None:
        try:
            old = self._path.stat()
        except FileNotFoundError:
            return
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            # where it isn't allowed, the server would lose its file: better fail than that
            os.fchown(fd, old.st_uid, old.st_gid)
        os.fchmod(fd, stat.S_IMODE(old.st_mode))
