"""A client of rtpengine's control protocol, ng: bencoded dictionaries over UDP, each with a cookie."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from flexipy.modules.media_relay.bencode import BencodeError, Decoded, Value, decode, encode

logger = logging.getLogger(__name__)

# Sent again after these seconds; the engine knows a cookie it has answered and repeats its answer.
_WAITS: Final = (0.25, 0.5, 1.0)
_RESTING: Final = 10.0  # seconds for which an engine that doesn't answer is left alone


class EngineError(Exception):
    """An engine refused a command, or none answers."""


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.waiting: dict[bytes, asyncio.Future[dict[str, Decoded]]] = {}

    def datagram_received(self, data: bytes, addr: object) -> None:
        cookie, _, body = data.partition(b" ")
        future = self.waiting.get(cookie)
        if future is None or future.done():
            return
        try:
            answer = decode(body)
        except (BencodeError, RecursionError) as error:
            future.set_exception(EngineError(f"an answer that cannot be read: {error}"))
            return
        if isinstance(answer, dict):
            future.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        # ECONNREFUSED and the like: whoever waits need not wait to the end.
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(EngineError(str(exc)))


class Engine:
    """One rtpengine.

    Args:
        host: name or address.
        port: of its ng control.
        clock: monotonic seconds.

    Attributes:
        resting_until: it didn't answer, and is not asked first before then.
    """

    def __init__(self, host: str, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.host = host
        self.port = port
        self.resting_until = 0.0
        self._clock = clock
        self._protocol: _Protocol | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def __str__(self) -> str:
        return f"rtpengine at {self.host}:{self.port}"

    async def ask(self, command: str, **fields: Value | str) -> Mapping[str, Decoded]:
        """Give a command and wait for its answer.

        Args:
            command: `offer`, `answer`, `delete`, `ping`, ...
            fields: the others of the dictionary; `_` in a name stands for `-`.

        Raises:
            EngineError: no answer, or a refusal.
        """
        content: dict[str, Any] = {name.replace("_", "-"): value for name, value in fields.items()}
        content["command"] = command
        try:
            answer = await self._exchange(encode(content))
        except OSError as error:
            self.resting_until = self._clock() + _RESTING
            raise EngineError(f"{self}: {error}") from error
        result = answer.get("result")
        if result not in (b"ok", b"pong"):
            reason = answer.get("error-reason", b"")
            text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise EngineError(f"{self} refuses '{command}': {text}")
        self.resting_until = 0.0
        return answer

    async def _exchange(self, body: bytes) -> dict[str, Decoded]:
        protocol, transport = await self._open()
        cookie = secrets.token_hex(8).encode()
        future: asyncio.Future[dict[str, Decoded]] = asyncio.get_running_loop().create_future()
        protocol.waiting[cookie] = future
        try:
            for wait in _WAITS:
                transport.sendto(cookie + b" " + body)
                done, _ = await asyncio.wait((future,), timeout=wait)
                if done:
                    return future.result()
            self.resting_until = self._clock() + _RESTING
            raise EngineError(f"{self} does not answer")
        except EngineError:
            self.resting_until = self._clock() + _RESTING
            raise
        finally:
            del protocol.waiting[cookie]

    async def _open(self) -> tuple[_Protocol, asyncio.DatagramTransport]:
        if self._protocol is None or self._transport is None or self._transport.is_closing():
            loop = asyncio.get_running_loop()
            self._transport, self._protocol = await loop.create_datagram_endpoint(
                _Protocol, remote_addr=(self.host, self.port)
            )
        return self._protocol, self._transport

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()
            self._transport = self._protocol = None


class Engines:
    """Several engines: a call is given to the first in turn that answers."""

    def __init__(self, engines: list[Engine], clock: Callable[[], float] = time.monotonic) -> None:
        self._engines = engines
        self._clock = clock
        self._next = 0

    def candidates(self) -> list[Engine]:
        """Every engine, beginning with the next in turn; those that rest come last."""
        self._next = (self._next + 1) % len(self._engines)
        turned = self._engines[self._next :] + self._engines[: self._next]
        now = self._clock()
        return sorted(turned, key=lambda engine: engine.resting_until > now)

    def close(self) -> None:
        """Close every socket."""
        for engine in self._engines:
            engine.close()
