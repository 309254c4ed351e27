"""A telephone whose app was ended is called: pushed, woken, rung, talked to. With what an operator sees of it.

The server and its configuration are real; Apple's push service is a stand-in on this machine that speaks its protocol.
All of it is on the loopback interface, with state in a directory that goes away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from tests.harness.fake_apns import FakeApns
from tests.harness.ladder import Arrow, Device, Ladder
from tests.harness.push_keys import signing_key
from tests.harness.server import DOMAIN, Server, python_path

COLUMNS = ("door", "house", "Apple", "phone")
TOKEN = "a1" * 32
PUSH = f"pn-provider=apns;pn-param=TEAM123456.org.house.voip&remote;pn-prid={TOKEN}:voip&{'b2' * 32}:remote"
CONTACT = f"sip:bob@192.0.2.7;{PUSH}"
INSTANCE = ';+sip.instance="<urn:uuid:7f0e6a52-0c1b-4d2e-8b1a-4b5ed1c0f0aa>"'


@contextlib.asynccontextmanager
async def house_with_push(folder: Path) -> AsyncIterator[tuple[Server, FakeApns]]:
    """A server whose keys Apple's stand-in knows."""
    late = {"module::Router": {"fork-late": "true"}, "global": {"log-level": "message"}}
    server = Server(folder / "house", late, [("udp", "127.0.0.1"), ("tcp", "127.0.0.1")])
    async with FakeApns(folder, server.authority) as apns:
        apns.trust("KEY1234567", "TEAM123456", signing_key(folder / "keys"))
        settings = {
            "enabled": "true",
            "apple-certificate-dir": str(folder / "keys"),
            "apns-server": apns.address,
            "push-ca-file": str(server.authority.file),
        }
        server.write_configuration({"module::PushNotification": settings})
        await asyncio.to_thread(server.start)
        try:
            yield server, apns
        finally:
            await asyncio.to_thread(server.stop)


def phone(ladder: Ladder, server: Server) -> Device:
    """The app, started: the same device each time, at another port."""
    return Device(ladder, "phone", server, "bob", "tcp", 700)


async def registers(device: Device) -> None:
    """It tells where it is, and how it can be woken."""
    device.contact += f";{PUSH}"
    await device.register(parameters=INSTANCE)


async def play(server: Server, apns: FakeApns) -> str:
    """The scene; the drawing of it."""
    ladder = Ladder(COLUMNS, hidden=())
    door = Device(ladder, "door", server, "door", "udp", 500)
    async with door:
        async with phone(ladder, server) as asleep:
            await registers(asleep)
        ladder.say("the system ends the app")
        call = await door.call(f"sip:bob@{DOMAIN}")
        push = await apns.pushed("call")
        ladder.arrows.append(Arrow("house", "Apple", f"POST {push.headers['apns-push-type']}"))
        await call.response(110)
        ladder.arrows.append(Arrow("Apple", "phone", "push"))
        async with phone(ladder, server) as awake:
            await registers(awake)
            ringing = await awake.incoming("INVITE")
            ringing.answer(180)
            await call.response(180)
            talk = awake.take(ringing)
            await door.talk(call)
            await asyncio.gather(door.audio.hears(700), awake.audio.hears(500))
            ladder.say("door and phone hear each other")
            bye = asyncio.create_task(talk.bye())
            (await door.incoming("BYE")).answer(200)
            await bye
    return ladder.draw()


async def look(server: Server, apns: FakeApns) -> None:
    """What an operator can ask, and what is said."""
    ask = partial(_shown, server)
    await ask("flexipy-cli", "--table", "PUSH_TEST", f"sip:bob@{DOMAIN}")
    await ask("flexipy", "pusher", "-c", "flexipy.conf", "--contact", CONTACT)
    apns.next_answers.append((400, "BadDeviceToken"))
    await ask("flexipy", "pusher", "-c", "flexipy.conf", "--contact", CONTACT, "--kind", "alert")
    apns.answers[TOKEN] = (410, "Unregistered")
    await ask("flexipy", "pusher", "-c", "flexipy.conf", "--contact", CONTACT)
    await ask("flexipy", "pusher", "-c", "flexipy.conf", "--pn-provider", "fcm", "--pn-param", "p", "--pn-prid", "x")
    await apns.stop()
    await ask("flexipy", "pusher", "-c", "flexipy.conf", "--contact", CONTACT)
    await apns.start()


async def _shown(server: Server, program: str, *words: str) -> None:
    if program == "flexipy-cli":
        command = ("flexipy.cli.control", "--socket", str(server.directory / "control"), *words)
    else:
        command = ("flexipy.cli.main", *words)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *command,
        cwd=server.directory,
        env={**os.environ, "PYTHONPATH": python_path()},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    print("\n$", program, shlex.join(words).replace(TOKEN, "a1a1...").replace("b2" * 32, "b2b2..."), flush=True)
    print(said.decode().rstrip(), flush=True)


async def main() -> None:
    """Play it, print the drawing, the server's words about it, and the operator's questions."""
    with tempfile.TemporaryDirectory() as folder:
        async with house_with_push(Path(folder)) as (server, apns):
            print(await play(server, apns))
            assert server.program is not None
            print("\nthe server's log:")
            for line in server.program.output.seen:
                if "PushNotification" in line:
                    print(line.partition(" ")[2].replace(folder, ""))
            await look(server, apns)


if __name__ == "__main__":
    asyncio.run(main())
