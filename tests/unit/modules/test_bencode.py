"""Bencoded values are read as they were written, and nothing else is."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.modules.media_relay.bencode import BencodeError, decode, encode

values = st.recursive(
    st.binary(max_size=20) | st.integers(-(10**15), 10**15),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def test_it_is_the_format_of_the_protocol() -> None:
    assert encode({"command": "ping", "n": 1, "flags": ["a"]}) == b"d7:command4:ping5:flagsl1:ae1:ni1ee"
    assert decode(b"d6:result4:ponge") == {"result": b"pong"}


@given(values)
def test_what_is_written_is_read(value: object) -> None:
    assert decode(encode(value)) == value  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [b"", b"x", b"5:abc", b"i", b"ie", b"i-e", b"d1:ae", b"di1e1:ae", b"l", b"1:ab", b"l" * 99]
)
def test_what_is_broken_is_refused(data: bytes) -> None:
    with pytest.raises(BencodeError):
        decode(data)


@given(st.binary(max_size=60))
def test_noise_never_surprises(data: bytes) -> None:
    with contextlib.suppress(BencodeError):
        decode(data)
