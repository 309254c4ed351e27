"""Telephones on TLS connections: they register, or write to each other, at a rate. Run by `tls.py` as a program.

    python tls_phones.py ADDRESS PORT TASK FIRST LAST

TASK is `register` or `message`, on connections that stay open, or `arrive`: register on a new connection each time.
Users FIRST to LAST - 1 have a connection each. A line `{"count": 1000, "rate": 100, "patience": 20}` on standard input
starts a run, a line on standard output says how it went. Messages are put together by hand and answers read no further
than they must be: what this program costs is not what is measured, but it shares the machine.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
from collections import deque
from contextlib import suppress
from hashlib import md5
from itertools import count
from typing import cast

import uvloop

from comparison.servers import DOMAIN, PASSWORD, user

_NONCE = re.compile(rb'nonce="([^"]+)"')
_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(\d+)", re.IGNORECASE)
_BACK = re.compile(rb"(?:via|v|from|f|to|t|call-id|i|cseq|record-route)[ \t]*:", re.IGNORECASE)
_LATE_S = 20.0
_REGISTER = (
    "REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:{port};branch=z9hG4bK-{label}-{cseq};rport\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:{user}@{domain}>;tag=r{label}\r\nTo: <sip:{user}@{domain}>\r\n"
    "Call-ID: {label}\r\nCSeq: {cseq} REGISTER\r\n{proof}"
    "Contact: <sip:{user}@127.0.0.1:{port};transport=tls>;"
    '+sip.instance="<urn:uuid:0b0d3c52-6f0e-4c6b-9d3a-{number:012x}>"\r\n'
    "Expires: 3600\r\nSupported: replaces, outbound, gruu\r\nAllow: INVITE, ACK, CANCEL, OPTIONS, BYE, MESSAGE\r\n"
    "User-Agent: bench\r\nContent-Length: 0\r\n\r\n"
)
_MESSAGE = (
    "MESSAGE sip:{other}@{domain} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:{port};branch=z9hG4bK-{label};rport\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:{user}@{domain}>;tag=m{label}\r\nTo: <sip:{other}@{domain}>\r\n"
    "Call-ID: {label}\r\nCSeq: 1 MESSAGE\r\nUser-Agent: bench\r\nContent-Type: text/plain\r\n"
    "Content-Length: 5\r\n\r\nhello"
)
_PROOF = (
    'Authorization: Digest username="{user}",realm="{domain}",nonce="{nonce}",uri="sip:{domain}",response="{response}",'
    'algorithm=MD5,qop=auth,nc=00000001,cnonce="c"\r\n'
)
_labels = count(1)


class Phone(asyncio.Protocol):
    """One user's telephone; does one thing at a time, and answers whatever it is asked.

    Args:
        number: of the user.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._user = user(number)
        self._ha1 = md5(f"{self._user}:{DOMAIN}:{PASSWORD}".encode()).hexdigest()
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[bytes] | None = None
        self._label = ""
        self._port = 0

    async def connect(self, address: str, port: int, context: ssl.SSLContext) -> None:
        """Open the connection."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, address, port, ssl=context, server_hostname=DOMAIN)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    async def register(self) -> bool:
        """Register with the password asked for; whether it was accepted."""
        label = self._label = f"{self._port}-{next(_labels)}."
        answer = await self._ask(self._registration(label, 1, ""))
        nonce = _NONCE.search(answer) if answer.startswith(b"SIP/2.0 401") else None
        if nonce is None:
            return self._accepted(answer)
        answer = await self._ask(self._registration(label, 2, self._proof(nonce.group(1).decode())))
        return self._accepted(answer)

    async def write_to(self, other: int) -> bool:
        """Send another user a short text; whether it was accepted."""
        label = self._label = f"{self._port}-{next(_labels)}."
        text = _MESSAGE.format(domain=DOMAIN, port=self._port, label=label, user=self._user, other=user(other))
        return self._accepted(await self._ask(text))

    def _accepted(self, answer: bytes) -> bool:
        if answer.startswith(b"SIP/2.0 200"):
            return True
        print(f"{self._user}: {answer.partition(bytes([13]))[0].decode()}", file=sys.stderr, flush=True)
        return False

    def _registration(self, label: str, cseq: int, proof: str) -> str:
        return _REGISTER.format(
            domain=DOMAIN, port=self._port, label=label, cseq=cseq, user=self._user, proof=proof, number=self.number
        )

    def _proof(self, nonce: str) -> str:
        ha2 = md5(f"REGISTER:sip:{DOMAIN}".encode()).hexdigest()
        response = md5(f"{self._ha1}:{nonce}:00000001:c:auth:{ha2}".encode()).hexdigest()
        return _PROOF.format(domain=DOMAIN, user=self._user, nonce=nonce, response=response)

    async def _ask(self, text: str) -> bytes:
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(text.encode())
        return await asyncio.wait_for(self._waiting, _LATE_S)

    # --- asyncio.Protocol --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TLS handshake is done."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by its type
        self._port = transport.get_extra_info("sockname")[1]

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed it, or this side."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        """Take messages apart."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length.group(1)) if length else 0)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            self._take(head)

    def _take(self, head: bytes) -> None:
        if not head.startswith(b"SIP/2.0 "):
            assert self._transport is not None
            lines = [line for line in head.split(b"\r\n")[1:] if _BACK.match(line)]
            self._transport.write(b"\r\n".join([b"SIP/2.0 200 OK", *lines, b"Content-Length: 0\r\n\r\n"]))
        elif head.startswith(b"SIP/2.0 1") or self._label.encode() not in head:
            return  # no final response, or too late
        elif self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(head)


class House:
    """All the phones, and what they are told to do."""

    def __init__(self, address: str, port: int, task: str, numbers: range) -> None:
        self._place = (address, port)
        self._task = task
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._numbers = numbers
        self._idle: asyncio.Queue[Phone] = asyncio.Queue()
        self._outcomes: deque[bool] = deque()

    async def open(self) -> None:
        """Connect and register every phone, unless each is to arrive anew."""
        await self._await_listener()
        for number in self._numbers:
            phone = Phone(number)
            if self._task != "arrive":
                await phone.connect(*self._place, self._context)
                if not await phone.register():
                    raise ConnectionError(f"{user(number)} can't register")
            self._idle.put_nowait(phone)

    async def _await_listener(self) -> None:
        """The server answers over UDP, but may not listen for TLS yet."""
        while True:
            phone = Phone(self._numbers[0])
            try:
                await phone.connect(*self._place, self._context)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                phone.close()
                return

    async def run(self, count: int, rate: float, patience: float) -> dict[str, int]:
        """Do the task so often, begun at that rate; later where no phone is free."""
        self._outcomes.clear()
        began = asyncio.get_running_loop().time()
        doing: set[asyncio.Task[None]] = set()
        with suppress(TimeoutError):
            async with asyncio.timeout(count / rate + patience):
                for number in range(count):
                    early = began + number / rate - asyncio.get_running_loop().time()
                    if early > 0:
                        await asyncio.sleep(early)
                    task = asyncio.create_task(self._do(await self._idle.get()))
                    doing.add(task)
                    task.add_done_callback(doing.discard)
                while doing:
                    await asyncio.wait(doing)
        for task in doing:
            task.cancel()
        return {"asked": count, "done": sum(self._outcomes), "failed": count - sum(self._outcomes)}

    async def _do(self, phone: Phone) -> None:
        try:
            self._outcomes.append(await self._doing(phone))
        except (OSError, TimeoutError) as error:
            print(f"{user(phone.number)}: {error!r}", file=sys.stderr)
            self._outcomes.append(False)
        finally:
            self._idle.put_nowait(phone)

    async def _doing(self, phone: Phone) -> bool:
        if self._task == "register":
            return await phone.register()
        if self._task == "message":
            following = self._numbers.index(phone.number) + 1
            return await phone.write_to(self._numbers[following % len(self._numbers)])
        arriving = Phone(phone.number)  # the end of its last connection may still be under way
        await arriving.connect(*self._place, self._context)
        try:
            return await arriving.register()
        finally:
            arriving.close()


async def _main(address: str, port: str, task: str, first: str, last: str) -> None:
    house = House(address, int(port), task, range(int(first), int(last)))
    await house.open()
    print(json.dumps({"open": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await house.run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
