"""Who exists: what other modules may ask of the accounts without seeing credentials."""

from __future__ import annotations

from collections.abc import Callable


class AccountDirectory:
    """Answers whether somebody has an account here.

    Args:
        exists: given user (unescaped) and domain (lower case).
    """

    __slots__ = ("exists",)

    def __init__(self, exists: Callable[[str, str], bool]) -> None:
        self.exists = exists


class AccountSecrets:
    """What proves to another server that a request is made in a user's name.

    Args:
        ha1: given user (unescaped), domain (lower case), digest algorithm and realm: the HA1 (RFC 7616), or None
            where it is not known.
    """

    __slots__ = ("ha1",)

    def __init__(self, ha1: Callable[[str, str, str, str], str | None]) -> None:
        self.ha1 = ha1
