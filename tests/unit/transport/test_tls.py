"""TLS flows: certificates of both sides, names, replacement while connections live."""

import asyncio
import logging
import shutil
import ssl
from pathlib import Path

import pytest

from flexipy.transport.errors import FlowError, TransportError
from flexipy.transport.resolver import Target

from .certificates import Authority
from .conftest import OK, OPTIONS, Server, StartServer, eof, exactly, until

TLS = "sips:127.0.0.1:0"


def trusting(authority: Authority, own: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.pem))
    if own is not None:
        context.load_cert_chain(own)
    return context


async def connect(
    server: Server, context: ssl.SSLContext, name: str = "localhost"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port(), ssl=context, server_hostname=name)


def names_served(writer: asyncio.StreamWriter) -> list[str]:
    certificate = writer.get_extra_info("peercert")
    return [value for kind, value in certificate["subjectAltName"] if kind == "DNS"]


async def test_receives_and_answers(start: StartServer, authority: Authority, server_pem: Path) -> None:
    server = await start(TLS, tls_certificates_file=str(server_pem))
    reader, writer = await connect(server, trusting(authority))

    writer.write(OPTIONS)
    data, flow = await server.received()

    assert data == OPTIONS
    assert flow.secure
    assert flow.peer_names == ()
    assert flow.via_prefix.startswith(b"Via: SIP/2.0/TLS 127.0.0.1:")
    assert flow.record_route_uri == b"sip:127.0.0.1:%d;transport=tls;lr" % server.port()
    assert flow.send(OK)
    await exactly(reader, OK)
    writer.close()


async def test_old_protocol_versions_are_refused(start: StartServer, authority: Authority, server_pem: Path) -> None:
    server = await start(TLS, tls_certificates_file=str(server_pem))
    context = trusting(authority)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await connect(server, context)


async def test_clear_text_on_a_tls_port_is_closed_and_counted(
    start: StartServer, server_pem: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = await start(TLS, tls_certificates_file=str(server_pem))
    with caplog.at_level(logging.WARNING):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port())
        writer.write(OPTIONS)
        await eof(reader)
        await until(lambda: server.transports.counters.tls_handshake_failures)

    assert not [record for record in caplog.records if record.name != "asyncio" or record.exc_info]
    assert server.transports._table.admitted == 0
    writer.close()


async def test_a_handshake_that_never_comes_has_a_deadline(start: StartServer, server_pem: Path) -> None:
    server = await start(TLS, tls_certificates_file=str(server_pem), handshake_timeout=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())

    assert await eof(reader) == b""

    assert server.transports._table.admitted == 0
    writer.close()


async def test_client_certificate_names_are_known(
    start: StartServer, authority: Authority, server_pem: Path, tmp_path: Path
) -> None:
    server = await start(TLS, tls_certificates_file=str(server_pem), tls_certificates_ca_file=str(authority.pem))
    own = authority.issue(tmp_path / "client.pem", ["sip:alice@example.org", "example.org"])
    _, writer = await connect(server, trusting(authority, own))
    _, anonymous = await connect(server, trusting(authority))

    writer.write(OPTIONS)
    _, flow = await server.received()
    anonymous.write(OPTIONS)
    _, unknown = await server.received()

    assert flow.peer_names == ("sip:alice@example.org", "example.org")
    assert unknown.peer_names == ()
    # an incoming connection leads to the names that its certificate proves, and to its bare address
    assert server.transports.flow_for(Target(b"TLS", *flow.remote, "example.org")) is flow
    assert server.transports.flow_for(Target(b"TLS", *flow.remote)) is flow
    assert server.transports.flow_for(Target(b"TLS", *unknown.remote, "example.org")) is None
    writer.close()
    anonymous.close()


async def test_required_client_certificate(
    start: StartServer, authority: Authority, server_pem: Path, tmp_path: Path
) -> None:
    server = await start(
        f"{TLS};require-peer-certificate=1",
        tls_certificates_file=str(server_pem),
        tls_certificates_ca_file=str(authority.pem),
    )
    stranger = Authority(tmp_path).issue(tmp_path / "stranger.pem", ["example.org"])
    for context in (trusting(authority), trusting(authority, stranger)):
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # in 1.3 the client learns it only later
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect(server, context)

    known = authority.issue(tmp_path / "known.pem", ["example.org"])
    _, writer = await connect(server, trusting(authority, known))
    writer.write(OPTIONS)

    assert (await server.received())[1].peer_names == ("example.org",)
    assert server.transports.counters.tls_handshake_failures == 2
    writer.close()


async def test_outgoing_connections_verify_the_name(start: StartServer, authority: Authority, server_pem: Path) -> None:
    settings = {"tls_certificates_file": str(server_pem), "tls_certificates_ca_file": str(authority.pem)}
    one, two = await start(TLS, **settings), await start(TLS, **settings)
    address = ("127.0.0.1", one.port())

    flow = await two.transports.connect(Target(b"TLS", *address, "localhost"))
    flow.send(OPTIONS)
    _, incoming = await one.received()

    assert "localhost" in incoming.peer_names  # servers show their certificate too
    assert "localhost" in flow.peer_names
    assert two.transports.flow_for(Target(b"TLS", *address, "localhost")) is flow
    assert two.transports.flow_for(Target(b"TLS", *address, "example.org")) is None
    assert two.transports.flow_for(Target(b"TLS", *address)) is None
    with pytest.raises(FlowError, match=r"[Hh]ostname"):
        await two.transports.connect(Target(b"TLS", *address, "example.org"))
    by_address = await two.transports.connect(Target(b"TLS", *address))
    assert by_address is not flow


async def test_an_authority_that_does_not_say_what_its_key_is_for_is_trusted(
    start: StartServer, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, strict=False)
    pem = authority.issue(tmp_path / "one.pem", ["localhost"])
    settings = {"tls_certificates_file": str(pem), "tls_certificates_ca_file": str(authority.pem)}
    one = await start(TLS, **settings)
    two = await start(TLS, **settings)
    flow = await two.transports.connect(Target(b"TLS", "127.0.0.1", one.port(), "localhost"))
    assert "localhost" in flow.peer_names


async def test_outgoing_verification_can_be_switched_off(
    start: StartServer, server_pem: Path, authority: Authority
) -> None:
    one = await start(TLS, tls_certificates_file=str(server_pem))
    strict = await start(TLS, tls_certificates_file=str(server_pem))
    lax = await start(f"{TLS};tls-verify-outgoing=0", tls_certificates_file=str(server_pem))
    target = Target(b"TLS", "127.0.0.1", one.port(), "example.org")

    with pytest.raises(FlowError, match="certificate verify failed"):
        await strict.transports.connect(target)
    flow = await lax.transports.connect(target)

    assert flow.peer_names == ()
    assert flow.send(OPTIONS)


async def test_certificate_is_replaced_while_a_connection_lives(
    start: StartServer, authority: Authority, tmp_path: Path
) -> None:
    pem = authority.issue(tmp_path / "live.pem", ["localhost", "old.example"])
    server = await start(TLS, tls_certificates_file=str(pem))
    reader, writer = await connect(server, trusting(authority))
    writer.write(OPTIONS)
    _, flow = await server.received()

    authority.issue(pem, ["localhost", "new.example"])
    assert server.transports.reload_tls() == []
    _, second = await connect(server, trusting(authority))

    assert names_served(writer) == ["localhost", "old.example"]
    assert names_served(second) == ["localhost", "new.example"]
    assert flow.send(OK)
    await exactly(reader, OK)

    pem.write_text("not a certificate")
    (problem,) = server.transports.reload_tls()
    assert str(pem) in problem
    _, third = await connect(server, trusting(authority))
    assert names_served(third) == ["localhost", "new.example"]
    for each in (writer, second, third):
        each.close()


async def test_changed_files_are_noticed(start: StartServer, authority: Authority, tmp_path: Path) -> None:
    pem = authority.issue(tmp_path / "live.pem", ["localhost", "old.example"])
    new = authority.issue(tmp_path / "new.pem", ["localhost", "new.example"])
    server = await start(TLS, tls_certificates_file=str(pem), tls_check_interval=0.05)
    identity = next(iter(server.transports._tls._identities.values()))
    before = identity.context

    shutil.move(new, pem)
    await until(lambda: identity.context is not before)
    _, writer = await connect(server, trusting(authority))

    assert names_served(writer) == ["localhost", "new.example"]
    writer.close()


async def test_certificate_by_server_name(start: StartServer, authority: Authority, tmp_path: Path) -> None:
    one = authority.issue(tmp_path / "one.pem", ["one.example"])
    two = authority.issue(tmp_path / "two.pem", ["two.example"])
    three = authority.issue(tmp_path / "three.pem", ["three.example"])
    free = await start("sip:127.0.0.1:0;transport=tcp")
    port = free.port()
    await free.transports.close()
    server = await start(
        f"sips:one.example:{port};maddr=127.0.0.1;tls-certificates-file={one} "
        f"sips:two.example:{port};maddr=127.0.0.1;tls-certificates-file={two}",
        tls_sni={"three.example": (str(three), "")},
    )

    for name in ("one.example", "two.example", "three.example"):
        _, writer = await connect(server, trusting(authority), name)
        assert names_served(writer) == [name]
        writer.close()
    assert len(server.transports.listeners) == 1
    assert server.transports.is_local("one.example", port)
    assert server.transports.is_local("two.example", port)


async def test_missing_certificates_are_explained(start: StartServer, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="tls-certificates-file is not set"):
        await start(TLS)
    with pytest.raises(TransportError, match=r"nothing\.pem"):
        await start(TLS, tls_certificates_file=str(tmp_path / "nothing.pem"))
