"""Accounts out of a password file that may be edited while the server runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from flexipy.auth.account import Account
from flexipy.auth.password_file import PasswordFile, Problem, of_domains


class FileCredentials:
    """Looks accounts up; takes over a changed file, but only a sound one.

    Args:
        path: the password file.
        domains: accounts of other domains are left out; `*` takes all.
        check_interval: seconds between two looks at whether the file changed.

    Attributes:
        problems: what was wrong when the file was last read.
    """

    def __init__(
        self, path: str | os.PathLike[str], domains: Sequence[str] = ("*",), check_interval: float = 1.0
    ) -> None:
        self.path = Path(path)
        self.problems: list[Problem] = []
        self._domains = tuple(domains)
        self._interval = check_interval
        self._accounts: dict[str, dict[str, Account]] = {}  # by domain, then by user or auth-id
        self._phones: dict[tuple[str, str], Account] = {}
        self._next_check = float("-inf")
        self._state: tuple[int, int, int] | None = None
        self._loaded = False
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def lookup(self, user: str, domain: str) -> Account | None:
        """The account of a user, or of an auth-id.

        Args:
            user: unescaped.
            domain: in lower case.
        """
        users = self._accounts.get(domain)
        return None if users is None else users.get(user)

    def lookup_phone(self, phone: str, domain: str) -> Account | None:
        """The account that has this phone number."""
        return self._phones.get((phone, domain))

    def reload(self, now: float, at_once: bool = False) -> list[Problem]:
        """Read the file if it changed, or for the first time.

        The first time, the good lines of a bad file are used. Later a file with errors changes nothing.

        Args:
            now: seconds; within `check_interval` of the last look this does nothing.
            at_once: look all the same.

        Returns:
            What is wrong, once for each state of the file.
        """
        if now < self._next_check and not at_once:
            return []
        self._next_check = now + self._interval
        try:
            status = self.path.stat()
        except OSError as error:
            return self._unreadable(error)
        state = (status.st_mtime_ns, status.st_ino, status.st_size)
        if state == self._state:
            return []
        try:
            text = self.path.read_text("utf-8", "surrogateescape")
        except OSError as error:
            return self._unreadable(error)
        self._state = state
        return self._take(PasswordFile.parse(text, str(self.path)))

    def _unreadable(self, error: OSError) -> list[Problem]:
        if self._state == (0, 0, 0):
            return []
        self._state = (0, 0, 0)
        reason = error.strerror or str(error)
        kept = f"; the {len(self)} accounts known before are kept" if self._loaded else ""
        self.problems = [Problem(str(self.path), 0, f"can't be read: {reason}{kept}")]
        return self.problems

    def _take(self, file: PasswordFile) -> list[Problem]:
        self.problems = list(file.problems)
        if file.problems and self._loaded:
            kept = Problem(str(self.path), 0, "has errors and is not taken over; the former accounts stay")
            self.problems.append(kept)
            return self.problems
        accounts: dict[str, dict[str, Account]] = {}
        count = 0
        phones: dict[tuple[str, str], Account] = {}
        for found in of_domains(file, str(self.path), self._domains):
            if isinstance(found, Problem):
                self.problems.append(found)
                continue
            accounts.setdefault(found.domain, {})[found.user] = found
            count += 1
            if found.phone:
                phones.setdefault((found.phone, found.domain), found)
        self._count = count
        for users in accounts.values():
            for account in list(users.values()):
                if account.auth_id:  # a user's own name goes before another's auth-id
                    users.setdefault(account.auth_id, account)
        self._accounts, self._phones = accounts, phones
        self._loaded = True
        return self.problems
