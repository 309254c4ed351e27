"""Reason phrases of SIP status codes (RFC 3261 section 21 and the IANA registry)."""

from __future__ import annotations

from typing import Final

PHRASES: Final[dict[int, str]] = {
    100: "Trying",
    110: "Push sent",  # flexipy and Flexisip: a push notification woke the device
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    424: "Bad Location Information",
    428: "Use Identity Header",
    429: "Provide Referrer Identity",
    430: "Flow Failed",
    433: "Anonymity Disallowed",
    436: "Bad Identity Info",
    437: "Unsupported Credential",
    438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded",
    469: "Bad Info Package",
    470: "Consent Needed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    555: "Push Notification Service Not Supported",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}

_GENERIC: Final = ("", "Progress", "Success", "Redirection", "Client Error", "Server Error", "Global Failure")


def phrase(status: int) -> str:
    """The reason phrase for a status code; the name of its class where the code is unknown."""
    found = PHRASES.get(status)
    return found if found is not None else _GENERIC[status // 100]


_FIRST: Final = 100
_STATUSES: Final = range(_FIRST, 700)
_CODES: Final = [b"%d" % status for status in _STATUSES]
_ENCODED: Final = [phrase(status).encode() for status in _STATUSES]
_LINES: Final = [b"SIP/2.0 %d %b" % (status, _ENCODED[status - _FIRST]) for status in _STATUSES]


def phrase_bytes(status: int) -> bytes:
    """The reason phrase as it goes on the wire."""
    return _ENCODED[status - _FIRST]


def start_line_of(status: int, reason: bytes) -> bytes:
    """The first line of a response, without CRLF."""
    at = status - _FIRST
    return _LINES[at] if reason is _ENCODED[at] else b"SIP/2.0 %b %b" % (_CODES[at], reason)
