"""Messages out of a byte stream (RFC 3261 section 18.3), and keep-alives between (RFC 5626 section 4.4.1).

Sans-IO: bytes in, whole messages out. Nothing of a message is looked at but its first byte, the end of its
header block and Content-Length.
"""

import re
from typing import Final

PING: Final = b"\r\n\r\n"
"""Event: the peer sent a double CRLF and expects a single one. Compare with `is`."""
PONG: Final = b"\r\n"
"""Event: the peer answered a ping of ours. Compare with `is`."""

MAX_HEADER_SIZE: Final = 65536
MAX_MESSAGE_SIZE: Final = 524288

_CRLF: Final = b"\r\n"
_END_OF_HEADERS: Final = b"\r\n\r\n"
_LWS = rb"(?:[ \t]|\r\n[ \t])*"
_CONTENT_LENGTH = re.compile(
    rb"\r\n(?:content-length|l)" + _LWS + rb":" + _LWS + rb"((?:[^\r]|\r(?!\n)|\r\n[ \t])*)(?=\r\n)",
    re.IGNORECASE,
)
# RFC 3261 section 25.1 "token": what a method or "SIP/2.0" may begin with.
_TOKEN_BYTES: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")
_REQUEST_LINE = re.compile(rb"([^ \t\r\n]+) [^ \t\r\n]+ SIP/2\.0\r\n", re.IGNORECASE)
_ECHOED = re.compile(
    rb"^(?:via|v|from|f|to|t|call-id|i|cseq)[ \t]*:(?:[^\r\n]|\r\n[ \t])*\r\n", re.IGNORECASE | re.MULTILINE
)
_REASONS: Final = {400: b"Bad Request", 513: b"Message Too Large"}


class FramingError(Exception):
    """The stream cannot be read on: where the next message begins is not known.

    Attributes:
        status: SIP status that says why, 400 or 513.
        head: the header block of the message at fault as far as it is complete, else empty.

    """

    def __init__(self, reason: str, status: int = 400, head: bytes = b"") -> None:
        super().__init__(reason)
        self.status = status
        self.head = head

    def response(self) -> bytes | None:
        """The answer to send before closing, or None if there was no request that could be answered.

        Source: RFC 3261 sections 8.2.6.2 and 18.3.

        """
        request = _REQUEST_LINE.match(self.head)
        if request is None or request[1].upper() == b"ACK":
            return None
        lines = b"".join(match[0] for match in _ECHOED.finditer(self.head, request.end()))
        if not lines:
            return None
        return b"SIP/2.0 %d %b\r\n%bContent-Length: 0\r\n\r\n" % (self.status, _REASONS[self.status], lines)


class StreamFramer:
    """Cuts one connection's bytes into messages; every byte is scanned once however small the pieces."""

    __slots__ = (
        "_buffer",
        "_head_end",
        "_max_header",
        "_max_message",
        "_need",
        "_pings_out",
        "_scanned",
        "error",
    )

    def __init__(self, max_header: int = MAX_HEADER_SIZE, max_message: int = MAX_MESSAGE_SIZE) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        """No end of headers begins before this offset."""
        self._head_end = 0
        self._need = 0
        """Length of the message at the start of the buffer, 0 while its headers are incomplete."""
        self._pings_out = 0
        self._max_header = max_header
        self._max_message = max_message
        self.error: FramingError | None = None
        """Set once the stream is unusable; further bytes are ignored."""

    @property
    def pending(self) -> bool:
        """Whether a message has begun and is not complete."""
        buffer = self._buffer
        return bool(buffer) and bytes(buffer[:3]) not in {_CRLF, b"\r"}

    def ping_sent(self) -> None:
        """We sent a double CRLF: the next lone CRLF is the answer to it, not half a ping."""
        self._pings_out += 1

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived.

        Returns:
            Complete messages in order, and `PING` and `PONG` where they came. Look at `error` afterwards.

        """
        if self.error is not None:
            return []
        if not self._buffer:
            # A segment with exactly one message is the usual case: no copy.
            end = data.find(_END_OF_HEADERS)
            if 0 < end < self._max_header and data[0] in _TOKEN_BYTES:
                length = self._content_length(data, end + 4)
                if end + 4 + length == len(data) and self.error is None:
                    return [data]
                self.error = None  # found again, in its turn, by the way below
        self._buffer += data
        events: list[bytes] = []
        try:
            self._cut(events)
        except FramingError as error:
            self.error = error
            self._buffer.clear()
        return events

    def _cut(self, events: list[bytes]) -> None:
        buffer = self._buffer
        while buffer:
            if self._need == 0 and not self._find_length(events):
                return
            if len(buffer) < self._need:
                return
            events.append(bytes(memoryview(buffer)[: self._need]))
            self._consume(self._need)

    def _find_length(self, events: list[bytes]) -> bool:
        """Skip keep-alives and find the end of the header block; False when more bytes are needed."""
        buffer = self._buffer
        if self._scanned == 0 and not self._skip_line_ends(events):
            return False
        end = buffer.find(_END_OF_HEADERS, self._scanned, self._max_header)
        if end < 0:
            if len(buffer) >= self._max_header:
                raise FramingError(f"header block longer than {self._max_header} bytes", 513)
            self._scanned = max(1, len(buffer) - 3)
            return False
        head = bytes(memoryview(buffer)[: end + 4])
        self._need = end + 4 + self._content_length(head, end + 4)
        if self.error is not None:
            raise self.error
        return True

    def _skip_line_ends(self, events: list[bytes]) -> bool:
        """At a message boundary: True when a message begins at the start of the buffer."""
        buffer = self._buffer
        while buffer.startswith(_CRLF):
            if buffer.startswith(PING):
                events.append(PING)
                self._consume(4)
            elif self._pings_out:
                self._pings_out -= 1
                events.append(PONG)
                self._consume(2)
            elif len(buffer) > 3 or (len(buffer) == 3 and buffer[2] != 0x0D):
                self._consume(2)  # a lone line end before a message (RFC 3261 section 7.5)
            else:
                return False
        if not buffer or buffer == b"\r":
            return False
        if buffer[0] not in _TOKEN_BYTES:
            raise FramingError(f"a message cannot begin with byte 0x{buffer[0]:02x}")
        return True

    def _consume(self, count: int) -> None:
        del self._buffer[:count]  # moves the start, not the bytes
        self._scanned = self._need = 0

    def _content_length(self, data: bytes, end: int) -> int:
        """Content-Length of the header block data[:end]; a problem is left in `error`."""
        values = {value.strip() for value in _CONTENT_LENGTH.findall(data, 0, end - 2)}
        if len(values) == 1:
            text = values.pop()
            if text.isdigit() and len(text) <= 10:
                length = int(text)
                if end + length <= self._max_message:
                    return length
                self._fail(f"message of {end + length} bytes is too long", 513, data[:end])
                return 0
        reason = "more than one Content-Length" if len(values) > 1 else "no usable Content-Length"
        self._fail(reason, 400, data[:end])
        return 0

    def _fail(self, reason: str, status: int, head: bytes) -> None:
        self.error = FramingError(reason, status, head)
