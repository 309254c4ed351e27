"""Pieces of SIP for hypothesis: good ones, nearly good ones, and anything."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.fuzz.mutations import EXTRA, INTERESTING, Mutator

_TOKEN = "abcXYZ019-.!%*_+`'~"
token = st.text(_TOKEN, min_size=1, max_size=12).map(str.encode)
junk = st.one_of(st.binary(max_size=40), st.sampled_from(INTERESTING))
text = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30)
inline = junk.map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
"""Anything that fits on a line."""

_SPECIAL = st.sampled_from(
    [*list('<>;,"=@:?&%\\[]()*/ \t'), "sip:", "sips:", "tel:", "%41", "%0", "::1", ";lr", ";tag="]
)
grammar_text = st.lists(st.one_of(_SPECIAL, st.text(_TOKEN, max_size=6)), max_size=25).map("".join)
"""Text of the characters that mean something."""

raw_value = st.one_of(grammar_text.map(str.encode), junk, text.map(str.encode))

host = st.one_of(
    st.sampled_from(["example.org", "192.0.2.1", "[2001:db8::1]", "a-b.c_d", "x"]),
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z][a-z0-9]{0,5}){0,3}", fullmatch=True),
)
user = st.text("abcXYZ019-_.!~*'()&=+$,;?/", min_size=1, max_size=10)
param = st.tuples(
    st.text("abcdefghijk-", min_size=1, max_size=6),
    st.one_of(st.none(), st.text("abcXYZ01-_.!~*'()[]/:&+$", max_size=6)),
)


def _uri(parts: tuple[str, str | None, str, int | None, list[tuple[str, str | None]], str]) -> bytes:
    scheme, user_, host_, port, params, headers = parts
    out = f"{scheme}:" + (f"{user_}@" if user_ else "") + host_ + (f":{port}" if port is not None else "")
    out += "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params)
    return (out + (f"?{headers}" if headers else "")).encode()


uri = st.tuples(
    st.sampled_from(["sip", "sips", "SIP", "sIpS"]),
    st.one_of(st.none(), user),
    host,
    st.one_of(st.none(), st.integers(0, 65535)),
    st.lists(param, max_size=4),
    st.sampled_from(["", "subject=x", "a=b&c=%20d"]),
).map(_uri)
"""A good SIP URI."""

name = st.one_of(
    st.sampled_from(
        [b"Via", b"v", b"FROM", b"t", b"To", b"Contact", b"m", b"X-Odd", b"Route", b"CSeq", b"Call-ID", b"i"]
    ),
    token,
)
folded = st.lists(inline.filter(lambda raw: bool(raw.strip())), min_size=1, max_size=3).map(b"\r\n ".join)
line = st.builds(
    lambda name, space, value: name + b":" + space + value, name, st.sampled_from([b"", b" ", b"\t "]), folded
)
"""A header line, folded perhaps."""


def _start(parts: tuple[bytes, bytes]) -> bytes:
    return parts[0] + b" " + parts[1] + b" SIP/2.0"


start_line = st.one_of(
    st.tuples(token.filter(lambda raw: not raw.upper().startswith(b"SIP/")), uri).map(_start),
    st.builds(lambda status, reason: b"SIP/2.0 %d %b" % (status, reason), st.integers(100, 699), inline),
)
message = st.builds(
    lambda start, lines, body: b"\r\n".join([start, *lines, b"", body]),
    start_line,
    st.lists(line, max_size=12).map(lambda lines: [each for each in lines if not _has_length(each)]),
    st.binary(max_size=60),
)
"""A message that can be read, without Content-Length."""


def _has_length(raw: bytes) -> bool:
    return raw.partition(b":")[0].strip().lower() in (b"l", b"content-length")


def _spoiled(seed: int) -> bytes:
    return Mutator(seed, 5090).message("udp")


spoiled = st.integers(0, 2**32).map(_spoiled)
"""A spoiled message."""

any_message = st.one_of(message, spoiled, st.binary(max_size=200))
extra_line = st.sampled_from(EXTRA)
