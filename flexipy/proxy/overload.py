"""What is refused when more comes in than can be dealt with: new work, never what belongs to work begun.

Refusing in time keeps answers quick for the rest, where waiting would have all of them sent again, which makes it worse
(RFC 6357). Most of what is refused never gets here: `refusals.py` sees to it before it is read.
"""

from __future__ import annotations

from typing import Final

from flexipy.sip import names as H
from flexipy.sip.message import Request, Response
from flexipy.transport.load import ALL_NEW

# They end work, or belong to a request that was let in.
_ALWAYS_SERVED: Final = frozenset((b"ACK", b"CANCEL", b"BYE", b"PRACK"))
_SPREAD: Final = 2  # times the shortest wait


def is_refused(request: Request, level: int) -> bool:
    """Whether a request that is no retransmission is to be refused.

    Args:
        request: as it came.
        level: of the load, above NOTHING.
    """
    if request.method in _ALWAYS_SERVED or request.tag(H.TO):
        return False
    names = request.names
    return not (level < ALL_NEW and (H.AUTHORIZATION in names or H.PROXY_AUTHORIZATION in names))


def refusal(response: Response, retry_after: float) -> Response:
    """Say when to come again; not all at the same moment.

    Args:
        response: the 503, completed and returned.
        retry_after: seconds after which the first may come; the last wait twice as long.
    """
    seconds = waits(retry_after)
    response.append(H.RETRY_AFTER, b"Retry-After: %d" % seconds[hash(response.call_id) % len(seconds)])
    return response


def waits(retry_after: float) -> range:
    """The seconds that the refused are told to wait.

    Args:
        retry_after: the fewest.
    """
    shortest = max(1, round(retry_after))
    return range(shortest, shortest * _SPREAD + 1)
