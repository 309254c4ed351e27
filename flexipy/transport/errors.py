"""What can go wrong below the proxy: one small hierarchy for this room."""


class TransportError(Exception):
    """A listening point, a connection or a name could not be used."""


class TransportSpecError(TransportError, ValueError):
    """A `transports=` entry that cannot be understood; the message names the entry and the reason."""


class FlowError(TransportError):
    """No flow to a target could be made (refused, timed out, certificate not accepted ...)."""


class ResolutionError(TransportError):
    """A host name led to no address (RFC 3263); `temporary` says whether asking again may help."""

    def __init__(self, message: str, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary
