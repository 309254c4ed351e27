"""Who does not know the password stays outside, and who goes on guessing has to wait."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.linphone import Linphone
from tests.harness.server import DOMAIN, Server
from tests.harness.sip_phone import SipPhone


def registered(server: Server) -> list[str]:
    """Who is registered at all."""
    aors: list[str] = json.loads(server.cli("REGISTRAR_DUMP"))["aors"]
    return aors


@pytest.fixture(scope="module")
def strict_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets three wrong passwords pass."""
    limits = {"guess-limit": "3", "guess-period": "60"}
    server = Server(tmp_path_factory.mktemp("strict"), {"module::Authentication": limits}, [("udp", "127.0.0.1")])
    yield server.start()
    server.stop()


async def test_baresip_with_a_wrong_password_is_refused(server: Server, place: Path) -> None:
    alice = Baresip(server, place, "alice", password="guessed")
    try:
        await alice.start()
        assert (await alice.refused()).startswith("403")
    finally:
        await alice.stop()
    assert registered(server) == []


async def test_linphone_with_a_wrong_password_is_refused(server: Server, place: Path) -> None:
    bob = Linphone(server, place, "bob", "tls", password="guessed")
    try:
        await bob.start()
        await bob.refused()
    finally:
        await bob.stop()
    assert registered(server) == []


async def test_a_wrong_password_and_an_unknown_user_look_the_same(server: Server) -> None:
    async with SipPhone(server, "alice", password="guessed") as alice, SipPhone(server, "nobody") as nobody:
        assert (await alice.register()).status == 403
        assert (await nobody.register()).status == 403


async def test_no_call_without_the_password(server: Server) -> None:
    async with SipPhone(server, "bob") as bob, SipPhone(server, "alice", password="guessed") as alice:
        await bob.register()
        call = await alice.invite(bob.uri)
        assert (await call.final()).status == 403
        assert not bob.has_got("INVITE")


async def test_a_stranger_cannot_call_in_the_name_of_a_user(server: Server) -> None:
    async with SipPhone(server, "bob") as bob, SipPhone(server, "mallory", domain="elsewhere.test") as mallory:
        await bob.register()
        call = await mallory.invite(bob.uri)
        assert (await call.final()).status == 403
        assert not bob.has_got("INVITE")


async def test_without_403_a_wrong_password_is_asked_for_again(place: Path) -> None:
    settings = {"module::Authentication": {"no-403": "true"}}
    server = Server(place / "house", settings, [("udp", "127.0.0.1")]).start()
    try:
        async with SipPhone(server, "alice", password="guessed") as alice:
            response = await alice.register()
            assert response.status == 401
            assert response.get(b"www-authenticate")
    finally:
        server.stop()


async def test_guesses_are_throttled_until_somebody_lifts_the_ban(strict_house: Server) -> None:
    async with SipPhone(strict_house, "alice", password="guessed") as guesser:
        for _ in range(3):
            assert (await guesser.register()).status == 403
        # Now the right password does not help any more...
        guesser.password = "alice-secret"
        response = await guesser.register()
        assert response.status == 403
        assert response.get(b"retry-after")
        # ... but another user of the same house is not locked out,
        async with SipPhone(strict_house, "bob") as bob:
            assert (await bob.register()).status == 200
        # and the operator sees the ban and can lift it.
        bans = json.loads(strict_house.cli("BANS"))
        assert any(f"alice@{DOMAIN}" in ban["key"] for ban in bans)
        for ban in bans:
            strict_house.cli(f"UNBAN '{ban['key']}'")
        assert (await guesser.register()).status == 200


async def test_a_new_password_works_without_a_restart(place: Path) -> None:
    server = Server(place / "house", transports=[("udp", "127.0.0.1")]).start()
    try:
        async with SipPhone(server, "grace") as grace:
            assert (await grace.register()).status == 403
            text = server.passwords.read_text()
            server.passwords.write_text(f"{text}grace@{DOMAIN} clrtxt:grace-secret ;\n")
            assert await server.reload() == []
            assert (await grace.register()).status == 200
    finally:
        server.stop()
