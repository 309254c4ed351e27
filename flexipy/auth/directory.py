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
