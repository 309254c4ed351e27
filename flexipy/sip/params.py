"""`;name=value` lists and comma-separated lists, quotes and angle brackets respected (RFC 3261 section 25.1)."""

from __future__ import annotations

from flexipy.sip.errors import HeaderError
from flexipy.sip.octets import BACKSLASH, COMMA, LESS, QUOTE
from flexipy.sip.searching import param_of

Params = dict[str, str | None]


def decode(raw: bytes) -> str:
    """Text of header bytes; bytes that are not UTF-8 survive the way back through `encode`."""
    return raw.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Bytes of header text, the inverse of `decode`."""
    return text.encode("utf-8", "surrogateescape")


def split_quoted(raw: bytes, separator: int) -> list[bytes]:
    """Split at a separator byte, but not within quotes or angle brackets.

    Raises:
        HeaderError: a quote that is never closed.
    """
    parts: list[bytes] = []
    start = depth = 0
    quoted = escaped = False
    for index, byte in enumerate(raw):
        if quoted:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                quoted = False
        elif byte == 0x22:
            quoted = True
        elif byte == 0x3C:
            depth += 1
        elif byte == 0x3E:
            depth -= 1
        elif byte == separator and depth <= 0:
            parts.append(raw[start:index].strip())
            start = index + 1
    if quoted:
        raise HeaderError("unbalanced quotes")
    parts.append(raw[start:].strip())
    return parts


def split_values(raw: bytes) -> list[bytes]:
    """The values of a header field that may hold several (`Contact: <sip:a>, <sip:b>`)."""
    if COMMA not in raw:
        return [raw.strip()]
    if QUOTE not in raw and LESS not in raw:
        return [part.strip() for part in raw.split(b",")]
    return split_quoted(raw, 0x2C)


def parse_params(raw: bytes) -> Params:
    """Parameters of a header value or URI.

    Args:
        raw: `;a=b;c` or `a=b;c`; values may be quoted strings, which are unquoted here.

    Returns:
        Lower-case names to values; None for a parameter without `=`. Of duplicates the first counts.

    Raises:
        HeaderError: unbalanced quotes, or a parameter without a name.
    """
    found: Params = {}
    if not raw:
        return found
    pieces = decode(raw).split(";")
    if QUOTE in raw and (BACKSLASH in raw or any(piece.count('"') & 1 for piece in pieces)):
        pieces = [decode(piece) for piece in split_quoted(raw, 0x3B)]  # a ; within quotes
    for piece in pieces:
        name, equals, value = piece.partition("=")
        key = name.strip().lower()
        if not key:
            if equals:
                raise HeaderError("parameter without a name")
            continue
        if key not in found:
            if not equals:
                found[key] = None
            else:
                value = value.strip()
                found[key] = unquote(value) if value[:1] == '"' else value
    return found


def unquote(value: str) -> str:
    r"""A quoted string's text, `\x` escapes resolved; other text unchanged (RFC 3261 section 25.1)."""
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    inner = value[1:-1]
    if "\\" not in inner:
        return inner
    out: list[str] = []
    characters = iter(inner)
    for character in characters:
        out.append(next(characters, "") if character == "\\" else character)
    return "".join(out)


def quote(value: str) -> str:
    r"""A quoted string around a text, `"` and `\` escaped."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def find_param(raw: bytes, name: bytes) -> bytes | None:
    """One parameter's raw value out of a value without quoted strings (Via), without parsing the others.

    Args:
        raw: the value, parameters beginning with `;`.
        name: lower-case name.

    Returns:
        The value, empty for a parameter without `=`, None where there is none.
    """
    found = param_of(raw, name)
    if found is not None:
        return found
    for piece in raw.split(b";")[1:]:
        key, _, value = piece.partition(b"=")
        if key.strip().lower() == name:
            return value.strip()
    return None
