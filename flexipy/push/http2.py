"""One HTTP/2 connection (RFC 9113) on which many small requests are under way at once; h2 keeps the frames."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error

from flexipy.push.http_response import MOST_BODY, HttpResponse


class _Stream:
    """One request."""

    __slots__ = ("answer", "response")

    def __init__(self) -> None:
        self.response = HttpResponse(0)
        self.answer: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()

    def fail(self, reason: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError(reason))


class Http2Connection:
    """The client's end.

    Args:
        reader: of a TLS connection on which `h2` was agreed upon.
        writer: of the same.
        authority: host and port, for `:authority`.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str) -> None:
        self._reader = reader
        self._writer = writer
        self._authority = authority
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._streams: dict[int, _Stream] = {}
        self._room = asyncio.Event()  # set whenever a window or the number of streams may have grown
        self._leaving = False
        self._flush()
        self._task = asyncio.create_task(self._read())

    @property
    def usable(self) -> bool:
        """Whether further requests may go by it."""
        return not (self._leaving or self._task.done() or self._writer.is_closing())

    async def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """Send a request and wait for its answer.

        Raises:
            ConnectionError: the service ended the request or the connection.
        """
        while len(self._streams) >= self._h2.remote_settings.max_concurrent_streams:
            await self._wait_for_room()
        number = self._h2.get_next_available_stream_id()
        stream = self._streams[number] = _Stream()
        try:
            fields = [(":method", method), (":scheme", "https"), (":authority", self._authority), (":path", target)]
            self._h2.send_headers(number, [*fields, *headers.items()], end_stream=not body)
            await self._send_body(number, body)
            return await stream.answer
        except H2Error as error:
            raise ConnectionError(f"the connection failed: {error}") from error
        finally:
            del self._streams[number]
            if not stream.answer.done():  # given up: the service need not go on with it
                with contextlib.suppress(H2Error):
                    self._h2.reset_stream(number)
            self._flush()
            self._room.set()

    async def _send_body(self, number: int, body: bytes) -> None:
        while body:
            size = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size, len(body))
            if size > 0:
                self._h2.send_data(number, body[:size], end_stream=size == len(body))
                body = body[size:]
            self._flush()
            if size <= 0:
                await self._wait_for_room()
        self._flush()

    async def _wait_for_room(self) -> None:
        self._room.clear()
        await self._room.wait()
        if not self.usable:
            raise ConnectionError("the connection was closed")

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._writer.write(data)

    async def _read(self) -> None:
        reason = "the connection was closed"
        try:
            while data := await self._reader.read(65536):
                for event in self._h2.receive_data(data):
                    self._take(event)
                self._flush()
        except (OSError, H2Error, ValueError) as error:
            reason = f"the connection failed: {error}"
        finally:
            for stream in self._streams.values():
                stream.fail(reason)
            self._leaving = True
            self._room.set()
            self._writer.close()

    def _take(self, event: object) -> None:
        match event:
            case ResponseReceived(stream_id=number, headers=headers) if number in self._streams:
                fields = {str(name): str(value) for name, value in headers or ()}
                response = self._streams[number].response
                response.status = int(fields.pop(":status", "0"))
                response.headers = fields
            case DataReceived(stream_id=number, data=data, flow_controlled_length=length):
                if length:
                    self._h2.acknowledge_received_data(length, number)
                if number in self._streams:
                    response = self._streams[number].response
                    response.body = (response.body + bytes(data or b""))[:MOST_BODY]
            case StreamEnded(stream_id=number) if number in self._streams:
                stream = self._streams[number]
                if not stream.answer.done():
                    stream.answer.set_result(stream.response)
            case StreamReset(stream_id=number) if number in self._streams:
                self._streams[number].fail("the service broke the request off")
            case ConnectionTerminated():
                self._leaving = True  # those that it has taken it may still answer
                self._room.set()
            case WindowUpdated() | RemoteSettingsChanged():
                self._room.set()

    async def close(self) -> None:
        """Leave."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
