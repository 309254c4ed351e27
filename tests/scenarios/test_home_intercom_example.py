"""The example of a house with a door: its configuration starts, its bell calls, its module opens the door."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.harness.baresip import Baresip
from tests.harness.events import until
from tests.harness.linphone import Linphone
from tests.harness.programs import Program, need
from tests.harness.rtp_phone import RtpPhone
from tests.harness.server import DOMAIN, Server, password_file, python_path
from tests.harness.sip_phone import Dialog, SipPhone

EXAMPLE = Path(__file__).parents[2] / "examples" / "home-intercom"
_EVERYONE = f"sip:everyone@{DOMAIN}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the set-up makes."""
    folder = tmp_path_factory.mktemp("set-up")
    flexipy = folder / "flexipy"
    flexipy.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m flexipy.cli.main "$@"\n')
    flexipy.chmod(0o755)
    command = ["sh", str(EXAMPLE / "set-up.sh"), "house.test", str(folder / "house"), str(flexipy)]
    environment = {**os.environ, "PYTHONPATH": python_path()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "flexisip.conf: OK" in done.stdout
    return folder / "house"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module installed."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(["cp", "-r", str(EXAMPLE / "door-opener"), str(folder / "source")], check=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder / "installed")]
    subprocess.run([*command, str(folder / "source")], check=True, timeout=120)
    return folder / "installed"


def passwords(made: Path) -> dict[str, str]:
    """Of each user that the set-up made."""
    lines = (made / "first-passwords.txt").read_text().splitlines()
    return {line.partition("@")[0]: line.split()[1] for line in lines}


class Relay(ThreadingHTTPServer):
    """What switches the door's lock, reached by HTTP.

    Attributes:
        asked: the paths that were fetched.
        status: what it answers.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Switch)
        self.asked: list[str] = []
        self.status = 200


class _Switch(BaseHTTPRequestHandler):
    server: Relay

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def relay() -> Iterator[Relay]:
    """The lock's switch."""
    relay = Relay()
    thread = threading.Thread(target=relay.serve_forever, args=(0.05,))
    thread.start()
    yield relay
    relay.shutdown()
    thread.join()
    relay.server_close()


@pytest.fixture
def house(made: Path, site: Path, place: Path, relay: Relay, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with the example's accounts, routes and rules; eve has an account, too."""
    opened = place / "opened"
    passwords = place / "passwd"
    passwords.write_text((made / "passwd").read_text() + password_file(["eve"], [DOMAIN]).partition("\n")[2])
    how = {"command": f"touch {opened}"}
    if getattr(request, "param", "") == "http":
        how = {"url": f"http://127.0.0.1:{relay.server_port}/relay/0?turn=on"}
    settings = {
        "module::Authentication": {"file-path": str(passwords)},
        "module::Authorization": {"enabled": "true", "auth-domains": DOMAIN, "rules-file": str(made / "rules.conf")},
        "module::Registrar": {"static-records-file": str(made / "routes.conf")},
        "module::DoorOpener": {
            "enabled": "true",
            "door": f"sip:door@{DOMAIN}",
            "users": f"sip:alice@{DOMAIN}",
            **how,
        },
    }
    server = Server(place / "house", settings, [("udp", "127.0.0.1")])
    server.packages.append(site)
    yield server.start()
    server.stop()


def phone(house: Server, made: Path, user: str) -> SipPhone:
    """A telephone with the password that the set-up made."""
    return SipPhone(house, user, password=passwords(made)[user])


async def test_who_may_opens_the_door_by_a_message(house: Server, made: Path, place: Path) -> None:
    door = f"sip:door@{DOMAIN}"
    async with phone(house, made, "alice") as alice, phone(house, made, "bob") as bob:
        refused = await bob.message(door, "open")
        assert (refused.status, refused.reason) == (403, b"Not yours to open")
        assert not (place / "opened").exists()
        assert (await alice.message(door, "Open")).status == 200
        assert (place / "opened").exists()


@pytest.mark.parametrize("house", ["http"], indirect=True)
async def test_a_switch_is_told_by_http_and_may_fail(house: Server, made: Path, relay: Relay) -> None:
    door = f"sip:door@{DOMAIN}"
    async with phone(house, made, "alice") as alice, phone(house, made, "bob") as bob:
        assert (await bob.message(door, "open")).status == 403
        assert not relay.asked
        assert (await alice.message(door, "open")).status == 200
        assert relay.asked == ["/relay/0?turn=on"]
        relay.status = 503
        stuck = await alice.message(door, "open")
        assert (stuck.status, stuck.reason) == (500, b"The door is stuck")
        relay.shutdown()
        relay.server_close()
        assert (await alice.message(door, "open")).status == 500


async def test_what_belongs_to_a_permitted_call_passes_and_a_strangers_does_not(house: Server, made: Path) -> None:
    async with phone(house, made, "alice") as alice, phone(house, made, "door") as door, SipPhone(house, "eve") as eve:
        await door.register()
        await alice.register()
        call = await alice.invite(door.uri)
        doors = (await door.incoming("INVITE")).answer(200)
        alices = await alice.connected(call)
        await door.incoming("ACK")
        assert doors is not None
        for dialog, other in ((alices, door), (doors, alice)):
            info = asyncio.create_task(dialog.request("INFO"))
            (await other.incoming("INFO")).answer(200)
            assert (await info).status == 200

        # Eve knows the Call-ID and both tags, but the call is not hers, whatever she says who she is.
        own = alices.local.replace("alice", "eve")
        for sender in (own, alices.local):
            forged = Dialog(eve, sender, alices.remote, alices.target, alices.routes, alices.call_id)
            for method in ("INFO", "INVITE"):
                assert (await forged.request(method)).status == 403
        bye = asyncio.create_task(alices.bye())
        (await door.incoming("BYE")).answer(200)
        assert (await bye).status == 200


async def test_only_the_family_calls_the_door(house: Server, made: Path) -> None:
    async with phone(house, made, "alice") as alice, phone(house, made, "door") as door:
        await door.register()
        call = await alice.invite(door.uri)
        (await door.incoming("INVITE")).answer(486)
        assert (await call.final()).status == 486
        assert (await (await door.invite(door.uri)).final()).status == 403


@pytest.mark.parametrize("kind", ["baresip", "linphone"])
async def test_the_bell_has_the_telephone_of_the_door_call_everyone(
    house: Server, made: Path, place: Path, kind: str
) -> None:
    door = (Baresip if kind == "baresip" else Linphone)(house, place, "door", password=passwords(made)["door"])
    screen = RtpPhone(house, "screen", password=passwords(made)["screen"], video=False)
    async with door, screen:
        await screen.register()
        if isinstance(door, Linphone):
            await door.let_go()
        button, opened = place / "button", place / "opened"
        options = ["--phone", door.remote_control, "--call", _EVERYONE, "--file", str(button)]
        options += ["--digit", "5", "--open", f"touch {opened}"]
        bell = Program("bell", [sys.executable, str(EXAMPLE / "bell.py"), *options], place)
        try:
            await bell.prints("^ready$")
            button.touch()
            ringing = await screen.incoming("INVITE")
            assert b"everyone" in ringing.request.require(b"to")
            talk = screen.take(ringing)
            await screen.incoming("ACK")
            if isinstance(door, Baresip):  # linphone sends nothing without a microphone
                await screen.audio.hears(door.tone)
            screen.audio.press("5")
            await bell.prints("^opening$")
            await until(opened.exists, "the door is open")
            assert (await talk.bye()).status == 200
        finally:
            await asyncio.to_thread(bell.stop)


async def test_the_telephone_of_the_door_listens_where_the_bell_looks_for_it(place: Path) -> None:
    need("linphone-daemon")
    unit = (EXAMPLE / "door-phone.service").read_text().splitlines()
    directory = next((line for line in unit if line.startswith("WorkingDirectory=")), "=/").partition("=")[2]
    words = shlex.split(next(line for line in unit if line.startswith("ExecStart=")).partition("=")[2])
    own = f"{words[words.index('--pipe') + 1]}-{uuid.uuid4().hex[:12]}"  # other doors may be on this machine
    (place / ".local/share/linphone").mkdir(parents=True)
    (place / "rc").write_text("[sip]\nsip_port=-1\nsip_tcp_port=-1\nsip_tls_port=-1\n")
    command = ["linphone-daemon", "--config", str(place / "rc"), "--pipe", own]
    daemon = Program("linphone-daemon", command, Path(directory), {"HOME": str(place)})
    try:
        await until((Path("/tmp") / own).is_socket, f"/tmp/{own} is there")
    finally:
        await asyncio.to_thread(daemon.stop)
        (Path("/tmp") / own).unlink(missing_ok=True)
