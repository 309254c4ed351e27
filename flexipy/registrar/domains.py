"""Which domains this server is the registrar of."""

from __future__ import annotations

from collections.abc import Iterable


class ManagedDomains:
    """The domains of `reg-domains`; `*` stands for every domain.

    Attributes:
        names: lower case, without `*`.
        any: whether every domain is managed.
        merged: the one domain all others are folded into (`use-global-domain`), or empty.
    """

    __slots__ = ("any", "merged", "names")

    def __init__(self, names: Iterable[str], merged: str = "") -> None:
        given = {name.lower() for name in names}
        self.any = "*" in given
        self.names = frozenset(given - {"*"})
        self.merged = merged

    def manages(self, host: str) -> bool:
        """Whether a host name (lower case) is a domain of ours."""
        return self.any or host in self.names

    def key(self, user: str | None, host: str, aor: str) -> str:
        """The registrar's key for an address: `user@host`, or `user@merged` where domains are folded."""
        if not self.merged:
            return aor
        return self.merged if user is None else f"{user}@{self.merged}"
