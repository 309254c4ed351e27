"""Draws the messages that telephones send and get, as a ladder: for the demos."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from flexipy.sip.message import Message, Response
from flexipy.sip.parsing import parse
from tests.harness.rtp_phone import RtpPhone
from tests.harness.server import Server


@dataclass
class Arrow:
    """A message on its way."""

    source: str
    target: str
    text: str


class Ladder:
    """Collects what the telephones send and receive, in order.

    Args:
        columns: who takes part, from left to right.
        width: of a column.
        peers: for each server another one that its calls may pass.
        hidden: methods that are not drawn.
    """

    def __init__(
        self,
        columns: Sequence[str],
        width: int = 16,
        peers: Mapping[str, str] | None = None,
        hidden: Collection[str] = ("REGISTER",),
    ) -> None:
        self.arrows: list[Arrow | str] = []
        self._columns = tuple(columns)
        self._width = width
        self._peers = peers or {}
        self._hidden = hidden

    def note(self, phone: str, server: str, data: bytes, sent: bool) -> None:
        """A telephone sent or received a message."""
        message = parse(data)
        text = label(message)
        if message.cseq.method in self._hidden or text == "100":
            return
        own = Arrow(phone, server, text) if sent else Arrow(server, phone, text)
        self.arrows.append(own)
        # Between the servers nobody listens; the Vias of a message tell that it passed, or will pass, from one to the
        # other: they are those of the caller and of two servers.
        other = self._peers.get(server, "")
        if other and len(message.get_all(b"via")) > 2:
            place = len(self.arrows) if sent else len(self.arrows) - 1
            self.arrows.insert(place, Arrow(server, other, text) if sent else Arrow(other, server, text))

    def say(self, text: str) -> None:
        """Something that is no message."""
        self.arrows.append(text)

    def draw(self) -> str:
        """The ladder as text."""
        middle = [self._width // 2 + index * self._width for index in range(len(self._columns))]
        lines = ["".join(name.center(self._width) for name in self._columns).rstrip()]
        rest = bars(middle)
        for arrow in self.arrows:
            if isinstance(arrow, str):
                lines.append(over(rest, f" {arrow} ", middle[0] + 2))
                continue
            start, end = (middle[self._columns.index(name)] for name in (arrow.source, arrow.target))
            left, right = min(start, end), max(start, end)
            head = (">", "") if end > start else ("", "<")
            shaft = "-" * (right - left - 2)
            lines.append(over(over(rest, head[1] + shaft + head[0], left + 1), arrow.text, left + 3))
        return "\n".join(line.rstrip() for line in lines)


def label(message: Message) -> str:
    """A message in a word or two."""
    if isinstance(message, Response):
        sdp = " sdp" if message.body else ""
        return f"{message.status}{sdp}"
    method = bytes(message).partition(b" ")[0].decode()
    return f"{method} sdp" if message.body and method == "INVITE" else method


def bars(places: list[int]) -> str:
    """A line of the ladder with nothing on it."""
    return "".join("|" if index in places else " " for index in range(places[-1] + 1))


def over(line: str, text: str, at: int) -> str:
    """A line with a text written over it."""
    return line[:at].ljust(at) + text + line[at + len(text) :]


class Device(RtpPhone):
    """A telephone whose messages are drawn."""

    def __init__(
        self, ladder: Ladder, name: str, server: Server, user: str, transport: str, tone: int, place: str = "house"
    ) -> None:
        super().__init__(server, user, transport, domain=server.domain, tone=tone)
        self.name = name
        self._ladder = ladder
        self._place = place

    async def connect(self) -> None:
        """Open the wire and listen in on what is sent."""
        await super().connect()
        send = self.wire.send

        def listened(data: bytes) -> None:
            self._ladder.note(self.name, self._place, data, sent=True)
            send(data)

        self.wire.send = listened  # type: ignore[method-assign]

    def _receive(self, data: bytes) -> None:
        self._ladder.note(self.name, self._place, data, sent=False)
        super()._receive(data)
