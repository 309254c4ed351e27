"""What a registration costs when nothing is done but what cannot be left out, beside what the proxy takes for it.

    python benchmarks/least.py [--count 10000]

The least is: both REGISTERs read, their transactions looked up, a nonce made, the digest checked, the nonce's use
noted, the binding put into a dict, both answers put together and written to bytes, all by flexipy's own functions in
one straight line. No pipeline, no modules, no checks, no filters, no GRUU, no Path, no journal, no limits on guessing,
no timers, no clock but for the nonces. What the proxy takes is measured as `inprocess.py` does, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from statistics import median

from inprocess import REGISTER, contact, lines, measure, yardstick

from flexipy.compilation import describe
from flexipy.sip import names as H
from flexipy.sip.digest import answer, compute_ha1, parse_challenge, verify
from flexipy.sip.digest_header import parse_authorization
from flexipy.sip.message import Request, Response
from flexipy.sip.nonce import Freshness, NonceSource
from flexipy.sip.parsing import parse
from flexipy.sip.searching import sent_by_of
from flexipy.sip.transaction.layer import server_key

_BATCH = 200
_USERS = 500
_CHALLENGE = b'Digest realm="bench.test", nonce="%b", algorithm=MD5, qop="auth"'
_TAG = b"1234567890abcdef"


class LeastRegistrar:
    """Takes the two messages of a registration, and no others."""

    def __init__(self, ha1: dict[str, str]) -> None:
        self._ha1 = ha1
        self._nonces = NonceSource(b"x" * 32, 3600, not_before=time.time())
        self._answers: dict[bytes, bytes] = {}
        self._bindings: dict[str, tuple[bytes, bytes, bytes]] = {}

    def challenge(self) -> bytes:
        """A challenge with a nonce of its own."""
        return _CHALLENGE % self._nonces.make(time.time()).encode()

    def receive(self, data: bytes) -> bytes:
        """The answer to a REGISTER."""
        request = parse(data)
        assert isinstance(request, Request)
        via = request.require(H.VIA)
        key = server_key(request, via, sent_by_of(via), request.method)
        given = self._answers.get(key)
        if given is not None:
            return given
        if request.shape.authorization < 0:
            response = Response.to_request(request, 401, "", _TAG)
            response.append(H.WWW_AUTHENTICATE, b"WWW-Authenticate: " + self.challenge())
            return bytes(response)
        user = request.plain_to
        credentials = parse_authorization(request.require(H.AUTHORIZATION))
        assert verify(credentials, self._ha1[user.partition("@")[0]], "REGISTER")
        assert self._nonces.use(credentials.nonce, 2, time.time()) is Freshness.FRESH
        place = request.require(H.CONTACT)
        self._bindings[user] = (place, request.call_id, request.require(H.CSEQ))
        response = Response.to_request(request, 200, "", _TAG)
        response.append(H.CONTACT, b"Contact: " + place + b";expires=3600")
        answered = self._answers[key] = bytes(response)
        return answered


def play(registrar: LeastRegistrar, numbers: range, ha1: dict[str, str]) -> float:
    """Microseconds for each registration of a batch."""
    messages = []
    for n in numbers:
        user = f"u{n % _USERS:06d}"
        fields = {"n": n, "user": user, "contact": contact(n, user, _USERS)}
        proof = answer(parse_challenge(registrar.challenge()), user, ha1[user], "REGISTER", "sip:bench.test", f"c{n}")
        messages.append(lines(REGISTER.format(step=1, credentials="", **fields)))
        messages.append(lines(REGISTER.format(step=2, credentials=f"Authorization: {proof.decode()}\n", **fields)))
    receive = registrar.receive
    began = time.process_time_ns()
    answers = [receive(message) for message in messages]
    spent = time.process_time_ns() - began
    assert [text[8:11] for text in answers] == [b"401", b"200"] * len(numbers)
    return spent / len(numbers) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000)
    count = parser.parse_args().count
    ha1 = {f"u{n:06d}": compute_ha1("MD5", f"u{n:06d}", "bench.test", "secret") for n in range(_USERS)}
    registrar = LeastRegistrar(ha1)
    least = median(play(registrar, range(at, at + _BATCH), ha1) for at in range(0, count, _BATCH))
    whole, _, _ = asyncio.run(measure(count, _USERS, profile=False))
    print(f"CPU of a registration in process, {describe()}; yardstick {yardstick():.0f} us")
    print(f"least {least:.1f} us, the proxy {whole:.1f} us: {100 * least / whole:.0f} %")


if __name__ == "__main__":
    main()
