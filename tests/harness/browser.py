"""Chromium with telephones in its pages, driven by a program for node (tests/scenarios/browser/driver.js)."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import json
import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.events import PATIENCE, Events
from tests.harness.programs import Program, missing, need
from tests.harness.server import DOMAIN, Server, password_of

FOLDER = Path(__file__).resolve().parents[1] / "scenarios" / "browser"
KINDS = ("jssip", "sipjs")
_INSTALLED = FOLDER / "node_modules" / ".package-lock.json"
_STARTS = 30.0  # seconds that Chromium may take to come up
_SOME = 20  # packets
_numbers = itertools.count(1)


def install() -> None:
    """Fetch the libraries that the lock file names, the first time, and bundle the pages."""
    npm = need("npm")
    with (FOLDER / "package.json").open() as own, (FOLDER / "package-lock.json").open() as lock:
        fcntl.flock(own, fcntl.LOCK_EX)
        if not _INSTALLED.exists() or _INSTALLED.stat().st_mtime < Path(lock.name).stat().st_mtime:
            _run(npm, "ci", "--no-audit", "--no-fund")
            _INSTALLED.touch()
        pages = (f"phone_{kind}.js" for kind in KINDS)
        bundled = "--bundle", "--log-level=error", "--outdir=.", "--out-extension:.js=.bundle.js"
        _run(str(FOLDER / "node_modules/.bin/esbuild"), *pages, *bundled)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        missing(f"{' '.join(command[:2])}: {done.stderr[-2000:]}")


class Browser:
    """One running Chromium."""

    def __init__(self) -> None:
        node, chromium = need("node"), need("chromium")
        install()
        self.program = Program("browser", [node, "driver.js", chromium], FOLDER)
        try:
            self.program.prints_now(r'^\{"event":"ready"\}$', _STARTS)
        except AssertionError:
            self.program.stop()
            raise

    def send(self, command: dict[str, Any]) -> None:
        """Give the driver a command."""
        assert self.program.process.stdin is not None
        self.program.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.program.process.stdin.flush()

    def stop(self) -> None:
        """Close it with everything in it."""
        assert self.program.process.stdin is not None
        self.program.process.stdin.close()
        try:
            self.program.finish()
        except subprocess.TimeoutExpired:
            self.program.stop()


class BrowserPhone:
    """A telephone in a page of its own.

    Args:
        browser: to open the page in.
        server: to register with.
        user: an account of the server.
        kind: jssip or sipjs.
        transport: ws or wss.
        password: another than the right one.

    Attributes:
        uri: of the account.
    """

    def __init__(
        self,
        browser: Browser,
        server: Server,
        user: str,
        kind: str,
        transport: str = "ws",
        password: str | None = None,
    ) -> None:
        self.user = user
        self.uri = f"sip:{user}@{DOMAIN}"
        self._browser = browser
        self._name = f"{kind}-{user}-{next(_numbers)}"
        self._kind = kind
        self._account = {
            "server": f"{transport}://localhost:{server.port(transport)}",
            "uri": self.uri,
            "password": password_of(user) if password is None else password,
        }

    async def start(self) -> Self:
        """Open the page; it registers by itself meanwhile."""
        await self.command("open", kind=self._kind)
        await self.event("loaded")
        await self.command("start", argument=self._account)
        return self

    async def stop(self) -> None:
        """Close the page; its registration goes with the connection."""
        await self.command("close")

    async def __aenter__(self) -> Self:
        try:
            await self.start()
            await self.event("registered")
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def _lines(self) -> Events[str]:
        return self._browser.program.output

    async def command(self, name: str, **details: Any) -> Any:
        """Have the driver, or a function of the page, do something; what that gives."""
        number = next(_numbers)
        self._browser.send({"number": number, "page": self._name, "do": name, **details})
        start = f'{{"answer":{number},'
        answer = json.loads(await self._lines.take(lambda line: line.startswith(start), f"answer to {name}"))
        assert "error" not in answer, f"{self._name} {name}: {answer['error']}"
        return answer["result"]

    async def event(self, kind: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait for something that the page tells; each counts once."""
        start = f'{{"page":"{self._name}","event":"{kind}"'
        line = await self._lines.take(lambda line: line.startswith(start), f"{kind} in {self._name}", timeout)
        return dict(json.loads(line))

    def has_told(self, kind: str) -> bool:
        """Whether the page has told of such a thing at all."""
        return self._browser.program.has_printed(re.escape(f'{{"page":"{self._name}","event":"{kind}"'))

    # --- what one does with a telephone ------------------------------------------------------------------

    async def call(self, uri: str) -> None:
        """Call somebody."""
        await self.command("call", argument=uri)

    async def answer(self) -> None:
        """Take the call."""
        await self.command("answer")

    async def hang_up(self) -> None:
        """End the call, or refuse it."""
        await self.command("hangUp")

    async def message(self, uri: str, text: str) -> int:
        """Send a text; the status of the answer."""
        await self.command("message", argument={"uri": uri, "text": text})
        return int((await self.event("sent"))["status"])

    async def receives(self, *kinds: str) -> None:
        """Wait until media of those kinds (audio, video) come in, packet after packet."""
        before = await self.command("media")
        wanted = {kind: before.get(kind, {"packets": 0})["packets"] + _SOME for kind in kinds}
        deadline = asyncio.get_running_loop().time() + PATIENCE
        now = before
        while any(now.get(kind, {"packets": 0})["packets"] < least for kind, least in wanted.items()):
            assert asyncio.get_running_loop().time() < deadline, f"{self._name} receives {before}, later {now}"
            await asyncio.sleep(0.1)
            now = await self.command("media")
        assert all(now[kind]["bytes"] > before.get(kind, {"bytes": 0})["bytes"] for kind in kinds)
