"""Which calls are going on: their requests need no password of the address that was called (RFC 3261 section 12.2.1.1).

Somebody called by an address that is not his own, one that rings many or one in another domain, has that address in
the From of all that he sends in the call, and nobody has a password for it. A To tag alone proves nothing, anybody
can write one; the Call-ID and both tags of a call that was let through are known to those only who take part.
"""

from __future__ import annotations

from typing import Final

from flexipy.sip import names as H
from flexipy.sip.message import Message

_MOST: Final = 50_000
_DROPPED: Final = 5  # a fifth


class KnownDialogs:
    """Dialogs that began here, kept as hashes.

    Args:
        most: how many; the oldest go when there are more, and have to authenticate again.
    """

    __slots__ = ("_known", "_most")

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def note(self, message: Message) -> None:
        """Take up the dialog that a response begins."""
        ours, theirs = message.tag(H.FROM), message.tag(H.TO)
        key = hash((message.call_id, ours, theirs))
        if not ours or not theirs or key in self._known:
            return
        if len(self._known) >= self._most:
            for old in list(self._known)[: max(1, self._most // _DROPPED)]:
                del self._known[old]
        self._known[key] = None

    def includes(self, request: Message) -> bool:
        """Whether a request of either side belongs to a dialog that goes on."""
        return self._key(request) is not None

    def forget(self, bye: Message) -> None:
        """The dialog is over."""
        key = self._key(bye)
        if key is not None:
            del self._known[key]

    def _key(self, request: Message) -> int | None:
        ours, theirs = request.tag(H.FROM), request.tag(H.TO)
        for pair in ((ours, theirs), (theirs, ours)):
            key = hash((request.call_id, *pair))
            if key in self._known:
                return key
        return None
