"""The certificate is renewed under a running server: new connections see it, old ones live on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import Server
from tests.harness.sip_phone import SipPhone
from tests.harness.sip_wire import StreamWire


@pytest.fixture
def secure(place: Path) -> Iterator[Server]:
    """A server for TLS phones."""
    points = [("udp", "127.0.0.1"), ("tls", "127.0.0.1"), ("tls", "localhost"), ("wss", "127.0.0.1")]
    server = Server(place / "house", transports=points)
    yield server.start()
    server.stop()


async def serial_number(server: Server) -> int:
    """Of the certificate that a new connection is shown."""
    async with SipPhone(server, "carol", "tls") as phone:
        assert isinstance(phone.wire, StreamWire)
        return x509.load_der_x509_certificate(phone.wire.certificate).serial_number


async def test_a_call_over_tls_outlives_the_certificate(secure: Server, place: Path) -> None:
    alice = Baresip(secure, place, "alice", "tls", tone=500)
    bob = Linphone(secure, place, "bob", "tls", auto_answer=True)
    async with alice, bob:
        await alice.dial(bob.uri)
        await asyncio.gather(alice.established(), bob.established())

        renewed = secure.authority.issue(secure.certificate)
        assert await secure.reload() == []
        assert await serial_number(secure) == renewed

        # The call goes on over the connections that it began on...
        await alice.command("hangup")
        await asyncio.gather(alice.closed(), bob.ended())
        # ... and so does the registration.
        await alice.dial(bob.uri)
        await asyncio.gather(alice.established(), bob.established())


async def test_wss_gets_the_new_certificate_too(secure: Server) -> None:
    async with SipPhone(secure, "carol", "wss") as before:
        await before.register()
        secure.authority.issue(secure.certificate)
        assert await secure.reload() == []
        async with SipPhone(secure, "dave", "wss") as after:
            await after.register()
            sending = asyncio.create_task(after.message(before.uri, "still there?"))
            (await before.incoming("MESSAGE")).answer(200)
            assert (await sending).status == 200


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n"])
async def test_a_broken_certificate_leaves_the_old_one_in_use(secure: Server, content: str) -> None:
    old = await serial_number(secure)
    secure.certificate.write_text(content)
    problems = await secure.reload()
    assert problems
    assert all(secure.certificate.name in problem for problem in problems)
    assert await serial_number(secure) == old
    # Put right, it is taken.
    renewed = secure.authority.issue(secure.certificate)
    assert await secure.reload() == []
    assert await serial_number(secure) == renewed


async def test_a_client_without_tls_1_2_is_turned_away(secure: Server) -> None:
    context = ssl.create_default_context(cafile=secure.authority.file)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", secure.port("tls"), ssl=context)
