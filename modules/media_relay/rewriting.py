"""How a session description changes on its way through the relay: addresses, ports, RTCP, candidates.

Pure functions on `Sdp`; what is not about addresses stays byte for byte.
"""

from __future__ import annotations

from typing import Final

from flexipy.media.relay import Expected, Leg
from flexipy.sip import names as H
from flexipy.sip.errors import SipError
from flexipy.sip.message import Message
from flexipy.sip.octets import SPACE
from flexipy.sip.sdp import Candidate, Media, Sdp, decimal, is_address

_UNSPECIFIED: Final = ("0.0.0.0", "::")
# RFC 8445 section 5.1.2.2: relayed candidates come last.
_LOCAL_PREFERENCE: Final = 65535
_FOUNDATION: Final = "fxrelay"
_SDP: Final = b"application/sdp"
# Each takes four sockets: a stranger's INVITE shall not take all there are.
_MOST_STREAMS: Final = 16


def leg_index(sdp: Sdp, place: int) -> int:
    """Which stream's legs carry a section: its own, or that of the first of its bundle (RFC 9143).

    Only where it really names the same port: an offer may give each section of a bundle a port of its own, for
    answerers that don't know bundles.
    """
    media = sdp.media[place]
    group = sdp.bundle_of(media)
    if not group:
        return place
    for index, other in enumerate(sdp.media):
        if other.mid == group[0]:
            return index if media.port in (0, other.port) else place
    return place


def relayed(sdp: Sdp) -> list[tuple[int, Media]]:
    """The sections whose packets the relay can carry, with their places.

    Raises:
        SipError: 488, they would need more ports than a call may have.
    """
    found = [(place, media) for place, media in enumerate(sdp.media) if media.is_udp and media.is_active]
    if len(found) > _MOST_STREAMS and len({leg_index(sdp, place) for place, _ in found}) > _MOST_STREAMS:
        raise SipError("too many media streams", 488)
    return found


def expected_of(media: Media, signalling_ip: str) -> Expected:
    """What a section says about where its sender wants packets and sends from."""
    address = media.address
    known = address if is_address(address) and address not in _UNSPECIFIED else None
    rtcp_address = media.rtcp_address
    rtcp_known = rtcp_address if is_address(rtcp_address) and rtcp_address not in _UNSPECIFIED else known
    ufrag = media.attribute(b"ice-ufrag") or media.session.attribute(b"ice-ufrag")
    return Expected(
        known,
        media.port,
        rtcp_known,
        media.rtcp_port,
        media.has(b"rtcp-mux"),
        frozenset(media.payload_types.values()) if media.is_rtp else frozenset(),
        media.is_secure or not media.is_rtp,
        signalling_ip,
        ufrag.decode("ascii", "replace") if ufrag else None,
        media.kind.decode("ascii", "replace"),
        _clock_rates(media),
    )


def _clock_rates(media: Media) -> dict[int, int]:
    """The RTP clock of each payload type that says it, in Hz (RFC 8866 section 6.6)."""
    rates: dict[int, int] = {}
    for value in media.attributes(b"rtpmap"):
        text, _, encoding = value.partition(b" ")
        number, rate = decimal(text, 127), encoding.strip().split(b"/")[1:2]
        if number is not None and rate and rate[0].isdigit() and len(rate[0]) < 10:
            rates[number] = int(rate[0])
    return rates


def redirect(media: Media, leg: Leg, address: str) -> None:
    """Make a section name the relay.

    Args:
        media: to edit.
        leg: of the side that will read it.
        address: of the relay as that side reaches it.
    """
    original_address, original_port = media.address or "0.0.0.0", media.port
    muxed = media.has(b"rtcp-mux")
    if media.port:
        media.set_port(leg.port)
    if media.connection is not None:
        media.set_connection(address)
    rtcp = media.attribute(b"rtcp")
    if rtcp is not None:
        port = leg.port if muxed else leg.rtcp_port
        family = b"IP6" if ":" in address else b"IP4"
        where = b" IN %b %b" % (family, address.encode()) if SPACE in rtcp else b""
        media.set_attribute(b"rtcp", b"%d" % port + where)
    if media.attributes(b"candidate"):
        ports = [leg.port] if muxed else [leg.port, leg.rtcp_port]
        for component, port in enumerate(ports, 1):
            media.add_attribute(b"candidate", _candidate(component, address, port, original_address, original_port))


def _candidate(component: int, address: str, port: int, original: str, original_port: int) -> bytes:
    priority = (_LOCAL_PREFERENCE << 8) + 256 - component
    candidate = bytes(Candidate(_FOUNDATION, component, "UDP", priority, address, port, "relay"))
    if not is_address(original):
        original = "0.0.0.0"
    return candidate + b" raddr %b rport %d" % (original.encode(), original_port)


def redirect_session(sdp: Sdp, address: str) -> None:
    """Make the session's own connection line name the relay; sections that are not relayed keep their address."""
    old = sdp.connection
    if old is None:
        return
    for media in sdp.media:
        if media.connection is None and not (media.is_udp and media.is_active):
            media.set_address(old)
    sdp.set_connection(address)


def agrees_on_keys(sdp: Sdp) -> bool:
    """Whether keys are agreed on along the media, by DTLS, with whom the fingerprint tells (RFC 5763)."""
    return sdp.has(b"fingerprint") or any(media.has(b"fingerprint") for media in sdp.media)


def concluded_elsewhere(media: Media) -> bool:
    """Whether ICE found a path that leaves the relay out (RFC 8839 section 4.3.1.2.1: `remote-candidates`)."""
    if not media.has(b"remote-candidates"):
        return False
    own = [c for c in media.candidates if c.address == media.address and c.port == media.port]
    return bool(own) and all(candidate.foundation != _FOUNDATION for candidate in own)


def description(message: Message) -> Sdp | None:
    """The session description in a message, None where there is none.

    Raises:
        SdpError: it cannot be read.
    """
    if not message.body:
        return None
    kind = message.get(H.CONTENT_TYPE)
    if kind is None or kind.partition(b";")[0].strip().lower() != _SDP or H.CONTENT_ENCODING in message.names:
        return None
    return Sdp.parse(message.body)
