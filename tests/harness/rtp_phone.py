"""A SIP phone with real media: it says a tone, shows a moving picture, and decodes what it hears and sees."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from flexipy.sip.message import Message
from flexipy.sip.sdp import Media, Sdp
from tests.harness.rtp_end import AudioEnd, RtpEnd, VideoEnd, mode_of
from tests.harness.server import DOMAIN, Server
from tests.harness.sip_phone import Dialog, Headers, Incoming, SipPhone, Transaction

_ITS_H264 = "packetization-mode={};profile-level-id=42801f"
_SDP_TYPE = ("Content-Type", "application/sdp")


class RtpPhone(SipPhone):
    """A phone with one wire to the server and two ports each for audio and video.

    Args:
        server: to reach.
        user: an account of it.
        transport: udp, tcp, tls, ws or wss.
        host: 127.0.0.1 or ::1.
        domain: of the account.
        tone: in Hz, what it says.
        video: whether it has a camera and a screen.
        password: another than that of the tests' accounts.
        modes: packetization modes of H.264 that it knows, the one it likes most first; an offer has a form for each.
            Without any it offers mode 1 and takes whatever it is offered.

    Attributes:
        audio: its ear and mouth.
        video: its eye and screen.
    """

    def __init__(
        self,
        server: Server,
        user: str,
        transport: str = "udp",
        host: str = "127.0.0.1",
        domain: str = DOMAIN,
        tone: int = 900,
        video: bool = True,
        password: str | None = None,
        modes: Sequence[int] = (),
    ) -> None:
        super().__init__(server, user, transport, host, password, domain)
        self.audio = AudioEnd(tone)
        self.video = VideoEnd()
        self._modes = modes
        self._with_video = video
        self._version = 0

    @property
    def ends(self) -> tuple[RtpEnd, ...]:
        """Of its streams."""
        return (self.audio, self.video) if self._with_video else (self.audio,)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        for end in self.ends:
            await end.open(self.host)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in self.ends:
            await end.close()
        await super().__aexit__(kind, error, trace)

    # --- descriptions ------------------------------------------------------------------------------------

    def description(self, offer: Sdp | None = None, direction: str = "sendrecv") -> bytes:
        """What it says of its media: an offer, or the answer to one."""
        self._version += 1
        family = "IP6" if ":" in self.host else "IP4"
        lines = [
            "v=0",
            f"o={self.user} 1 {self._version} IN {family} {self.host}",
            "s=-",
            f"c=IN {family} {self.host}",
            "t=0 0",
        ]
        for media in offer.media if offer is not None else ():
            lines += self._section(media.kind.decode(), media, direction)
        if offer is None:
            lines += self._section("audio", None, direction)
            lines += self._section("video", None, direction) if self._with_video else []
        return ("\r\n".join(lines) + "\r\n").encode()

    def _section(self, kind: str, offered: Media | None, direction: str) -> list[str]:
        if kind == "audio":
            digits = str(self.audio.digit_type if offered is None else _format(offered, b"telephone-event") or 101)
            self.audio.digit_type = int(digits)
            lines = [f"m=audio {self.audio.port} RTP/AVP 8 {digits}", f"a=rtpmap:{digits} telephone-event/8000"]
        elif kind == "video" and self._with_video and (offered is None or offered.port):
            forms = self._forms(offered)
            if not forms:
                return ["m=video 0 RTP/AVP 96"]
            self.video.agree(forms)
            lines = [f"m=video {self.video.port} RTP/AVP {' '.join(str(number) for number in forms)}"]
            for number, parameters in forms.items():
                lines += [f"a=rtpmap:{number} H264/90000", f"a=fmtp:{number} {parameters}"]
                lines += [f"a=rtcp-fb:{number} nack pli"]
        else:
            return [f"m={kind} 0 RTP/AVP 0"]
        return [*lines, f"a={direction}"]

    def _forms(self, offered: Media | None) -> dict[int, str]:
        """H.264 as it offers it, or the form in which it takes it; none where it knows none of those on offer."""
        if offered is None:
            return {96 + place: _ITS_H264.format(mode) for place, mode in enumerate(self._modes or (1,))}
        found = _h264(offered)
        if not self._modes:
            return dict(found[:1] or [(_format(offered, b"H264") or 96, "")])
        liked = [form for mode in self._modes for form in found if mode_of(form[1]) == mode]
        return dict(liked[:1])

    def connect_media(self, message: Message) -> None:
        """Send to where a description in a message says."""
        sdp = Sdp.parse(message.body)
        for end, kind in ((self.audio, b"audio"), (self.video, b"video")):
            for media in sdp.media:
                if media.kind == kind and media.port and media.address and end in self.ends:
                    if kind == b"video" and self._modes:
                        self.video.send_as(_h264(media, in_order=True))
                    end.send_to((media.address, media.port))

    # --- what one does with a telephone ------------------------------------------------------------------

    def show_early(self, ringing: Incoming, talk: bool = True) -> None:
        """Ring with 183 and a description: what the caller sends is seen and heard from now on.

        Args:
            ringing: the INVITE that came.
            talk: whether its own tone and picture are sent too.
        """
        ringing.answer(183, body=self.description(Sdp.parse(ringing.request.body)))
        if talk:
            self.connect_media(ringing.request)

    def take(self, ringing: Incoming, body: bytes = b"") -> Dialog:
        """Answer a call; `body` where it shall be another description than a fitting one."""
        answer = body or self.description(Sdp.parse(ringing.request.body) if ringing.request.body else None)
        dialog = ringing.answer(200, body=answer)
        assert dialog is not None
        if ringing.request.body:
            self.connect_media(ringing.request)
        return dialog

    async def call(self, uri: str, headers: Headers = ()) -> Transaction:
        """Begin a call with sound and picture."""
        return await self.ask("INVITE", uri, (_SDP_TYPE, *headers), self.description())

    async def talk(self, call: Transaction) -> Dialog:
        """Wait until a call that it made is answered, acknowledge, and send to who answered."""
        dialog = await self.connected(call)
        self.connect_media(await call.final())
        return dialog


def _format(media: Media, encoding: bytes) -> int | None:
    """The payload type under which an encoding is offered."""
    for number in media.formats:
        if media.encoding(number).upper().startswith(encoding.upper()):
            return int(number)
    return None


def _h264(media: Media, in_order: bool = False) -> list[tuple[int, str]]:
    """Payload types and parameters of H.264; packetization mode 1 is preferred, as most phones do."""
    parameters = {
        number: text.decode() for number, _, text in (line.partition(b" ") for line in media.attributes(b"fmtp"))
    }
    encodings = ((number, media.encoding(number)) for number in media.formats)
    found = [
        (int(number), parameters.get(number, "")) for number, name in encodings if name.upper().startswith(b"H264")
    ]
    if not in_order:
        found.sort(key=lambda form: mode_of(form[1]) != 1)
    return found
