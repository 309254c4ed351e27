"""Every client registers over every transport that it knows, and is known to the server afterwards."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import DOMAIN, SECOND_DOMAIN, Server, password_of
from tests.harness.sip_phone import SipPhone
from tests.harness.sipp import Sipp
from tests.harness.sipsak import sipsak

IPV4, IPV6 = "127.0.0.1", "::1"


def contacts_of(server: Server, user: str, domain: str = DOMAIN) -> list[str]:
    """Where the server thinks that somebody is."""
    answer = server.cli(f"REGISTRAR_GET sip:{user}@{domain}")
    if answer.startswith("Error"):
        return []
    return [contact["contact"] for contact in json.loads(answer)["contacts"]]


@pytest.mark.parametrize("host", [IPV4, IPV6])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_baresip_registers_and_takes_it_back(server: Server, place: Path, transport: str, host: str) -> None:
    async with Baresip(server, place, "alice", transport, host):
        (contact,) = contacts_of(server, "alice")
        assert host in contact
    assert contacts_of(server, "alice") == []


@pytest.mark.parametrize(
    ("transport", "host"), [("udp", IPV4), ("tcp", IPV4), ("tls", IPV4), ("udp", IPV6), ("tcp", IPV6)]
)
async def test_linphone_registers(server: Server, place: Path, transport: str, host: str) -> None:
    async with Linphone(server, place, "bob", transport, host):
        (contact,) = contacts_of(server, "bob")
        assert host in contact


@pytest.mark.parametrize("host", [IPV4, IPV6])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_sipp_registers_many_users(server: Server, place: Path, transport: str, host: str) -> None:
    users = ["alice", "bob", "carol", "dave", "erin", "frank"]
    crowd = Sipp(place, "register", users, server=server, transport=transport, host=host, calls=6, rate=100)
    await crowd.all_good()
    assert all(len(contacts_of(server, user)) == 1 for user in users)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_sipsak_registers(server: Server, place: Path, transport: str) -> None:
    with socket.socket() as probe:
        probe.bind((IPV4, 0))
        port = probe.getsockname()[1]
    who = f"sip:dave@{SECOND_DOMAIN}:{server.port(transport)}"
    contact = f"sip:dave@{IPV4}:{port}"
    arguments = ["-U", "-v", "-E", transport, "-H", IPV4, "-l", str(port), "-s", who, "-C", contact, "-x", "120"]
    arguments += ["-u", "dave", "-a", password_of("dave")]
    output = await sipsak(place, *arguments)
    assert "All usrloc tests completed successful" in output


@pytest.mark.parametrize("host", [IPV4, IPV6])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls", "ws", "wss"])
async def test_a_plain_phone_is_reached_where_its_messages_came_from(server: Server, transport: str, host: str) -> None:
    async with SipPhone(server, "erin", transport, host) as erin:
        response = await erin.register()
        assert response.status == 200
        # Whatever address it believes to have, what counts is where its messages come from.
        address, port = erin.wire.local
        shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        (contact,) = contacts_of(server, "erin")
        assert f"@{shown}" in contact


async def test_a_registration_shows_all_devices_with_the_time_they_have_left(server: Server) -> None:
    async with SipPhone(server, "erin") as kitchen, SipPhone(server, "erin", "tls") as mobile:
        await kitchen.register(expires=600)
        response = await mobile.register(expires=300)
        values = [value.decode() for value in response.get_all(b"contact")]
        # The one who asks comes first: some clients take the first for their own.
        assert "transport=tls" in values[0]
        assert values[0].endswith(";expires=300")
        assert len(values) == 2


async def test_a_device_that_moved_takes_its_old_place(server: Server) -> None:
    instance = ';+sip.instance="<urn:uuid:6f9c2b1e-3f4a-4a43-8a7f-52a5d5b0a001>"'
    async with SipPhone(server, "erin") as before, SipPhone(server, "erin", "tcp") as after:
        await before.register(parameters=instance)
        await after.register(parameters=instance)
        (contact,) = contacts_of(server, "erin")
        assert "transport=tcp" in contact


async def test_a_registration_without_contact_only_asks(server: Server) -> None:
    async with SipPhone(server, "erin") as erin:
        await erin.register()
        response = await erin.request("REGISTER", f"sip:{DOMAIN}", (("To", f"<{erin.uri}>"),))
        assert response.status == 200
        assert len(response.get_all(b"contact")) == 1


async def test_a_star_takes_all_devices_back(server: Server) -> None:
    async with SipPhone(server, "erin") as kitchen, SipPhone(server, "erin", "tcp") as mobile:
        await kitchen.register()
        await mobile.register()
        headers = (("To", f"<{mobile.uri}>"), ("Contact", "*"), ("Expires", "0"))
        assert (await mobile.request("REGISTER", f"sip:{DOMAIN}", headers)).status == 200
        assert contacts_of(server, "erin") == []


async def test_somebody_else_cannot_be_registered(server: Server) -> None:
    async with SipPhone(server, "erin") as erin:
        headers = (("To", f"<sip:frank@{DOMAIN}>"), ("Contact", f"<{erin.contact}>"))
        assert (await erin.request("REGISTER", f"sip:{DOMAIN}", headers)).status == 403
        assert contacts_of(server, "frank") == []
