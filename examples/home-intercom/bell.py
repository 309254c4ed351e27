#!/usr/bin/env python3
"""The bell of the door: when somebody presses the button, the telephone of this machine calls everyone.

    bell.py --gpio 4 --phone linphone:/tmp/door --call sip:everyone@myhouse
    bell.py --file /run/bell --phone baresip:4444 --call sip:everyone@myhouse

A press is read from a GPIO pin by gpiozero (apt install python3-gpiozero); without one from the keyboard, or from a
file that somebody touches. Whoever speaks with the door opens it by a digit, where --digit and --open say so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

PAUSE = 3.0
"""Seconds in which further presses count as the same one."""
_POLL = 0.2  # seconds


class Linphone:
    """linphone-daemon, by the Unix socket that it opens with `--pipe`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._asking = asyncio.Lock()
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, uri: str) -> None:
        """Call somebody."""
        await self._ask(f"call {uri} --early-media")

    async def digits(self) -> AsyncIterator[str]:
        """Keys that the other side presses."""
        while True:
            event = await self._ask("pop-event")
            for line in event.splitlines():
                if line.startswith("Tone:"):
                    yield line.partition(":")[2].strip()
            if "Event-type" not in event:
                await asyncio.sleep(_POLL)

    async def _ask(self, command: str) -> str:
        async with self._asking:
            if self._connection is None:  # kept: what happens while nobody is connected is told to nobody
                self._connection = await asyncio.open_unix_connection(self._path)
            reader, writer = self._connection
            try:
                writer.write(command.encode() + b"\n")
                answer = await reader.read(65536)
            except OSError:
                answer = b""
            if not answer:
                self._connection = None
                raise ConnectionError("it has gone")
        return answer.decode("utf-8", "replace")


class Baresip:
    """baresip, by the port of its module ctrl_tcp: JSON in netstrings."""

    def __init__(self, port: str) -> None:
        self._port = int(port)
        self._connecting = asyncio.Lock()
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, uri: str) -> None:
        """Call somebody."""
        _, writer = await self._connected()
        data = json.dumps({"command": "dial", "params": uri}).encode()
        writer.write(b"%d:%b," % (len(data), data))
        await writer.drain()

    async def digits(self) -> AsyncIterator[str]:
        """Keys that the other side presses."""
        reader, _ = await self._connected()
        try:
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                message = json.loads(await reader.readexactly(length))
                await reader.readexactly(1)
                if message.get("type") == "CALL_DTMF_START":
                    yield str(message.get("param", ""))
        finally:
            self._connection = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with self._connecting:
            if self._connection is None:  # baresip keeps up one only, the newest
                self._connection = await asyncio.open_connection("127.0.0.1", self._port)
            return self._connection


def watch_pin(pin: int, pressed: Callable[[], object]) -> object:
    """Have a GPIO pin, pulled up and pulled down by the button, report presses; keep what is returned."""
    from gpiozero import Button

    loop = asyncio.get_running_loop()
    button = Button(pin, pull_up=True, bounce_time=0.05)
    button.when_pressed = lambda: loop.call_soon_threadsafe(pressed)
    return button


def watch_keyboard(pressed: Callable[[], object]) -> None:
    """Have each Enter count as a press."""

    def read() -> None:
        if sys.stdin.readline():
            pressed()
        else:
            loop.remove_reader(sys.stdin)

    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, read)


async def watch_file(path: Path, before: int, pressed: Callable[[], object]) -> None:
    """Have each touch of a file count as a press."""
    while True:
        now = _time_of(path)
        if now != before:
            before = now
            pressed()
        await asyncio.sleep(_POLL)


def _time_of(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0


async def ring(phone: Linphone | Baresip, uri: str, presses: asyncio.Event) -> None:
    """Call at each press, but not again at once."""
    while True:
        await presses.wait()
        print(f"calling {uri}", flush=True)
        try:
            await phone.call(uri)
        except OSError as error:
            print(f"the telephone does not answer: {error}", file=sys.stderr, flush=True)
        await asyncio.sleep(PAUSE)
        presses.clear()


async def open_on(digit: str, command: str, phone: Linphone | Baresip) -> None:
    """Run a command when the other side presses a key."""
    while True:
        try:
            async for pressed in phone.digits():
                if pressed == digit:
                    print("opening", flush=True)
                    await (await asyncio.create_subprocess_exec(*shlex.split(command))).wait()
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(PAUSE)  # the telephone is not there yet, or has gone


async def main() -> None:
    """Wait for presses."""
    parser = argparse.ArgumentParser(description="Calls somebody when the bell rings.")
    parser.add_argument("--phone", required=True, help="linphone:/tmp/NAME or baresip:PORT")
    parser.add_argument("--call", required=True, help="whom, such as sip:everyone@myhouse")
    parser.add_argument("--gpio", type=int, help="number of the pin (BCM)")
    parser.add_argument("--file", type=Path, help="a file that is touched for a press")
    parser.add_argument("--digit", default="5", help="the key that opens the door")
    parser.add_argument("--open", help="the command that opens it")
    options = parser.parse_args()
    kind, _, place = options.phone.partition(":")
    phone = Linphone(place) if kind == "linphone" else Baresip(place)
    presses = asyncio.Event()
    work = [ring(phone, options.call, presses)]
    if options.open:
        work.append(open_on(options.digit, options.open, phone))
    button = None
    if options.gpio is not None:
        try:
            button = watch_pin(options.gpio, presses.set)
        except Exception as error:  # no gpiozero, no pin factory, no such pin
            print(f"no GPIO ({error}): press Enter, or touch the file of --file", file=sys.stderr)
    if options.file is not None:
        work.append(watch_file(options.file, _time_of(options.file), presses.set))
    elif button is None:
        watch_keyboard(presses.set)
    print("ready", flush=True)
    await asyncio.gather(*work)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
