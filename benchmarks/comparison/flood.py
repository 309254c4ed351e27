"""Operations begun at a steady rate whatever becomes of them: sipp keeps none beyond what it bears itself.

One process, two sockets: that of whoever asks, and that of the devices which are called. Requests are sent again as
RFC 3261 section 17.1 says; who is refused does not come again.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from comparison.servers import DOMAIN, PASSWORD, user

_HOST = "127.0.0.1"
_T1, _T2 = 0.5, 4.0  # seconds
_GIVEN_UP = 32.0
_SCAN = 0.05
_AT_ONCE = 32
_BUFFER = 16 << 20
_SO_RCVBUFFORCE = 33
_runs = itertools.count()

_REQUEST = (
    "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK-%s-%d;rport\r\n%sMax-Forwards: 70\r\n"
    "From: <sip:%s@bench.test>;tag=f%s\r\nTo: <sip:%s@bench.test>%s\r\nCall-ID: %s@127.0.0.1\r\nCSeq: %d %s\r\n"
    "%sSupported: replaces, outbound, gruu\r\nAllow: INVITE, ACK, CANCEL, OPTIONS, BYE, MESSAGE\r\n"
    "User-Agent: bench\r\nContent-Length: %d\r\n\r\n%s"
)
_SDP = (
    "v=0\r\no=- 3884 3884 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20900 RTP/AVP 0 8 96\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\na=sendrecv\r\n"
)
_COPIED = (b"Via:", b"Record-Route:", b"From:", b"To:", b"Call-ID:", b"CSeq:")


@dataclass(slots=True)
class Asked:
    """One operation that has begun.

    Attributes:
        name: its part of the Call-ID.
        user: who registers, or is called.
        data: the request that waits for an answer.
        cseq: of that request.
        began, again, gap: when; when to send again; how long that is apart.
    """

    name: str
    user: str
    began: float
    data: bytes = b""
    cseq: int = 0
    again: float = 0.0
    gap: float = _T1


@dataclass(slots=True)
class Tally:
    """What became of the operations.

    Attributes:
        begun, done, refused, failed: how many.
        in_time: those done while others still were begun.
        resent: requests sent again.
        late: the most that were behind the rate at a time.
        delays: milliseconds that those done took.
    """

    begun: int = 0
    done: int = 0
    in_time: int = 0
    refused: int = 0
    failed: int = 0
    resent: int = 0
    late: int = 0
    delays: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Milliseconds that this share of those done did not exceed."""
        delays = sorted(self.delays)
        return delays[int(len(delays) * share)] if delays else 0.0


class Flood:
    """A load on a server.

    Args:
        port: the server's, on loopback.
        operation: `registration`, `message` or `call`.
        users: how many take part.
    """

    def __init__(self, port: int, operation: str, users: int = 400) -> None:
        self._run = ""
        self._begin: Callable[[Asked], bytes] = {
            "registration": self._register,
            "message": self._message,
            "call": self._invite,
        }[operation]
        self._users = [user(number) for number in range(users)]
        self._asker, self._device = _socket(port), _socket(port)
        self._from, self._at = self._asker.getsockname()[1], self._device.getsockname()[1]
        self._ha1: dict[str, str] = {}
        self._open: dict[str, Asked] = {}
        self._tally = Tally()
        self._end = 0.0

    def enrol(self) -> None:
        """Register all users from the devices' socket."""
        begin, self._begin = self._begin, self._register
        self.run(len(self._users) * 2, 0.5, 5)
        self._begin = begin

    def run(self, rate: float, seconds: float, patience: float = 1.0) -> Tally:
        """Begin so many operations a second for so long; then wait for the rest."""
        self._run = f"{os.getpid()}-{next(_runs)}"
        self._open.clear()
        tally = self._tally = Tally()
        total = round(rate * seconds)
        began = scanned = time.monotonic()
        self._end = began + seconds
        while True:
            now = time.monotonic()
            due = min(total, int((now - began) * rate))
            tally.late = max(tally.late, due - tally.begun)
            for _ in range(min(due - tally.begun, _AT_ONCE)):
                self._ask(now)
            self._hear(0.0005 if tally.begun >= due else 0.0)
            if now - scanned > _SCAN:
                scanned = now
                self._send_again(now)
            if tally.begun == total and (not self._open or now > self._end + patience):
                return tally

    def close(self) -> None:
        """Close the sockets."""
        self._asker.close()
        self._device.close()

    def _ask(self, now: float) -> None:
        number = self._tally.begun
        self._tally.begun += 1
        asked = Asked(f"{self._run}-{number}", self._users[number % len(self._users)], now)
        self._open[asked.name] = asked
        self._send(asked, self._begin(asked), 1)

    def _send(self, asked: Asked, data: bytes, cseq: int) -> None:
        asked.data, asked.cseq = data, cseq
        asked.gap = _T1
        asked.again = time.monotonic() + _T1
        self._asker.send(data)

    def _send_again(self, now: float) -> None:
        for asked in [asked for asked in self._open.values() if asked.again <= now]:
            if now - asked.began > _GIVEN_UP:
                self._finish(asked)
                self._tally.failed += 1
                continue
            asked.gap = min(2 * asked.gap, _T2)
            asked.again = now + asked.gap
            self._tally.resent += 1
            self._asker.send(asked.data)

    def _finish(self, asked: Asked) -> None:
        del self._open[asked.name]

    def _hear(self, wait: float) -> None:
        ready, _, _ = select.select((self._asker, self._device), (), (), wait)
        for one in ready:
            for _ in range(_AT_ONCE):
                try:
                    data = one.recv(65535)
                except BlockingIOError:
                    break
                if data.startswith(b"SIP/2.0 "):
                    self._on_response(data)
                else:
                    self._on_request(data)

    # --- who asks ----------------------------------------------------------------------------------------

    def _on_response(self, data: bytes) -> None:
        start = data.find(b"\r\nCall-ID: ") + 11
        asked = self._open.get(data[start : data.find(b"@", start)].decode())
        status = int(data[8:11])
        start = data.find(b"\r\nCSeq: ") + 8
        if asked is None or int(data[start : data.find(b" ", start)]) != asked.cseq:
            return
        if status < 200:
            asked.again = float("inf")  # timer A ends, nothing is lost on loopback any more
        elif status == 401:
            self._send(asked, self._register(asked, data), 2)
        elif status == 200 and asked.cseq == 1 and asked.data.startswith(b"INVITE"):
            self._asker.send(self._within(asked, "ACK", 1, data))
            self._send(asked, self._within(asked, "BYE", 2, data), 2)
        else:
            self._settle(asked, status, data)

    def _settle(self, asked: Asked, status: int, data: bytes) -> None:
        tally = self._tally
        if asked.data.startswith(b"INVITE"):
            start = data.find(b"\r\nTo: ")
            to = data[start : data.find(b"\r\n", start + 2)].partition(b">")[2].decode()
            target = f"sip:{asked.user}@{DOMAIN}"
            self._asker.send(self._request(asked, "ACK", target, 1, tag=to))
        self._finish(asked)
        if status == 200:
            now = time.monotonic()
            tally.done += 1
            tally.in_time += now <= self._end
            tally.delays.append(1000 * (now - asked.began))
        elif status == 503:
            tally.refused += 1
        else:
            tally.failed += 1

    def _request(
        self,
        asked: Asked,
        method: str,
        target: str,
        cseq: int,
        *,
        branch: int = 1,
        tag: str = "",
        routes: str = "",
        extra: str = "",
        body: str = "",
    ) -> bytes:
        sender = asked.user if method == "REGISTER" else "caller"
        fields = (method, target, self._from, asked.name, branch, routes, sender, asked.name, asked.user, tag)
        return (_REQUEST % (*fields, asked.name, cseq, method, extra, len(body), body)).encode()

    def _register(self, asked: Asked, challenge: bytes = b"") -> bytes:
        place = f"<sip:{asked.user}@{_HOST}:{self._at};transport=udp>"
        device = f'+sip.instance="<urn:uuid:0b0d3c52-6f0e-4c6b-9d3a-{int(asked.user[1:]):012x}>"'
        extra = f"Contact: {place};{device}\r\nExpires: 3600\r\n"
        if challenge:
            extra = self._credentials(asked, challenge) + extra
        step = 2 if challenge else 1
        return self._request(asked, "REGISTER", f"sip:{DOMAIN}", step, branch=step, extra=extra)

    def _credentials(self, asked: Asked, challenge: bytes) -> str:
        start = challenge.find(b'nonce="') + 7
        nonce = challenge[start : challenge.find(b'"', start)].decode()
        if asked.user not in self._ha1:
            self._ha1[asked.user] = _md5(f"{asked.user}:{DOMAIN}:{PASSWORD}")
        ha2 = self._ha1.setdefault("", _md5(f"REGISTER:sip:{DOMAIN}"))
        response = _md5(f"{self._ha1[asked.user]}:{nonce}:00000001:{asked.name}:auth:{ha2}")
        return (
            f'Authorization: Digest realm="{DOMAIN}",uri="sip:{DOMAIN}",username="{asked.user}",nonce="{nonce}",'
            f'qop=auth,nc=00000001,cnonce="{asked.name}",response="{response}",algorithm=MD5\r\n'
        )

    def _message(self, asked: Asked) -> bytes:
        target = f"sip:{asked.user}@{DOMAIN}"
        return self._request(asked, "MESSAGE", target, 1, extra="Content-Type: text/plain\r\n", body="hello")

    def _invite(self, asked: Asked) -> bytes:
        extra = f"Contact: <sip:caller@{_HOST}:{self._from};transport=udp>\r\nContent-Type: application/sdp\r\n"
        return self._request(asked, "INVITE", f"sip:{asked.user}@{DOMAIN}", 1, extra=extra, body=_SDP)

    def _within(self, asked: Asked, method: str, cseq: int, ok: bytes) -> bytes:
        recorded = [line.decode() for line in ok.split(b"\r\n") if line.startswith(b"Record-Route:")]
        routes = "".join(f"Route:{line.partition(':')[2]}\r\n" for line in reversed(recorded))
        target = f"sip:{asked.user}@{_HOST}:{self._at};transport=udp"
        return self._request(asked, method, target, cseq, branch=2 + cseq, tag=";tag=b", routes=routes)

    # --- who is called -----------------------------------------------------------------------------------

    def _on_request(self, data: bytes) -> None:
        if data.startswith(b"ACK"):
            return
        head, _, _ = data.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if line.startswith(_COPIED)]
        if data.startswith(b"INVITE"):
            place = b"Contact: <sip:device@127.0.0.1:%d;transport=udp>\r\n" % self._at
            self._answer(b"180 Ringing", lines, place)
            self._answer(b"200 OK", lines, place + b"Content-Type: application/sdp\r\n", _SDP.encode())
        else:
            self._answer(b"200 OK", lines)

    def _answer(self, status: bytes, lines: list[bytes], extra: bytes = b"", body: bytes = b"") -> None:
        tagged = [line + b";tag=b" if line.startswith(b"To:") and b";tag=" not in line else line for line in lines]
        head = b"\r\n".join((b"SIP/2.0 " + status, *tagged))
        self._device.send(head + b"\r\n%bContent-Length: %d\r\n\r\n%b" % (extra, len(body), body))


def _socket(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    with suppress(PermissionError):
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    made.bind((_HOST, 0))
    made.connect((_HOST, port))
    made.setblocking(False)
    return made


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
