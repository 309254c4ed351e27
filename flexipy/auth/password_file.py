"""The password file: one account a line, in Flexisip's format.

    version:1
    alice@sip.example.org clrtxt:secret ;
    bob@sip.example.org md5:97ff... sha256:d758... ; auth-id phone

A `%20` stands for a space. Comments, blank lines and lines with mistakes are kept when the file is rewritten.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final
from urllib.parse import quote as percent_encode

from flexipy.auth.account import Account
from flexipy.sip.uri import unescape

VERSION_LINE: Final = "version:1"
# name in the file -> algorithm and length of its hash in hexadecimal digits
_HASHES: Final = {"md5": ("MD5", 32), "sha256": ("SHA-256", 64)}
_KINDS: Final = ("clrtxt", *_HASHES)
_HEXADECIMAL: Final = frozenset("0123456789abcdef")
# what Flexisip's grammar admits in a token; the rest is written as %hh
_KEPT: Final = "-.!*_+`'~:"


@dataclass(slots=True, frozen=True)
class Problem:
    """Something wrong in a file.

    Attributes:
        line: counted from 1, 0 for the file as a whole.
        is_error: the line can't be used; otherwise it is only worth a warning.
    """

    filename: str
    line: int
    text: str
    is_error: bool = True

    def __str__(self) -> str:
        place = f"{self.filename}:{self.line}" if self.line else self.filename
        return f"{place}: {self.text}"


class LineError(ValueError):
    """A line that is no account; the text tells its writer why."""


@dataclass(slots=True)
class PasswordFile:
    """A password file, read.

    Attributes:
        lines: as they stand, without line ends; for each account its line's index is in `places`.
        accounts: by (user, domain), in the order of the file.
        places: line index of each account.
        problems: what was wrong.
    """

    lines: list[str] = field(default_factory=lambda: [VERSION_LINE])
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    places: dict[tuple[str, str], int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @staticmethod
    def parse(text: str, filename: str) -> PasswordFile:
        """Read a file's content.

        Args:
            text: the content.
            filename: for the problems.
        """
        lines = text.split("\n")
        if lines and not lines[-1]:
            lines.pop()
        file = PasswordFile([line.rstrip("\r") for line in lines])
        first = lines[0].strip() if lines else ""
        if first != VERSION_LINE:
            file._report(filename, 1, f"the first line must be {VERSION_LINE}, not {first!r}")
        for index, line in enumerate(file.lines):
            content = line.strip()
            if not content or content.startswith("#") or (index == 0 and content.startswith("version")):
                continue
            try:
                account = parse_account(content)
            except LineError as error:
                file._report(filename, index + 1, str(error))
                continue
            key = (account.user, account.domain)
            if key in file.accounts:
                place = file.places[key] + 1
                file._report(filename, index + 1, f"{account.user}@{account.domain} is already in line {place}")
                continue
            file.accounts[key] = account
            file.places[key] = index
        return file

    def _report(self, filename: str, line: int, text: str) -> None:
        self.problems.append(Problem(filename, line, text))

    def put(self, account: Account) -> None:
        """Add an account, or rewrite its line where it is."""
        key = (account.user, account.domain)
        if key in self.places:
            self.lines[self.places[key]] = format_account(account)
        else:
            self.places[key] = len(self.lines)
            self.lines.append(format_account(account))
        self.accounts[key] = account

    def remove(self, user: str, domain: str) -> bool:
        """Take an account's line out; whether there was one."""
        place = self.places.pop((user, domain), None)
        if place is None:
            return False
        del self.accounts[(user, domain)]
        del self.lines[place]
        for key, other in self.places.items():
            if other > place:
                self.places[key] = other - 1
        return True

    def text(self) -> str:
        """The content to write."""
        return "\n".join(self.lines) + "\n"


def parse_account(line: str) -> Account:
    """Read one account's line.

    Raises:
        LineError: what is wrong with it.
    """
    head, semicolon, tail = line.partition(";")
    words = head.split()
    if not words:
        raise LineError("no account before the ;")
    user, domain = parse_identity(words[0])
    if not semicolon:
        raise LineError("a ; must follow the passwords")
    account = Account(user, domain)
    for word in words[1:]:
        _add_password(account, word)
    if account.password is None and not account.md5 and not account.sha256:
        raise LineError(f"{words[0]} has no password: clrtxt:, md5: or sha256: is missing")
    more = tail.partition("#")[0].split()
    if len(more) > 2:
        raise LineError(f"after the ; come an auth-id and a phone number, but here are {len(more)} words")
    if more and more[0] != words[0].partition("@")[0]:
        account.auth_id = unescape(more[0])
    if len(more) == 2:
        account.phone = unescape(more[1])
    return account


def parse_identity(text: str) -> tuple[str, str]:
    """Read `user@domain`.

    Returns:
        The user, unescaped, and the domain in lower case; an empty user for a bare domain.

    Raises:
        LineError: there is no domain.
    """
    user, at, domain = text.rpartition("@")
    if (at and not user) or not domain or text.partition(":")[0] in _KINDS:
        raise LineError(f"{text!r} is not user@domain")
    return unescape(user), sys.intern(domain.lower())  # one string for all accounts of a domain


def _add_password(account: Account, word: str) -> None:
    kind, colon, value = word.partition(":")
    if kind not in _KINDS or not colon:
        near = get_close_matches(kind.lower().replace("-", ""), _KINDS, 1, 0.5)
        hint = f", did you mean {near[0]}:?" if near else f", known are {', '.join(_KINDS)}"
        # never print the word itself: it may be a password
        raise LineError(f"unknown kind of password {kind + ':' if colon else 'without a name'}{hint}")
    if not value:
        raise LineError(f"{kind}: is empty")
    if kind == "clrtxt":
        account.password = value
        return
    algorithm, length = _HASHES[kind]
    value = value.lower()
    if len(value) != length or not _HEXADECIMAL.issuperset(value):
        raise LineError(f"{kind}: must be {length} hexadecimal digits")
    if algorithm == "MD5":
        account.md5 = value
    else:
        account.sha256 = value


def format_account(account: Account) -> str:
    """An account's line, without line end."""
    name = percent_encode(account.user, safe=_KEPT, errors="surrogateescape")
    words = [f"{name}@{account.domain}" if name else account.domain]
    if account.password is not None:
        words.append(f"clrtxt:{account.password}")
    hashes = account.hashes
    words += [f"{kind}:{hashes[name]}" for kind, (name, _) in _HASHES.items() if name in hashes]
    words.append(";")
    if account.auth_id or account.phone:
        words.append(percent_encode(account.auth_id or account.user, safe=_KEPT, errors="surrogateescape"))
    if account.phone:
        words.append(percent_encode(account.phone, safe=_KEPT, errors="surrogateescape"))
    return " ".join(words)


def of_domains(file: PasswordFile, filename: str, domains: Iterable[str]) -> Iterator[Account | Problem]:
    """The accounts of some domains, and a warning for each of another one.

    Args:
        file: as read.
        filename: for the warnings.
        domains: `auth-domains`; `*` stands for all.
    """
    wanted = {domain.lower() for domain in domains}
    for key, account in file.accounts.items():
        if "*" in wanted or account.domain in wanted:
            yield account
        else:
            text = f"{account.domain} is not one of auth-domains, {account.user} is left out"
            yield Problem(filename, file.places[key] + 1, text, is_error=False)
