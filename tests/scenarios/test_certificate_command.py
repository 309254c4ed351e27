"""From `flexipy certificate` to telephones that register over TLS and check whom they talk to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import Server, run_flexipy
from tests.harness.sip_phone import SipPhone
from tests.harness.sip_wire import StreamWire


@pytest.fixture
def certified(place: Path) -> Iterator[Server]:
    """A server with what the command made."""
    server = Server(place / "house", transports=[("tls", "127.0.0.1"), ("tls", "localhost"), ("wss", "127.0.0.1")])
    certify(server, "--self-signed", "localhost", "--also", "127.0.0.1")
    server.write_configuration(
        {"global": {"tls-certificates-file": "tls/cert.pem", "tls-certificates-private-key": "tls/key.pem"}}
    )
    server.authority.file = server.directory / "tls" / "ca.pem"
    yield server.start()
    server.stop()


def certify(server: Server, *arguments: str) -> str:
    """Run the command in the server's directory; what it printed."""
    status, told = run_flexipy("certificate", *arguments, directory=server.directory)
    assert status == 0, told
    return told


async def test_telephones_that_check_the_certificate_call_each_other(certified: Server, place: Path) -> None:
    alice, bob = Baresip(certified, place, "alice", "tls"), Linphone(certified, place, "bob", "tls", auto_answer=True)
    async with alice, bob:
        await alice.dial(bob.uri)
        await asyncio.gather(alice.established(), bob.established())


async def test_who_does_not_know_the_authority_does_not_register(certified: Server, place: Path) -> None:
    known = certified.authority.file
    certified.authority.file = certified.certificate  # of another authority
    alice = Baresip(certified, place, "alice", "tls")
    try:
        await alice.start()
        assert alice.program is not None
        await alice.program.prints(r"(?i)verif|certificate|tls")
    finally:
        await alice.stop()
        certified.authority.file = known
    assert "alice" not in certified.cli("REGISTRAR_DUMP")


async def test_a_name_that_is_not_in_the_certificate_is_refused(certified: Server) -> None:
    trusting = ssl.create_default_context(cafile=str(certified.authority.file))
    port = certified.port("tls")
    with pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
        await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="elsewhere.test")


async def test_a_renewed_certificate_needs_nothing_new_of_telephones(certified: Server) -> None:
    assert "need nothing new" in certify(certified, "--renew")
    assert await certified.reload() == []
    async with SipPhone(certified, "carol", "tls") as carol:
        assert (await carol.register()).status == 200
        assert isinstance(carol.wire, StreamWire)
        shown = x509.load_der_x509_certificate(carol.wire.certificate)
    renewed = x509.load_pem_x509_certificate((certified.directory / "tls" / "cert.pem").read_bytes())
    assert shown == renewed
