"""What goes wrong in reading SIP: one hierarchy, each error knows the status that answers it."""

from __future__ import annotations


class SipError(ValueError):
    """A message, header or URI that breaks its grammar.

    Attributes:
        status: the SIP status code that answers a request with this fault.
    """

    status = 400

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status

    def phrase(self) -> str:
        """The reason phrase of the answer: what is wrong for a 400; empty, for the usual phrase, otherwise."""
        reason = str(self)
        return reason[:1].upper() + reason[1:] if self.status == 400 else ""


class ParseError(SipError):
    """The bytes are not a SIP message; no answer is possible or sensible unless a Via was readable."""


class HeaderError(SipError):
    """A header field's value breaks its grammar."""


class UriError(SipError):
    """A URI breaks its grammar (400), or is of a scheme we don't speak (416)."""
