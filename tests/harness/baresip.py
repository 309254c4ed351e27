"""baresip, driven over its control connection (ctrl_tcp: JSON in netstrings)."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.events import PATIENCE, Events, until
from tests.harness.programs import Program, need
from tests.harness.server import DOMAIN, Server, password_of
from tests.harness.tone import is_tone, write_tone

_MODULES = Path("/usr/lib/baresip/modules")
_LOADED = ("stdio", "g711", "opus", "aufile", "aubridge", "sndfile", "srtp", "dtls_srtp", "uuid")
_VIDEO = ("fakevideo", "avcodec", "vp8", "avfilter", "swscale", "snapshot")
_WANDERING = "scroll=horizontal=0.02"  # its camera shows a still picture, which a filter makes move
_APPLICATIONS = ("menu", "ctrl_tcp", "contact", "debug_cmd")
_BEGUN = 100  # attempts of 50 ms to reach the control connection
_PNG_END = b"IEND\xaeB`\x82"
_HALF_A_SECOND = 25  # packets
_ports = itertools.count()


class Baresip:
    """One running baresip with one account.

    Args:
        server: to register with.
        directory: for its files; a folder of its own is made there.
        user: an account of the server.
        transport: udp, tcp or tls.
        host: 127.0.0.1 or ::1, the server's address.
        tone: frequency in Hz of what it says.
        account: further account parameters, such as `answermode=auto`.
        password: another than the right one.
        domain: of the account.
        max_calls: with that many calls it is busy.
        friend: whom its texts go to.
        video: whether it shows a moving picture and can see.

    Attributes:
        events: of calls, as baresip tells them.
    """

    def __init__(
        self,
        server: Server,
        directory: Path,
        user: str,
        transport: str = "udp",
        host: str = "127.0.0.1",
        tone: int = 400,
        account: str = "",
        password: str | None = None,
        domain: str = DOMAIN,
        max_calls: int = 4,
        friend: str = "",
        video: bool = False,
    ) -> None:
        need("baresip")
        self.user = user
        self.tone = tone
        self.uri = f"sip:{user}@{domain}"
        self.directory = directory / f"baresip-{user}-{next(_ports)}"
        self.directory.mkdir(parents=True)
        self.events: Events[dict[str, Any]] = Events(f"baresip of {user}")
        self._replies: Events[dict[str, Any]] = Events(f"replies to {user}")
        self._tokens = itertools.count(1)
        self._server = server
        self._transport = transport
        self._host = host
        self._account = account
        self._max_calls = max_calls
        self._friend = friend
        self._video = video
        self._password = password_of(user) if password is None else password
        self._control_port = _free_port()
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.program: Program | None = None

    def _write_files(self) -> None:
        local = f"[{self._host}]" if ":" in self._host else self._host
        write_tone(self.directory / "tone.wav", self.tone)
        lines = [
            "poll_method epoll",
            f"sip_listen {local}:0",
            f"sip_cafile {self._server.authority.file}",
            "sip_verify_server yes",
            f"net_interface {self._host}",
            "rtp_ports 20000-29999",
            f"audio_source aufile,{self.directory}/tone.wav",
            f"audio_player aubridge,{self.user}",  # which nobody takes up; from 1.1 on a call needs one that works
            "audio_alert nil,",
            f"snd_path {self.directory}",
            "ausrc_srate 8000",
            "auplay_srate 8000",
            "ausrc_channels 1",
            "auplay_channels 1",
            f"call_max_calls {self._max_calls}",
            f"module_path {_MODULES}",
            *(f"module {name}.so" for name in ((*_LOADED, *_VIDEO) if self._video else _LOADED)),
            "module_tmp account.so",
            *(f"module_app {name}.so" for name in _APPLICATIONS),
            f"ctrl_tcp_listen 127.0.0.1:{self._control_port}",
        ]
        if self._video:
            lines += [
                "video_source fakevideo,nil",
                "video_display fakevideo,nil",
                "video_size 352x288",
                "video_bitrate 400000",
                "video_fps 15",
            ]
        (self.directory / "config").write_text("\n".join(lines) + "\n")
        account = (
            f"<{self.uri}>;auth_user={self.user};auth_pass={self._password}"
            f';outbound="{self._server.uri(self._transport, self._host)}"'
            f";regint=600;audio_codecs=pcma;dtmfmode=rtpevent"
        )
        (self.directory / "accounts").write_text(account + (f";{self._account}" if self._account else "") + "\n")
        contact = f'"Friend" <{self._friend}>\n' if self._friend else ""
        (self.directory / "contacts").write_text(contact)

    # --- life --------------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Start it and connect to its control port; it registers by itself meanwhile."""
        self._write_files()
        command = ["baresip", "-f", str(self.directory), *(["-6"] if ":" in self._host else [])]
        self.program = Program(f"baresip-{self.user}", command, self.directory)
        for _ in range(_BEGUN):
            try:
                reader, self._writer = await asyncio.open_connection("127.0.0.1", self._control_port)
                break
            except OSError:
                await asyncio.sleep(0.05)
        else:
            raise AssertionError(f"baresip of {self.user} does not open its control port")
        self._reader = asyncio.create_task(self._read(reader))
        if self._video:
            await self.command("avfilter", _WANDERING)
        return self

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                message = json.loads(await reader.readexactly(length))
                await reader.readexactly(1)
                (self.events if message.get("event") else self._replies).add(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    async def stop(self) -> None:
        """End it; it takes its registration back where it can."""
        if self._writer is not None:
            self._writer.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self.program is not None:
            await asyncio.to_thread(self.program.stop)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
            await self.registered()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def remote_control(self) -> str:
        """Where a bell's program reaches it."""
        return f"baresip:{self._control_port}"

    # --- what one does with a telephone ------------------------------------------------------------------

    async def command(self, name: str, parameters: str = "") -> str:
        """Give a command; the text it answers with."""
        assert self._writer is not None
        token = str(next(self._tokens))
        data = json.dumps({"command": name, "params": parameters, "token": token}).encode()
        self._writer.write(b"%d:%b," % (len(data), data))
        reply = await self._replies.take(lambda found: found.get("token") == token, f"reply to {name}")
        return str(reply.get("data") or "")

    async def registered(self) -> None:
        """Wait until the server has accepted its registration."""
        assert self.program is not None
        await self.program.prints(r"\{0/\S+\} 200 OK .*\[\d+ bindings?\]")

    async def refused(self) -> str:
        """Wait until the server has refused its registration; the status line."""
        assert self.program is not None
        return (await self.program.prints(r"reg: \S+(?: \(prio \d+\))?: ([4-6]\d\d [^(]*)"))[1].strip()

    async def dial(self, uri: str) -> None:
        """Call somebody."""
        await self.command("dial", uri)

    async def answer(self) -> None:
        """Take the call."""
        await self.command("accept")

    async def hang_up(self) -> None:
        """End the call."""
        await self.command("hangup")

    async def event(self, kind: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait for an event of a kind such as CALL_INCOMING; each counts once."""
        return await self.events.take(lambda event: event["type"] == kind, kind, timeout)

    def has_been(self, kind: str) -> bool:
        """Whether there was such an event at all."""
        return self.events.any(lambda event: event["type"] == kind)

    def forget(self, kind: str) -> None:
        """Pass over the events of that kind up to now."""
        self.events.drop(lambda event: event["type"] == kind)

    async def incoming(self) -> dict[str, Any]:
        """Wait until it rings."""
        return await self.event("CALL_INCOMING")

    async def established(self) -> None:
        """Wait until the call is answered."""
        await self.event("CALL_ESTABLISHED")

    async def closed(self) -> str:
        """Wait until the call is over; why, in baresip's words."""
        return str((await self.event("CALL_CLOSED")).get("param", ""))

    async def text(self, text: str) -> None:
        """Send a text to the friend."""
        await self.command("contact_next")
        await self.command("message", text)

    async def gets_text(self) -> tuple[str, str]:
        """Wait for a text; from whom it is, and what it says."""
        assert self.program is not None
        found = await self.program.prints(r'(sip:\S+): "(.*)"$')
        return found[1], found[2]

    def recordings(self) -> list[Path]:
        """What it heard, a file for each stream, the newest last."""
        found = self.directory.glob("dump-*-dec.wav")
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)

    async def hears(self, frequency: int) -> None:
        """Wait until the tone of another is in its ear."""

        def there() -> bool:
            return any(is_tone(path, frequency) for path in self.recordings())

        await until(there, f"{self.user} hears {frequency} Hz")

    async def sees(self) -> None:
        """Wait until it has decoded a picture of the other side, and then another one."""
        await self._picture(b"")
        before = await self._picture(b"")
        await self._picture(before)

    async def _picture(self, other_than: bytes) -> bytes:
        """What is on its screen, once it is something else; nothing is while nothing was decoded."""
        path = self.directory / f"seen-{next(self._tokens)}.png"

        def written() -> bool:
            return path.exists() and path.read_bytes().endswith(_PNG_END)

        deadline = asyncio.get_running_loop().time() + PATIENCE
        while asyncio.get_running_loop().time() < deadline:
            await self.command("snapshot_recv", str(path))
            await until(written, f"{self.user} sees a picture")
            if path.read_bytes() != other_than:
                return path.read_bytes()
            path.unlink()
        raise AssertionError(f"{self.user} sees nothing but a still picture")

    async def digit(self) -> str:
        """Wait for a key that the other side presses."""
        return str((await self.event("CALL_DTMF_START"))["param"])

    async def receives_audio(self) -> None:
        """Wait until more RTP comes in than has up to now.

        For calls that were on hold: baresip does not go on with its recording after that.
        """
        wanted = await self._packets() + _HALF_A_SECOND
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while await self._packets() < wanted:
            assert asyncio.get_running_loop().time() < deadline, f"no audio for {self.user}"
            await asyncio.sleep(0.05)

    async def _packets(self) -> int:
        found = re.search(r"rcvd=(\d+)", await self.command("audio_debug"))
        return int(found[1]) if found else 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
