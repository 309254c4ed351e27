"""A SIP phone with real media: it says a tone, shows a moving picture, and decodes what it hears and sees."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from flexipy.sip.message import Message
from flexipy.sip.sdp import Media, Sdp
from tests.harness.rtp_end import AudioEnd, RtpEnd, VideoEnd
from tests.harness.server import DOMAIN, Server
from tests.harness.sip_phone import Dialog, Headers, Incoming, SipPhone, Transaction

_ITS_H264 = "packetization-mode=1;profile-level-id=42801f"
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
    ) -> None:
        super().__init__(server, user, transport, host, password, domain)
        self.audio = AudioEnd(tone)
        self.video = VideoEnd()
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
            number, parameters = (96, _ITS_H264) if offered is None else _h264(offered)
            self.video.payload_type = number
            lines = [
                f"m=video {self.video.port} RTP/AVP {number}",
                f"a=rtpmap:{number} H264/90000",
                f"a=fmtp:{number} {parameters}",
                f"a=rtcp-fb:{number} nack pli",
            ]
        else:
            return [f"m={kind} 0 RTP/AVP 0"]
        return [*lines, f"a={direction}"]

    def connect_media(self, message: Message) -> None:
        """Send to where a description in a message says."""
        sdp = Sdp.parse(message.body)
        for end, kind in ((self.audio, b"audio"), (self.video, b"video")):
            for media in sdp.media:
                if media.kind == kind and media.port and media.address and end in self.ends:
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


def _h264(media: Media) -> tuple[int, str]:
    """The payload type and the parameters of H.264; packetization mode 1 is preferred, as most phones do."""
    found = [
        (int(number), parameters.decode())
        for number, _, parameters in (value.partition(b" ") for value in media.attributes(b"fmtp"))
        if media.encoding(number).upper().startswith(b"H264")
    ]
    found.sort(key=lambda entry: "packetization-mode=1" not in entry[1])
    return found[0] if found else (_format(media, b"H264") or 96, "")
