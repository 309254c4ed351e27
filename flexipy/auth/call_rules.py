"""Rules that say who may reach whom, looked up without a search.

Each rule has a bit. For each method, sender and address named in a rule a dictionary holds the bits of the rules that
name it; what a request looks up is a fixed number of them, and the lowest bit common to all three is the first rule
that fits. The file that rules come from is read by `rules_file.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a rules file, groups resolved.

    Attributes:
        allows: whether it allows or denies.
        methods: names of methods, or `*`.
        senders: patterns: `user@domain`, `user@*`, `*@domain` or `*`.
        targets: patterns likewise.
        place: `file:line`, for the log.
    """

    allows: bool
    methods: tuple[str, ...]
    senders: tuple[str, ...]
    targets: tuple[str, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say about a request.

    Attributes:
        allowed: whether it may pass.
        place: the line that decided, `file:line`, or what stood in for one.
    """

    allowed: bool
    place: str


class CallRules:
    """Rules, compiled.

    Args:
        rules: the first that fits decides.
        otherwise: what is said where none fits.

    Attributes:
        otherwise: the same.
    """

    __slots__ = ("_methods", "_senders", "_targets", "_verdicts", "otherwise")

    def __init__(self, rules: Iterable[Rule] = (), otherwise: Verdict = Verdict(True, "default")) -> None:
        self._methods: dict[str, int] = {}
        self._senders: dict[str, int] = {}
        self._targets: dict[str, int] = {}
        self._verdicts: list[Verdict] = []
        self.otherwise = otherwise
        for number, rule in enumerate(rules):
            self._verdicts.append(Verdict(rule.allows, rule.place))
            for index, names in (
                (self._methods, rule.methods),
                (self._senders, rule.senders),
                (self._targets, rule.targets),
            ):
                for name in names:
                    index[name] = index.get(name, 0) | 1 << number

    def __len__(self) -> int:
        return len(self._verdicts)

    def verdict(self, method: str, sender: str, target: str) -> Verdict:
        """Whether somebody may send a request of a method to an address.

        Args:
            method: its name.
            sender: `user@domain`, or empty for somebody unknown, whom only `*` names.
            target: `user@domain`, or a domain alone.
        """
        methods = self._methods
        fitting = (
            (methods.get(method, 0) | methods.get(ANY, 0))
            & _rules_for(self._senders, sender)
            & _rules_for(self._targets, target)
        )
        if not fitting:
            return self.otherwise
        return self._verdicts[(fitting & -fitting).bit_length() - 1]


def _rules_for(index: dict[str, int], address: str) -> int:
    """The bits of the rules that name an address, be it by a pattern."""
    found = index.get(ANY, 0)
    if address:
        user, at, domain = address.rpartition("@")
        found |= index.get(address, 0) | index.get(f"*@{domain}", 0)
        if at:
            found |= index.get(f"{user}@*", 0)
    return found
