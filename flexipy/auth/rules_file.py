"""The file of rules about who may reach whom, read.

    group  family  alice@myhouse bob@myhouse
    allow  INVITE, MESSAGE  from @family  to door@myhouse
    deny   *                from *        to door@myhouse
    default allow

The first rule that fits decides; where none does, `default`, which is `allow` unless a line says otherwise. Lists are
separated by commas or spaces, `#` begins a comment. A group may stand before or behind the rules that name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from flexipy.auth.call_rules import ANY, CallRules, Rule, Verdict
from flexipy.auth.password_file import Problem
from flexipy.config.errors import shorten
from flexipy.config.schema import nearest
from flexipy.sip.uri import unescape

MOST_RULES: Final = 10_000
"""A request looks at one bit for each rule: more would be felt."""
_ACTIONS: Final = ("allow", "deny", "default", "group")
_METHODS: Final = (
    "INVITE",
    "MESSAGE",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "REFER",
    "OPTIONS",
    "INFO",
    "UPDATE",
    "PRACK",
)
_NEVER_JUDGED: Final = ("REGISTER", "ACK", "CANCEL", "BYE")
# What ends a host name or an address of RFC 3261, or belongs to a URI rather than an address-of-record.
_NO_DOMAIN: Final = frozenset("<>;?/\\\"'()=,")


class _LineError(ValueError):
    """What is wrong with a line."""


@dataclass(slots=True)
class _Line:
    """A rule before its groups are known."""

    number: int
    allows: bool
    methods: tuple[str, ...]
    senders: list[str]
    targets: list[str]


@dataclass(slots=True)
class _Reading:
    """What was read of a file so far."""

    filename: str
    lines: list[_Line] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)
    otherwise: Verdict | None = None
    problems: list[Problem] = field(default_factory=list)

    def report(self, number: int, text: str) -> None:
        self.problems.append(Problem(self.filename, number, text))


def parse_rules(text: str, filename: str) -> tuple[CallRules, list[Problem]]:
    """Read a rules file.

    Args:
        text: its content.
        filename: for the log and the problems.

    Returns:
        The rules of the good lines, and one problem for each bad one. Rules with problems are not to be used: a line
        that was left out may be the one that denies.
    """
    reading = _Reading(filename)
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].replace(",", " , ").split()
        if not words:
            continue
        try:
            _read_line(reading, number, words)
        except _LineError as error:
            reading.report(number, str(error))
    rules: list[Rule] = []
    for found in reading.lines:
        try:
            rules.append(_resolved(reading, found))
        except _LineError as error:
            reading.report(found.number, str(error))
    if len(rules) > MOST_RULES:
        reading.report(0, f"{len(rules)} rules, {MOST_RULES} are possible: use groups and *@domain")
    reading.problems.sort(key=lambda problem: problem.line)
    otherwise = reading.otherwise or Verdict(True, f"{filename}: no rule fits")
    return CallRules(rules[:MOST_RULES], otherwise), reading.problems


def _read_line(reading: _Reading, number: int, words: list[str]) -> None:
    action = words[0].lower()
    if action in ("allow", "deny"):
        reading.lines.append(_rule(number, action == "allow", words[1:]))
    elif action == "default":
        _read_default(reading, number, [word.lower() for word in words[1:]])
    elif action == "group":
        _read_group(reading, words[1:])
    else:
        meant = _meant(action, _ACTIONS)
        raise _LineError(f"a line begins with allow, deny, group or default, not {_quoted(words[0])}{meant}")


def _read_default(reading: _Reading, number: int, words: list[str]) -> None:
    if len(words) != 1 or words[0] not in ("allow", "deny"):
        meant = _meant(words[0], ("allow", "deny")) if words else ""
        raise _LineError(f"expected 'default allow' or 'default deny'{meant}")
    if reading.otherwise is not None:
        raise _LineError(f"the default is in {reading.otherwise.place} already")
    reading.otherwise = Verdict(words[0] == "allow", f"{reading.filename}:{number}")


def _read_group(reading: _Reading, words: list[str]) -> None:
    name = words[0].removeprefix("@") if words else ""
    if not name or name == ",":
        raise _LineError("expected 'group NAME ADDRESS ...'")
    if "@" in name:
        raise _LineError(f"a group has a name before its addresses, {_quoted(name)} is an address")
    if name in reading.groups:
        raise _LineError(f"there is a group {_quoted(name)} already")
    reading.groups[name] = []  # known from here on, so that its users need not be reported too
    members = _listed(words[1:])
    if not members:
        raise _LineError(f"the group {_quoted(name)} has no addresses")
    for word in members:
        if word.startswith("@"):
            raise _LineError(f"a group holds addresses, not groups: {_quoted(word)}")
        reading.groups[name].append(_pattern(word))


def _rule(number: int, allows: bool, words: list[str]) -> _Line:
    methods, senders, targets = _parts(words)
    return _Line(number, allows, tuple(_method(word) for word in methods), senders, targets)


def _parts(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    """The words before `from`, between it and `to`, and behind."""
    lower = [word.lower() for word in words]
    if "from" not in lower:
        raise _LineError("there is no 'from'" + _instead("from", lower))
    start = lower.index("from")
    if "to" not in lower[start:]:
        raise _LineError("there is no 'to' behind 'from'" + _instead("to", lower[start + 1 :]))
    end = lower.index("to", start)
    parts = _listed(words[:start]), _listed(words[start + 1 : end]), _listed(words[end + 1 :])
    for part, what in zip(parts, ("method before 'from'", "address behind 'from'", "address behind 'to'"), strict=True):
        if not part:
            raise _LineError(f"there is no {what}; * stands for any")
    return parts


def _instead(wanted: str, words: Iterable[str]) -> str:
    """Which word was perhaps meant to be another."""
    candidates = [word for word in words if "@" not in word and word.isalpha() and len(word) <= 2 * len(wanted)]
    found = nearest(wanted, [word for word in candidates if word.upper() not in _METHODS])
    return f"; did you mean '{wanted}' by {_quoted(found)}?" if found else ""


def _listed(words: Iterable[str]) -> list[str]:
    return [word for word in words if word != ","]


def _method(word: str) -> str:
    name = word.upper()
    if word == ANY or name in _METHODS:
        return name
    if name in _NEVER_JUDGED:
        raise _LineError(f"{name} always passes: there can be no rule for it")
    found = nearest(word, [method.lower() for method in _METHODS])
    hint = f", did you mean {found.upper()}?" if found else f", known are {', '.join(_METHODS)} and *"
    raise _LineError(f"unknown method {_quoted(word)}{hint}")


def _pattern(word: str) -> str:
    """An address as the rules look it up.

    Raises:
        _LineError: it is none.
    """
    if word == ANY:
        return word
    bare = word.strip("<>")
    if bare.lower().startswith(("sip:", "sips:")):
        raise _LineError(f"addresses stand here without a scheme: {shorten(bare.partition(':')[2])}")
    user, at, domain = bare.rpartition("@")
    if not at:
        raise _LineError(f"{_quoted(word)} is no address: user@domain, user@*, *@domain, * or @group")
    domain = domain.lower().removeprefix("[").removesuffix("]")
    if not user or "@" in user or not domain or not _NO_DOMAIN.isdisjoint(domain):
        raise _LineError(f"{_quoted(word)} is no address: user@domain, user@* or *@domain")
    if "*" in domain and domain != ANY:
        raise _LineError(f"{_quoted(word)}: * stands for a whole domain only")
    if user == ANY and domain == ANY:
        return ANY
    if "*" in user and user != ANY:
        raise _LineError(f"{_quoted(word)}: * stands for a whole user name only")
    return f"{unescape(user)}@{domain}"


def _resolved(reading: _Reading, line: _Line) -> Rule:
    place = f"{reading.filename}:{line.number}"
    senders = tuple(_members(reading, line.senders))
    return Rule(line.allows, line.methods, senders, tuple(_members(reading, line.targets)), place)


def _members(reading: _Reading, words: list[str]) -> Iterator[str]:
    """Patterns, groups replaced by what they hold."""
    for word in words:
        if not word.startswith("@"):
            try:
                yield _pattern(word)
            except _LineError as error:
                raise _LineError(f"{error}{_known_address(reading, word)}") from None
            continue
        name = word[1:]
        if name not in reading.groups:
            raise _LineError(f"there is no group {_quoted(name)}{_meant(name, reading.groups)}")
        yield from reading.groups[name]


def _known_address(reading: _Reading, word: str) -> str:
    """What a word that is no address was perhaps meant to be: a group, or a user whose domain was forgotten."""
    if "@" in word:
        return ""
    if word in reading.groups:
        return f"; did you mean '@{word}'?"
    named = [other for line in reading.lines for other in (*line.senders, *line.targets)]
    named += [member for members in reading.groups.values() for member in members]
    users = {address.partition("@")[0].lower(): address for address in named if "@" in address[1:]}
    found = nearest(word, users)
    return f"; did you mean '{users[found]}'?" if found else ""


def _meant(word: str, candidates: Iterable[str]) -> str:
    found = nearest(word, candidates)
    return f"; did you mean '{found}'?" if found else ""


def _quoted(word: str) -> str:
    return f"'{shorten(word)}'"
