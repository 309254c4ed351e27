"""Valid messages and what a mutator makes of them; the same seed gives the same bytes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

INTERESTING = (
    b"",
    b"0",
    b"-1",
    b"1",
    b"255",
    b"256",
    b"65536",
    b"2147483648",
    b"4294967296",
    b"99999999999999999999",
    b"\x00",
    b"\xff\xfe",
    b"\xc3\xa9",
    b"%00",
    b"%",
    b'"',
    b"\\",
    b"<",
    b">",
    b"<>",
    b";",
    b";;",
    b",",
    b"=",
    b"@",
    b":",
    b"*",
    b" ",
    b"\t",
    b"\r\n ",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"sip:",
    b"sips:a@b",
    b"tel:+1",
    b"[::1]",
    b"[",
    b"127.0.0.1:0",
    b";lr",
    b";tag=",
    b";branch=z9hG4bK",
    b";branch=",
    b";rport",
    b";maddr=127.0.0.1",
    b";transport=foo",
    b";gr",
    b";expires=0",
    b"SIP/2.0",
    b"A" * 300,
    b"A" * 5000,
    b";x=" + b"y" * 3000,
)
EXTRA = (
    b"Max-Forwards: 0",
    b"Max-Forwards: -1",
    b"Max-Forwards: 99999999999",
    b"Content-Length: -5",
    b"Content-Length: 5",
    b"Content-Length: 99999999",
    b"l: 3",
    b"Route: <sip:127.0.0.1;lr>",
    b"Route: <sip:AAAA@127.0.0.1;lr>, <sip:house.test;lr>",
    b"Route: garbage",
    b"Record-Route: <sip:127.0.0.1;lr>",
    b"Via: SIP/2.0/UDP",
    b"Via: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKx",
    b"v: SIP/2.0/UDP [::1]:5060;branch=",
    b"Contact: *",
    b"m: <sip:x@127.0.0.1>;q=7;expires=x",
    b"Expires: 0",
    b"Expires: 99999999999999",
    b"Require: 100rel, foo",
    b"Proxy-Require: foo",
    b"Supported: gruu, outbound, path",
    b"Path: <sip:127.0.0.1;lr>",
    b"X-Target-Uris: <sip:bob@house.test>, <sip:nobody@127.0.0.1:9>",
    b"X-Target-Uris: <sip:",
    b'Authorization: Digest username="x", realm="house.test", nonce="", uri="", response=""',
    b'Proxy-Authorization: Digest \\"',
    b"Authorization: Basic x",
    b"To: <sip:bob@house.test>;tag=1",
    b"From: nobody",
    b"CSeq: 1 FOO",
    b"Call-ID:",
    b"Timestamp: x",
    b": x",
    b"no colon",
    b" folded",
)
METHODS = (
    b"REGISTER",
    b"INVITE",
    b"MESSAGE",
    b"CANCEL",
    b"ACK",
    b"BYE",
    b"OPTIONS",
    b"SUBSCRIBE",
    b"NOTIFY",
    b"PUBLISH",
    b"FOO",
)
TARGETS = (
    "sip:house.test",
    "sip:bob@house.test",
    "sip:everybody@house.test",
    "sip:nobody@house.test",
    "sip:bob@house.test;gr=urn:uuid:0",
    "sip:tgruu.AAAA@house.test;gr",
    "sip:bob@127.0.0.1:{port}",
    "sip:bob@127.0.0.1:{port};transport=tcp",
    "sips:bob@127.0.0.1",
    "tel:+49123",
)


class Mutator:
    """Makes messages and spoils them.

    Args:
        seed: of the random numbers.
        port: of an own socket that requests may be sent on to.
    """

    def __init__(self, seed: int, port: int) -> None:
        self._random = random.Random(seed)
        self._port = port
        self._count = itertools.count()
        self._sent: list[bytes] = []
        self._ways: tuple[Callable[[bytes], bytes], ...] = (
            self._flip,
            self._insert,
            self._edit_value,
            self._edit_value,
            self._edit_value,
            self._edit_value,
            self._cut,
            self._repeat,
            self._truncate,
            self._add_header,
            self._add_header,
            self._drop_line,
            self._swap_lines,
            self._replace_value,
            self._replace_value,
            self._splice,
        )

    def message(self, transport: str) -> bytes:
        """One message for a transport, a fourth of them left as they are."""
        data = self._response(transport) if self._random.random() < 0.15 else self._request(transport)
        if self._random.random() > 0.25:
            for _ in range(self._random.choice((1, 1, 1, 1, 2, 2, 4))):
                data = self._random.choice(self._ways)(data)
        self._sent.append(data)
        del self._sent[:-64]
        return data

    def choose(self, among: Sequence[T]) -> T:
        """One of several things."""
        return self._random.choice(among)

    def spoil(self, data: bytes) -> bytes:
        """Spoil anything."""
        return self._random.choice(self._ways)(data)

    # --- good ones ---------------------------------------------------------------------------------------

    def _request(self, transport: str) -> bytes:
        method = self._random.choice(METHODS)
        target = self._random.choice(TARGETS).format(port=self._port).encode()
        number = next(self._count)
        branch = number if method not in (b"CANCEL", b"ACK") else max(0, number - self._random.randint(1, 20))
        body = b"v=0\r\n" if method in (b"INVITE", b"MESSAGE") else b""
        lines = [
            method + b" " + target + b" SIP/2.0",
            b"Via: SIP/2.0/%b 127.0.0.1:%d;rport;branch=z9hG4bKf%d" % (transport.upper().encode(), self._port, branch),
            b"Max-Forwards: 70",
            b'From: "Al" <sip:alice@house.test>;tag=f%d' % number,
            b"To: <sip:bob@house.test>" + self._random.choice((b"", b"", b";tag=x")),
            b"Call-ID: f%d" % (number // 3),
            b"CSeq: %d %b" % (branch % 5 + 1, method),
            b'Contact: <sip:alice@127.0.0.1:%d>;+sip.instance="<urn:uuid:0>";reg-id=1' % self._port,
            b"Content-Type: application/sdp",
            b"Content-Length: %d" % len(body),
        ]
        return b"\r\n".join([*lines, b"", body])

    def _response(self, transport: str) -> bytes:
        status = self._random.choice((100, 180, 200, 302, 401, 407, 486, 487, 503, 603))
        request = self._request(transport).partition(b"\r\n")[2]
        return b"SIP/2.0 %d Well\r\n" % status + request

    # --- spoiling ----------------------------------------------------------------------------------------

    def _place(self, data: bytes) -> int:
        return self._random.randrange(len(data) + 1)

    def _flip(self, data: bytes) -> bytes:
        out = bytearray(data)
        for _ in range(self._random.randint(1, 4)):
            if out:
                out[self._random.randrange(len(out))] = self._random.randrange(256)
        return bytes(out)

    def _insert(self, data: bytes) -> bytes:
        place = self._place(data)
        return data[:place] + self._random.choice(INTERESTING) + data[place:]

    def _cut(self, data: bytes) -> bytes:
        place = self._place(data)
        return data[:place] + data[place + self._random.randint(1, 40) :]

    def _repeat(self, data: bytes) -> bytes:
        place = self._place(data)
        piece = data[place : place + self._random.randint(1, 40)]
        return data[:place] + piece * self._random.choice((2, 3, 50)) + data[place:]

    def _truncate(self, data: bytes) -> bytes:
        return data[: self._place(data)]

    def _lines(self, data: bytes) -> list[bytes]:
        return data.split(b"\r\n")

    def _add_header(self, data: bytes) -> bytes:
        lines = self._lines(data)
        line = self._random.choice(EXTRA)
        lines[1:1] = [line] * self._random.choice((1,) * 9 + (2, 600))
        return b"\r\n".join(lines)

    def _drop_line(self, data: bytes) -> bytes:
        lines = self._lines(data)
        del lines[self._random.randrange(len(lines))]
        return b"\r\n".join(lines)

    def _swap_lines(self, data: bytes) -> bytes:
        lines = self._lines(data)
        self._random.shuffle(lines)
        return b"\r\n".join(lines)

    def _replace_value(self, data: bytes) -> bytes:
        lines = self._lines(data)
        index = self._random.randrange(len(lines))
        name, colon, _ = lines[index].partition(b":")
        lines[index] = name + colon + b" " + self._random.choice(INTERESTING)
        return b"\r\n".join(lines)

    def _edit_value(self, data: bytes) -> bytes:
        """Put something into a header's value; the message stays readable more often than not."""
        lines = self._lines(data)
        index = self._random.randrange(len(lines))
        name, colon, value = lines[index].partition(b":")
        place = self._place(value)
        end = place + self._random.choice((0, 0, 1, 8))
        lines[index] = name + colon + value[:place] + self._random.choice(INTERESTING) + value[end:]
        return b"\r\n".join(lines)

    def _splice(self, data: bytes) -> bytes:
        if not self._sent:
            return data
        return data[: self._place(data)] + self._random.choice(self._sent)[self._place(data) :]
