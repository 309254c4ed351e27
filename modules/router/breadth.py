"""How many branches a request may become in all, so that forks which lead to forks end (RFC 5393 section 5)."""

from __future__ import annotations

from typing import Final

from flexipy.proxy.api import Request, SipError

MAX_BREADTH: Final = b"max-breadth"
_USUAL: Final = 60  # RFC 5393 section 5.3.2
_FORKS_BEHIND: Final = 12  # the devices that one address may have, at another proxy


def limit_breadth(request: Request, branches: int) -> None:
    """Share what a request may still fork into among its branches.

    Args:
        request: gets the share of each branch; one without a limit gets one that leaves room for a fork behind each.
        branches: to how many it is about to be sent.

    Raises:
        SipError: 440, there are more branches than allowed; 400, the limit is no number.
    """
    given = request.get(MAX_BREADTH)
    if given is None:
        allowed = max(_USUAL, branches * _FORKS_BEHIND)
    elif given.isdigit() and len(given) < 10:
        allowed = int(given)
    else:
        raise SipError("bad Max-Breadth")
    share = allowed // max(branches, 1)
    if share < 1:
        raise SipError("Max-Breadth Exceeded", 440)
    request.set(MAX_BREADTH, b"Max-Breadth: %d" % share)
