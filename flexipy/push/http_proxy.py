"""The way to a service through an HTTP proxy: CONNECT (RFC 9110 section 9.3.6), with a password where it wants one."""

from __future__ import annotations

import asyncio
import base64
import socket
from dataclasses import dataclass, field
from typing import Final

_LONGEST_ANSWER: Final = 16 << 10  # bytes
_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class HttpProxy:
    """A proxy.

    Attributes:
        host: its name or address.
        port: of it.
        username: empty for none (RFC 7617).
        password: of that user.
    """

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"the proxy {self.host}:{self.port}"

    async def tunnel(self, host: str, port: int) -> socket.socket:
        """A connection to a host through the proxy, on which nothing has been said yet.

        Raises:
            OSError: the proxy cannot be reached or does not let us through.
        """
        loop = asyncio.get_running_loop()
        connection = await self._connect(loop)
        try:
            await loop.sock_sendall(connection, self._request(host, port))
            answer = b""
            # The service speaks only after we do: what follows the answer's head cannot be anything of its.
            while _END not in answer:
                more = await loop.sock_recv(connection, 4096)
                if not more or len(answer) > _LONGEST_ANSWER:
                    raise ConnectionError(f"{self} did not answer as an HTTP proxy")
                answer += more
            self._judge(answer)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        failure: OSError = OSError(f"{self}: no address")
        for family, kind, _, _, address in await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            connection = socket.socket(family, kind)
            connection.setblocking(False)
            try:
                await loop.sock_connect(connection, address)
            except OSError as error:
                connection.close()
                failure = ConnectionError(f"{self} cannot be reached: {error.strerror or error}")
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise failure

    def _request(self, host: str, port: int) -> bytes:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"host: {authority}"]
        if self.username:
            secret = base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")
            lines.append(f"proxy-authorization: Basic {secret}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def _judge(self, answer: bytes) -> None:
        words = answer.partition(b"\r\n")[0].split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise ConnectionError(f"{self} did not answer as an HTTP proxy")
        status = int(words[1])
        if status == 407:
            raise ConnectionError(f"{self} wants another user name or password (407)")
        if not 200 <= status < 300:
            raise ConnectionError(f"{self} does not let us through ({status})")
