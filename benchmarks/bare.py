"""A registrar that does nothing: what sockets and the event loop alone cost a server in Python.

    python benchmarks/bare.py PORT

It answers each REGISTER with bytes that are ready but for the lines copied from the request: 401 without credentials,
200 with them. `python benchmarks/suite.py --awake --only each --operations registration --servers bare compiled
kamailio` sets it beside servers that do the work.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import uvloop

_BUFFER = 4 << 20
_ASKED = b'WWW-Authenticate: Digest realm="bench.test", nonce="%b", algorithm=MD5, qop="auth"\r\n' % (b"0" * 54)
_END = b"Content-Length: 0\r\n\r\n"


class Bare:
    """One socket, and the answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self.socket.bind(("127.0.0.1", port))
        self.socket.setblocking(False)

    def on_readable(self) -> None:
        """Answer what has come."""
        while True:
            try:
                data, address = self.socket.recvfrom(65535)
            except BlockingIOError:
                return
            self.socket.sendto(answer(data), address)


def answer(data: bytes) -> bytes:
    """The answer to a request of the benchmark's scenario `register`, or to the OPTIONS that sees whether we are up."""
    begin = data.find(b"\r\n") + 2
    if not data.startswith(b"REGISTER"):
        return b"SIP/2.0 200 OK\r\n" + data[begin : data.find(b"\r\n\r\n") + 2] + b"\r\n"
    contact = data.find(b"\r\nContact:") + 2
    credentials = data.find(b"\r\nAuthorization:") + 2
    if credentials < 2:  # -1 + 2
        return b"SIP/2.0 401 Unauthorized\r\n" + data[begin:contact] + _ASKED + _END
    copied = data[begin : min(credentials, contact)]
    bound = data[contact : data.find(b"\r\n", contact)] + b";expires=3600\r\n"
    return b"SIP/2.0 200 OK\r\n" + copied + bound + _END


async def _serve(port: int) -> None:
    bare = Bare(port)
    asyncio.get_running_loop().add_reader(bare.socket, bare.on_readable)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
