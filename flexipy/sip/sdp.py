"""Session descriptions: read, and edited line by line (RFC 8866; offer and answer: RFC 3264).

A description is its lines as they came. What is asked for is looked up in them, what is changed replaces a line, and
everything else leaves byte for byte, line ends included.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from itertools import pairwise
from typing import Final

from flexipy.sip.errors import SipError

MAX_LINES: Final = 4096
_DIRECTIONS: Final = (b"sendrecv", b"sendonly", b"recvonly", b"inactive")
_UNSPECIFIED: Final = frozenset((b"0.0.0.0", b"::"))


class SdpError(SipError):
    """A session description that breaks its grammar; 400 unless said otherwise."""


@dataclass(slots=True, frozen=True)
class Candidate:
    """An ICE candidate (RFC 8839 section 5.1).

    Attributes:
        component: 1 for RTP, 2 for RTCP.
        transport: upper case, `UDP` or `TCP`.
        address: numeric, or a name (RFC 8839: mDNS names of browsers).
        kind: `host`, `srflx`, `prflx` or `relay`.
    """

    foundation: str
    component: int
    transport: str
    priority: int
    address: str
    port: int
    kind: str

    @staticmethod
    def parse(value: bytes) -> Candidate | None:
        """What stands behind `a=candidate:`; None where it can't be read, which is for the other side to mind."""
        fields = value.decode("utf-8", "replace").split()
        if len(fields) < 8 or fields[6].lower() != "typ":
            return None
        component, priority, port = decimal(fields[1]), decimal(fields[3]), decimal(fields[5], 65535)
        if component is None or priority is None or port is None:
            return None
        return Candidate(fields[0], component, fields[2].upper(), priority, fields[4], port, fields[7])

    def __bytes__(self) -> bytes:
        text = f"{self.foundation} {self.component} {self.transport} {self.priority} {self.address} {self.port}"
        return f"{text} typ {self.kind}".encode()


class Lines:
    """What the session level and a media section share: lines, attributes and a connection address.

    Attributes:
        lines: without their line ends.
    """

    __slots__ = ("lines",)

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines

    def attribute(self, name: bytes) -> bytes | None:
        """The value of the first `a=name:value`, empty for a bare `a=name`, None where there is none."""
        bare = b"a=" + name
        for line in self.lines:
            if line.startswith(bare):
                rest = line[len(bare) :]
                if not rest.strip():
                    return b""
                if rest[:1] == b":":
                    return rest[1:].strip()
        return None

    def attributes(self, name: bytes) -> list[bytes]:
        """The values of each `a=name:value`."""
        start = b"a=" + name + b":"
        return [line[len(start) :].strip() for line in self.lines if line.startswith(start)]

    def has(self, name: bytes) -> bool:
        """Whether there is an attribute of that name."""
        return self.attribute(name) is not None

    def set_attribute(self, name: bytes, value: bytes = b"") -> None:
        """Replace the first attribute of a name, or append it."""
        bare = b"a=" + name
        line = bare + b":" + value if value else bare
        for index, old in enumerate(self.lines):
            if old == bare or old.startswith(bare + b":"):
                self.lines[index] = line
                return
        self.lines.append(line)

    def add_attribute(self, name: bytes, value: bytes = b"") -> None:
        """Append an attribute beside others of its name."""
        self.lines.append(b"a=" + name + b":" + value if value else b"a=" + name)

    def remove_attribute(self, name: bytes) -> int:
        """Take out every attribute of a name; how many there were."""
        bare = b"a=" + name
        kept = [line for line in self.lines if line.strip() != bare and not line.startswith(bare + b":")]
        removed = len(self.lines) - len(kept)
        self.lines[:] = kept
        return removed

    @property
    def connection(self) -> str | None:
        """The address of the own `c=` line, without a TTL; None where there is no such line."""
        for line in self.lines:
            if line.startswith(b"c="):
                fields = line[2:].split()
                return fields[2].partition(b"/")[0].decode("utf-8", "replace") if len(fields) >= 3 else None
        return None

    def set_connection(self, address: str) -> None:
        """Replace the address of the own `c=` line; nothing where there is none."""
        for index, line in enumerate(self.lines):
            if line.startswith(b"c="):
                self.lines[index] = connection_line(address)
                return

    @property
    def bandwidth(self) -> int | None:
        """The bandwidth of `b=AS`, in kbit/s (RFC 8866 section 5.8); None where there is none."""
        for line in self.lines:
            if line.startswith(b"b=AS:") and line[5:].strip().isdigit() and len(line) < 20:
                return int(line[5:])
        return None

    @property
    def direction(self) -> bytes | None:
        """`sendrecv`, `sendonly`, `recvonly` or `inactive`; None where nothing is said."""
        for name in _DIRECTIONS:
            if b"a=" + name in self.lines:
                return name
        return None


class Media(Lines):
    """One media section: its `m=` line and all lines up to the next.

    Attributes:
        kind: `audio`, `video`, ... in lower case.
        port: 0 for a stream that is refused or removed.
        count: of ports, `m=audio 49170/2`.
        protocol: `RTP/AVP`, `UDP/TLS/RTP/SAVPF`, ...
        formats: payload types as written.
        session: the session level of the description it stands in, which has the same list of lines. It is no way
            back to the description itself: in a cycle they would wait for the collector, which runs rarely.
    """

    __slots__ = ("count", "formats", "kind", "port", "protocol", "session")

    def __init__(self, session: Lines, lines: list[bytes]) -> None:
        super().__init__(lines)
        self.session = session
        fields = lines[0][2:].split()
        if len(fields) < 4:
            raise SdpError("a media line with too few fields")
        first, slash, several = fields[1].partition(b"/")
        port, count = decimal(first, 65535), decimal(several, 999) if slash else 1
        if port is None or not count:
            raise SdpError("a media line with a bad port")
        self.kind = fields[0].lower()
        self.port = port
        self.count = count
        self.protocol = fields[2]
        self.formats = fields[3:]

    @property
    def address(self) -> str | None:
        """Where the media are wanted: the section's own connection address, or else the session's."""
        return self.connection or self.session.connection

    @property
    def is_rtp(self) -> bool:
        """Whether it is RTP over UDP, in the clear or secured."""
        return b"RTP/" in self.protocol.upper() and not self.protocol.upper().startswith(b"TCP")

    @property
    def is_udp(self) -> bool:
        """Whether its packets go by UDP: RTP, fax (`udptl`), WebRTC's data channels."""
        protocol = self.protocol.upper()
        return self.is_rtp or protocol.startswith(b"UDP/") or protocol in (b"UDP", b"UDPTL")

    @property
    def is_secure(self) -> bool:
        """Whether its packets are encrypted between the ends, so that nobody between may touch them."""
        return b"SAVP" in self.protocol.upper() or b"DTLS" in self.protocol.upper() or self.has(b"crypto")

    @property
    def is_active(self) -> bool:
        """Whether the stream exists: its port isn't 0, or it is only named as part of a bundle (RFC 9143)."""
        return self.port != 0 or self.has(b"bundle-only")

    @property
    def mid(self) -> bytes:
        """The section's name (RFC 5888), empty where it has none."""
        return self.attribute(b"mid") or b""

    @property
    def rtcp_port(self) -> int:
        """Where RTCP is wanted: the `rtcp` attribute (RFC 3605), the RTP port with rtcp-mux, or the port after it."""
        if self.has(b"rtcp-mux"):
            return self.port
        value = decimal((self.attribute(b"rtcp") or b"").partition(b" ")[0], 65535)
        return value or (self.port + 1 if self.port else 0)

    @property
    def rtcp_address(self) -> str | None:
        """The host of the `rtcp` attribute, where it names one; else `address`."""
        fields = (self.attribute(b"rtcp") or b"").split()
        return fields[3].decode("utf-8", "replace") if len(fields) >= 4 else self.address

    @property
    def candidates(self) -> list[Candidate]:
        """The ICE candidates that can be read."""
        found = (Candidate.parse(value) for value in self.attributes(b"candidate"))
        return [candidate for candidate in found if candidate is not None]

    @property
    def uses_ice(self) -> bool:
        """Whether ICE is on offer for this stream."""
        return bool(self.attributes(b"candidate")) or self.has(b"ice-ufrag") or self.session.has(b"ice-ufrag")

    @property
    def is_held(self) -> bool:
        """Whether the sender wants no media for now (RFC 3264 section 8.4; the zero address is RFC 2543's way)."""
        direction = self.direction or self.session.direction
        address = self.address
        return direction in (b"sendonly", b"inactive") or (address or "").encode() in _UNSPECIFIED

    def set_port(self, port: int) -> None:
        """Replace the port, and the count of ports by one."""
        self.port, self.count = port, 1
        kind, _, rest = self.lines[0].partition(b" ")
        self.lines[0] = kind + b" %d " % port + rest.lstrip().partition(b" ")[2]

    def set_formats(self, formats: list[bytes]) -> None:
        """Replace the payload types."""
        self.formats = formats
        self.lines[0] = b" ".join([*self.lines[0].split()[:3], *formats])

    def set_address(self, address: str) -> None:
        """Name another connection address for this section alone."""
        if self.connection is not None:
            self.set_connection(address)
            return
        place = 1
        while place < len(self.lines) and self.lines[place][:2] == b"i=":
            place += 1
        self.lines.insert(place, connection_line(address))

    @property
    def payload_types(self) -> dict[bytes, int]:
        """The formats that are payload types of RTP, by how they are written (RFC 3550 section 5.1)."""
        return {text: number for text in self.formats if (number := decimal(text, 127)) is not None}

    def types_of(self, encoding: bytes) -> frozenset[int]:
        """The payload types that an encoding has here, `H264`, in any case."""
        wanted = encoding.upper()
        return frozenset(
            number
            for text, number in self.payload_types.items()
            if self.encoding(text).partition(b"/")[0].upper() == wanted
        )

    def encoding(self, payload_type: bytes) -> bytes:
        """The `rtpmap` of a payload type, `H264/90000`; empty where there is none."""
        for value in self.attributes(b"rtpmap"):
            number, _, encoding = value.partition(b" ")
            if number == payload_type:
                return encoding.strip()
        return b""

    def __repr__(self) -> str:
        return f"<{self.lines[0].decode('utf-8', 'replace')}>"


class Sdp(Lines):
    """A session description.

    Attributes:
        lines: of the session level.
        media: the sections in order.
    """

    __slots__ = ("_end", "media")

    def __init__(self, lines: list[bytes], end: bytes = b"\r\n") -> None:
        super().__init__(lines)
        self.media: list[Media] = []
        self._end = end

    @staticmethod
    def parse(body: bytes) -> Sdp:
        """Read a description.

        Raises:
            SdpError: not one, or one whose media cannot be told.
        """
        end = b"\r\n" if b"\r\n" in body else b"\n"
        lines = body.split(end)
        while lines and not lines[-1].strip():
            lines.pop()
        if not lines or lines[0].strip() != b"v=0":
            raise SdpError("not a session description")
        if len(lines) > MAX_LINES:
            raise SdpError("a session description too long", 413)
        starts = [index for index, line in enumerate(lines) if line.startswith(b"m=")]
        for line in lines:
            if line[1:2] != b"=":
                raise SdpError("a line of the session description without a type")
        described = Sdp(lines[: starts[0]] if starts else lines, end)
        level = Lines(described.lines)
        for start, stop in pairwise([*starts, len(lines)]):
            described.media.append(Media(level, lines[start:stop]))
        return described

    def __bytes__(self) -> bytes:
        lines = self.lines[:]
        for media in self.media:
            lines += media.lines
        lines.append(b"")
        return self._end.join(lines)

    def copy(self) -> Sdp:
        """A copy to edit."""
        copied = Sdp(self.lines[:], self._end)
        level = Lines(copied.lines)
        copied.media = [Media(level, media.lines[:]) for media in self.media]
        return copied

    @property
    def version(self) -> bytes:
        """The version number of the `o=` line; it grows when the description changes (RFC 3264 section 8)."""
        for line in self.lines:
            if line.startswith(b"o="):
                fields = line.split()
                return fields[2] if len(fields) > 2 else b""
        return b""

    @property
    def bundles(self) -> list[list[bytes]]:
        """The groups of sections that share one transport, by `mid` (RFC 9143)."""
        groups = (value.split() for value in self.attributes(b"group"))
        return [words[1:] for words in groups if words and words[0].upper() == b"BUNDLE"]

    def bundle_of(self, media: Media) -> list[bytes]:
        """The group that a section belongs to, empty for none."""
        mid = media.mid
        return next((group for group in self.bundles if mid and mid in group), [])


def decimal(text: bytes | str, largest: int = 0xFFFFFFFF) -> int | None:
    """The number that up to ten digits say; None for anything else, and above the largest."""
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    number = int(text)
    return number if number <= largest else None


def connection_line(address: str) -> bytes:
    """`c=IN IP4 192.0.2.1`."""
    return b"c=IN %b %b" % (b"IP6" if ":" in address else b"IP4", address.encode())


def is_address(text: str | None) -> bool:
    """Whether a connection address is numeric."""
    if text is None:
        return False
    try:
        IPv6Address(text) if ":" in text else IPv4Address(text)
    except AddressValueError:
        return False
    return True
