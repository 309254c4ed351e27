"""The forms in which a codec is offered, and how every device that rings sees the one stream that the caller sends.

A door may offer H.264 under several payload types, which differ in the packetization mode and the profile. Answerers
have to take or leave both as they are (RFC 6184 section 8.2.2), and each device that rings takes what it likes. The
caller sends one form only, to all.

Who agreed on a form can be sent every simpler one: a receiver of packetization mode 1 takes the single NAL unit packets
of mode 0 (RFC 6184 section 6.3), a decoder of a profile that of a smaller one (ITU-T H.264 section A.2). So the caller
is told the simplest form first that a device takes, and toward each device the payload type is replaced by the one that
it agreed on. Fragments cannot be made single packets again, which is why the simplest comes first.

Where packets are encrypted with keys from the description, their headers are authenticated (RFC 3711 section 3.1) and
stay as they are. There all devices are offered the simplest form alone, which each of them must know (RFC 6184 section
6.2).

Levels are not looked at: too high a one is sent as well where all agree on one payload type.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from flexipy.sip.sdp import Media, Sdp, decimal

_H264: Final = b"H264/90000"
_MODE: Final = b"packetization-mode"
_PROFILE: Final = b"profile-level-id"
_BASELINE_LEVEL_1: Final = b"42000a"  # where nothing is said (RFC 6184 section 8.1)
_SINGLE, _NON_INTERLEAVED = b"0", b"1"
# Each decodes what those before it are allowed. That Main lacks three tools of Baseline is passed over: no camera uses
# them, and most say Baseline where they mean Constrained Baseline.
_PROFILES: Final = (0x42, 0x4D, 0x64, 0x6E, 0x7A, 0xF4)
_UNKNOWN_PROFILE: Final = len(_PROFILES)
# What their parameters say is what the receiver likes, not another format (RFC 7741, RFC 7587, RFC 4733).
_OF_ONE_FORM: Final = (b"VP8/", b"OPUS/", b"TELEPHONE-EVENT/")
_OF_SENDER: Final = b"sprop-"
_BY_NUMBER: Final = (b"a=rtpmap:", b"a=fmtp:", b"a=rtcp-fb:", b"a=imageattr:")


@dataclass(frozen=True, slots=True)
class Form:
    """What a payload type stands for.

    Attributes:
        encoding: `H264/90000`, in upper case.
        parameters: of its `fmtp`, with their names in lower case.
    """

    encoding: bytes
    parameters: dict[bytes, bytes]

    @property
    def mode(self) -> bytes:
        """The packetization mode of H.264."""
        return self.parameters.get(_MODE, _SINGLE)

    @property
    def profile(self) -> bytes:
        """`profile-level-id` of H.264: six hexadecimal digits, or what stands there instead."""
        return self.parameters.get(_PROFILE, _BASELINE_LEVEL_1).lower()

    @property
    def rank(self) -> int:
        """How much a decoder of that profile can do."""
        try:
            number = int(self.profile[:2], 16)
        except ValueError:
            return _UNKNOWN_PROFILE
        return _PROFILES.index(number) if number in _PROFILES else _UNKNOWN_PROFILE

    @property
    def complexity(self) -> tuple[int, bytes]:
        """By which forms are sorted, the simplest first."""
        return (self.rank, self.mode) if self.encoding == _H264 else (0, b"")

    def takes(self, other: Form) -> bool:
        """Whether who agreed on this form can be sent the other."""
        if self.encoding != other.encoding:
            return False
        if self.encoding != _H264:
            return self.encoding.startswith(_OF_ONE_FORM) or self.parameters == other.parameters
        if self.mode != other.mode and (self.mode, other.mode) != (_NON_INTERLEAVED, _SINGLE):
            return False
        if _UNKNOWN_PROFILE in (self.rank, other.rank):
            return self.profile[:4] == other.profile[:4]
        return other.rank <= self.rank


def forms_of(media: Media) -> dict[int, Form]:
    """What the payload types of a section stand for, the preferred first; those without an `rtpmap` are left out."""
    encodings = _values(media, b"rtpmap")
    parameters = _values(media, b"fmtp")
    return {
        number: Form(encodings[text].upper(), _parameters(parameters.get(text, b"")))
        for text in media.formats
        if text in encodings and (number := _number(text)) is not None
    }


def _agreed(answer: Media, offered: dict[int, Form]) -> dict[int, Form]:
    """The forms of an answer; what it leaves out of H.264's is as it was offered."""
    agreed = forms_of(answer)
    for number, form in agreed.items():
        asked = offered.get(number)
        if asked is not None and asked.encoding == form.encoding == _H264:
            for name in (_MODE, _PROFILE):
                if name in asked.parameters:
                    form.parameters.setdefault(name, asked.parameters[name])
    return agreed


def may_renumber(media: Media) -> bool:
    """Whether nothing vouches for the headers of a section's packets: neither SRTP nor the keys of ZRTP (RFC 6189)."""
    return media.is_rtp and not media.is_secure and not media.has(b"fingerprint") and not media.has(b"zrtp-hash")


def renumbering(offer: Media, answer: Media) -> dict[int, int]:
    """The payload types, of those that the offerer sends to all, which the answerer agreed on by another number.

    Returns:
        The answerer's by the offerer's.
    """
    offered = forms_of(offer)
    agreed = _agreed(answer, offered)
    found: dict[int, int] = {}
    for number, form in offered.items():
        if b"%d" % number not in answer.formats:
            for own, taken in agreed.items():
                if taken.takes(form):
                    found[number] = own
                    break
    return found


def name_simplest_first(offer: Media, answer: Media) -> None:
    """Have the offerer send the simplest form that the answerer takes of the codec it likes most.

    It is put before those of the answer, which stay: the offerer sends the first (RFC 3264 section 7), and what it gets
    is any of them. The section to edit is the answer.
    """
    offered = forms_of(offer)
    agreed = _agreed(answer, offered)
    first = _number(answer.formats[0])
    liked = agreed.get(first) if first is not None else None
    if liked is None:
        return
    fitting = [number for number, form in offered.items() if liked.takes(form)]
    best = min(fitting, key=lambda number: (offered[number].complexity, number != first), default=first)
    if best is None or best == first:
        return
    number = b"%d" % best
    if number not in answer.formats:
        _add(offer, answer, best, _parameters_toward(offered[best], liked), answer.formats[0])
    elif best not in agreed or not agreed[best].takes(offered[best]):
        return  # the answer has something else by that number
    answer.set_formats([number, *(other for other in answer.formats if other != number)])


def _parameters_toward(form: Form, liked: Form) -> dict[bytes, bytes]:
    """What an answer says of a form in place of another: the receiver's limits, within the profile that was offered."""
    if form.encoding != _H264:
        return liked.parameters
    told = {name: value for name, value in liked.parameters.items() if not name.startswith(_OF_SENDER)}
    level = liked.profile[4:6]
    for name in (_MODE, _PROFILE):
        told.pop(name, None)
        if name in form.parameters:
            told[name] = form.parameters[name]
    if len(form.profile) == len(liked.profile) == 6:
        told[_PROFILE] = form.profile[:4] + level
    return told


def _add(offer: Media, answer: Media, number: int, parameters: dict[bytes, bytes], like: bytes) -> None:
    """Describe one more payload type in an answer, with the feedback of another one."""
    text = b"%d " % number
    answer.add_attribute(b"rtpmap", text + offer.encoding(text.strip()))
    if parameters:
        pairs = (name + b"=" + value if value else name for name, value in parameters.items())
        answer.add_attribute(b"fmtp", text + b";".join(pairs))
    for value in answer.attributes(b"rtcp-fb"):
        which, _, feedback = value.partition(b" ")
        if which == like:
            answer.add_attribute(b"rtcp-fb", text + feedback)


def keep_simplest(media: Media) -> bool:
    """Take every form of H.264 out of an offer but the simplest; whether there were others."""
    forms = {number: form for number, form in forms_of(media).items() if form.encoding == _H264}
    if len(forms) < 2:
        return False
    kept = min(forms, key=lambda number: forms[number].complexity)
    dropped = {b"%d" % number for number in forms if number != kept}
    repairs = _values(media, b"fmtp").items()
    dropped |= {text for text, value in repairs if _parameters(value).get(b"apt") in dropped}  # RFC 4588 section 8.1
    media.set_formats([text for text in media.formats if text not in dropped])
    media.lines[:] = [line for line in media.lines if not _is_about(line, dropped)]
    return True


def keep_simplest_of(sdp: Sdp, secure: bool) -> bool:
    """Do so in the sections of a description that are encrypted, or in the others; whether something changed."""
    changed = False
    for media in sdp.media:
        if media.is_rtp and media.is_secure == secure:
            changed |= keep_simplest(media)
    return changed


def _is_about(line: bytes, numbers: Collection[bytes]) -> bool:
    words = line.partition(b":")[2].split(maxsplit=1) if line.startswith(_BY_NUMBER) else []
    return bool(words) and words[0] in numbers


def _values(media: Media, name: bytes) -> dict[bytes, bytes]:
    """The first value of an attribute for each payload type."""
    found: dict[bytes, bytes] = {}
    for value in media.attributes(name):
        number, _, rest = value.partition(b" ")
        found.setdefault(number, rest.strip())
    return found


def _number(text: bytes) -> int | None:
    number = decimal(text, 127)
    return number if number is not None and text == b"%d" % number else None


def _parameters(text: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for part in text.split(b";"):
        name, _, value = part.partition(b"=")
        if name.strip():
            found.setdefault(name.strip().lower(), value.strip())
    return found
