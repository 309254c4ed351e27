"""A GRUU names one device of a person (RFC 5627): a call to it rings there and nowhere else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import Server
from tests.harness.sip_phone import SipPhone

_INSTANCE = "urn:uuid:0b6f1f0e-8a51-4f0c-9a55-2c1d5a6f00{:02}"


async def register_with_gruu(phone: SipPhone, number: int) -> tuple[str, str]:
    """Register a device of that number; its public and its temporary GRUU."""
    parameters = f';+sip.instance="<{_INSTANCE.format(number)}>"'
    response = await phone.register(parameters=parameters, headers=(("Supported", "gruu"),))
    params = response.contacts()[0].params
    return str(params["pub-gruu"]).strip('"'), str(params["temp-gruu"]).strip('"')


async def test_a_call_to_a_gruu_rings_one_device(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as one, SipPhone(server, "dave") as two:
        gruu, _ = await register_with_gruu(one, 1)
        await register_with_gruu(two, 2)
        assert gruu == f"{one.uri};gr={_INSTANCE.format(1)}"
        call = await carol.invite(gruu)
        (await one.incoming("INVITE")).answer(200)
        assert (await call.final()).status == 200
        assert not two.has_got("INVITE")


async def test_a_temporary_gruu_hides_who_is_called(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave", "tls") as dave:
        _, gruu = await register_with_gruu(dave, 3)
        assert "dave" not in gruu
        call = await carol.invite(gruu)
        (await dave.incoming("INVITE")).answer(200)
        assert (await call.final()).status == 200


async def test_a_gruu_of_a_device_that_is_off_reaches_no_other(server: Server) -> None:
    async with SipPhone(server, "carol") as carol, SipPhone(server, "dave") as one, SipPhone(server, "dave") as two:
        gruu, _ = await register_with_gruu(one, 4)
        await register_with_gruu(two, 5)
        await one.register(expires=0, parameters=f';+sip.instance="<{_INSTANCE.format(4)}>"')
        call = await carol.invite(gruu)
        assert (await call.final()).status == 480
        assert not two.has_got("INVITE")


async def test_linphone_is_called_and_hung_up_by_its_gruu(server: Server, place: Path) -> None:
    alice = Baresip(server, place, "alice", "tls")
    mobile, tablet = Linphone(server, place, "bob"), Linphone(server, place, "bob", "tls")
    async with alice, mobile, tablet:
        contacts = json.loads(server.cli(f"REGISTRAR_GET {mobile.uri}"))["contacts"]
        (instance,) = (contact["unique-id"] for contact in contacts if "transport=tls" not in contact["contact"])
        gruu = f"{mobile.uri};gr={instance}".translate(str.maketrans("", "", "<>"))
        await alice.dial(gruu)
        await mobile.incoming()
        await mobile.answer()
        await asyncio.gather(alice.established(), mobile.established())
        assert not tablet.events.any(lambda event: "IncomingReceived" in event)
        # Linphone gives its GRUU as Contact: the BYE comes to us for one of its devices.
        await alice.command("hangup")
        await asyncio.gather(alice.closed(), mobile.ended())
