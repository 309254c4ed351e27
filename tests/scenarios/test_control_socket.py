"""An operator looks into a running server, and changes it, with `flexipy-cli`."""

from __future__ import annotations

import asyncio
import json
import stat
from typing import Any

import pytest

from tests.harness.server import DOMAIN, Server, run_flexipy_cli
from tests.harness.sip_phone import SipPhone

_DAVE = f"sip:dave@{DOMAIN}"
_DEVICE = "0b6f1f0e-8a51-4f0c-9a55-2c1d5a6f0077"


async def cli(server: Server, *words: str) -> str:
    """What a command that succeeds prints."""
    status, text = await asyncio.to_thread(run_flexipy_cli, "--socket", "control", *words, directory=server.directory)
    assert status == 0, text
    return text


async def refused(server: Server, *words: str) -> str:
    """What a command that fails prints."""
    status, text = await asyncio.to_thread(run_flexipy_cli, "--socket", "control", *words, directory=server.directory)
    assert status == 1, text
    assert text.startswith("Error: "), text
    return text


async def contacts(server: Server, *words: str) -> list[dict[str, Any]]:
    """The contacts in a command's answer."""
    answer = json.loads(await cli(server, *words))
    assert answer["aor"] == f"dave@{DOMAIN}"
    return list(answer["contacts"])


# --- the socket itself ---------------------------------------------------------------------------------------


def test_the_socket_is_for_its_owner_only(server: Server) -> None:
    mode = (server.directory / "control").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_without_a_server_the_command_says_so(server: Server) -> None:
    status, text = await asyncio.to_thread(
        run_flexipy_cli, "--socket", "nowhere", "COUNTERS", directory=server.directory
    )
    assert status == 1
    assert text.startswith("flexipy-cli: ")


async def test_an_unknown_command_is_answered_with_the_known_ones(server: Server) -> None:
    text = await refused(server, "REGISTRAR_GTE", _DAVE)
    assert "REGISTRAR_GET" in text


async def test_commands_may_be_written_small_and_with_hyphens(server: Server) -> None:
    assert json.loads(await asyncio.to_thread(server.cli, "registrar-dump")) == {"aors": []}


# --- registrations -------------------------------------------------------------------------------------------


async def test_registrations_are_shown(server: Server) -> None:
    async with SipPhone(server, "dave", "tls") as dave, SipPhone(server, "carol") as carol:
        await dave.register(expires=700, parameters=f';q=0.5;+sip.instance="<urn:uuid:{_DEVICE}>"')
        await carol.register()
        assert json.loads(await cli(server, "REGISTRAR_DUMP")) == {"aors": [f"carol@{DOMAIN}", f"dave@{DOMAIN}"]}
        assert (await cli(server, "--table", "REGISTRAR_DUMP")).splitlines() == [f"carol@{DOMAIN}", f"dave@{DOMAIN}"]
        (contact,) = await contacts(server, "REGISTRAR_GET", _DAVE)
        assert _DEVICE in contact["unique-id"]
        assert contact["contact"].startswith("sip:dave@127.0.0.1:")
        assert contact["q"] == 0.5
        assert 690 <= contact["expires-in"] <= 700
        title, row = (await cli(server, "--table", "REGISTRAR_GET", _DAVE)).splitlines()
        assert title.split() == ["UNIQUE-ID", "CONTACT", "EXPIRES-IN", "Q", "USER-AGENT"]
        assert row.split()[:2] == [contact["unique-id"], contact["contact"]]


async def test_nobody_is_registered(server: Server) -> None:
    assert json.loads(await cli(server, "REGISTRAR_DUMP")) == {"aors": []}
    assert await cli(server, "--table", "REGISTRAR_DUMP") == "(none)"
    assert f"dave@{DOMAIN}" in await refused(server, "REGISTRAR_GET", _DAVE)


@pytest.mark.parametrize("form", ["<{}>", "{}", '"<{}>"'])
async def test_a_deleted_device_is_not_called_any_more(server: Server, form: str) -> None:
    unique_id = form.format(f"urn:uuid:{_DEVICE}")
    async with SipPhone(server, "dave") as desk, SipPhone(server, "dave") as attic, SipPhone(server, "carol") as carol:
        await desk.register(parameters=f';+sip.instance="<urn:uuid:{_DEVICE}>"')
        await attic.register()
        assert len(await contacts(server, "REGISTRAR_GET", _DAVE)) == 2
        (left,) = await contacts(server, "REGISTRAR_DELETE", _DAVE, unique_id)
        assert _DEVICE not in left["unique-id"]
        assert "no contact" in await refused(server, "REGISTRAR_DELETE", _DAVE, unique_id)
        call = await carol.invite(_DAVE)
        (await attic.incoming("INVITE")).answer(486)
        assert (await call.final()).status == 486
        assert not desk.has_got("INVITE")


async def test_a_cleared_record_is_empty(server: Server) -> None:
    async with SipPhone(server, "dave") as dave, SipPhone(server, "carol") as carol:
        await dave.register()
        assert "1 contacts removed" in await cli(server, "REGISTRAR_CLEAR", _DAVE)
        assert json.loads(await cli(server, "REGISTRAR_DUMP")) == {"aors": []}
        assert (await (await carol.invite(_DAVE)).final()).status == 480


async def test_a_contact_put_in_by_hand_is_called(server: Server) -> None:
    async with SipPhone(server, "dave") as dave, SipPhone(server, "carol") as carol:
        command = ("REGISTRAR_UPSERT", _DAVE, dave.contact, "300", "by-hand")
        (contact,) = await contacts(server, *command)
        assert contact["unique-id"] == "by-hand"
        assert contact["contact"] == dave.contact
        assert 295 <= contact["expires-in"] <= 300
        call = await carol.invite(_DAVE)
        (await dave.incoming("INVITE")).answer(486)
        assert (await call.final()).status == 486
        # Once more with its id: it is changed, not added.
        (contact,) = await contacts(server, *command[:3], "900", "by-hand")
        assert contact["expires-in"] > 890


async def test_a_registered_device_is_changed_by_its_id(server: Server) -> None:
    async with SipPhone(server, "dave") as dave:
        await dave.register(parameters=f';+sip.instance="<urn:uuid:{_DEVICE}>"')
        (before,) = await contacts(server, "REGISTRAR_GET", _DAVE)
        (after,) = await contacts(server, "REGISTRAR_UPSERT", _DAVE, "sip:dave@192.0.2.1", "300", f"urn:uuid:{_DEVICE}")
        assert after["unique-id"] == before["unique-id"]
        assert after["contact"] == "sip:dave@192.0.2.1"


@pytest.mark.parametrize(
    "words",
    [
        ("REGISTRAR_UPSERT", _DAVE),
        ("REGISTRAR_UPSERT", _DAVE, "nonsense", "300"),
        ("REGISTRAR_UPSERT", _DAVE, "sip:dave@192.0.2.1", "soon"),
        ("REGISTRAR_GET",),
        ("REGISTRAR_CLEAR",),
    ],
)
async def test_a_command_that_is_wrong_changes_nothing(server: Server, words: tuple[str, ...]) -> None:
    await refused(server, *words)
    assert json.loads(await cli(server, "REGISTRAR_DUMP")) == {"aors": []}


# --- configuration -------------------------------------------------------------------------------------------


async def test_a_parameter_is_shown(server: Server) -> None:
    shown = await cli(server, "CONFIG_GET", "module::Registrar/reg-domains")
    assert shown == f"module::Registrar/reg-domains : {DOMAIN} localhost"
    wrong = await refused(server, "CONFIG_GET", "module::Registrar/reg-domian")
    assert "did you mean 'module::Registrar/reg-domains'" in wrong


async def test_all_parameters_are_listed(server: Server) -> None:
    listing = json.loads(await cli(server, "CONFIG_LIST"))
    assert {"global", "module::Registrar", "module::Authentication"} <= set(listing)
    assert listing["module::Registrar"]["reg-domains"] == f"{DOMAIN} localhost"
    assert listing["module::Registrar"]["redis-auth-password"] == "(hidden)"
    one = json.loads(await cli(server, "CONFIG_LIST", "Registrar"))
    assert one == {"module::Registrar": listing["module::Registrar"]}
    rows = dict(
        line.split(maxsplit=1)
        for line in (await cli(server, "--table", "CONFIG_LIST", "Registrar")).splitlines()
        if len(line.split()) > 1
    )
    assert rows["module::Registrar/reg-domains"] == f"{DOMAIN} localhost"
    await refused(server, "CONFIG_LIST", "Nonsense")


async def test_a_changed_parameter_takes_effect_at_once(server: Server) -> None:
    name = "module::Registrar/filter"
    text = "from.uri.user != 'dave'"
    async with SipPhone(server, "dave") as dave:
        assert await cli(server, "CONFIG_SET", name, text) == f"{name} : {text}"
        assert (await dave.register()).status != 200
        await cli(server, "CONFIG_SET", name, "")
        assert (await dave.register()).status == 200


async def test_what_cannot_be_changed_is_left_alone(server: Server) -> None:
    before = await cli(server, "CONFIG_LIST")
    assert "start" in await refused(server, "CONFIG_SET", "module::Registrar/reg-domains", "elsewhere.test")
    await refused(server, "CONFIG_SET", "module::Registrar/filter", "from.uri.user ==")
    await refused(server, "CONFIG_SET", "global/log-level", "loud")
    await refused(server, "CONFIG_SET", "global/log-level")
    assert await cli(server, "CONFIG_LIST") == before


async def test_counters_count(server: Server) -> None:
    before = json.loads(await cli(server, "COUNTERS"))["transport_messages_in"]
    async with SipPhone(server, "dave") as dave:
        await dave.register()
    assert json.loads(await cli(server, "COUNTERS"))["transport_messages_in"] >= before + 2
