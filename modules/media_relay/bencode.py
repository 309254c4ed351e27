"""Bencoding, the format of rtpengine's control messages: bytes, integers, lists and dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

Value = bytes | int | Sequence["Value"] | Mapping[str, "Value"]
Decoded = bytes | int | list["Decoded"] | dict[str, "Decoded"]

_DEEPEST: Final = 32


class BencodeError(ValueError):
    """Bytes that are no bencoded value."""


def encode(value: Value | str) -> bytes:
    """A value as bytes; texts as UTF-8, dictionaries with their keys sorted."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return b"%d:%b" % (len(value), value)
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, Mapping):
        return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"
    return b"l" + b"".join(encode(item) for item in value) + b"e"


def decode(data: bytes) -> Decoded:
    """The value of bytes.

    Raises:
        BencodeError: they are something else, or more than one value.
    """
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise BencodeError("more than one value")
    return value


def _decode(data: bytes, at: int, depth: int) -> tuple[Decoded, int]:
    kind = data[at : at + 1]
    if depth > _DEEPEST:
        raise BencodeError("nested too deep")
    if kind.isdigit():
        return _text(data, at)
    if kind == b"i":
        end = data.find(b"e", at)
        digits = data[at + 1 : end] if end > 0 else b""
        if not digits.removeprefix(b"-").isdigit() or len(digits) > 20:
            raise BencodeError("bad integer")
        return int(digits), end + 1
    if kind == b"l":
        return _items(data, at + 1, depth + 1)
    if kind == b"d":
        items, end = _items(data, at + 1, depth + 1)
        if len(items) % 2 or not all(isinstance(key, bytes) for key in items[::2]):
            raise BencodeError("bad dictionary")
        keys = [key.decode("utf-8", "replace") for key in items[::2] if isinstance(key, bytes)]
        return dict(zip(keys, items[1::2], strict=True)), end
    raise BencodeError("no value")


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    colon = data.find(b":", at)
    length = data[at:colon] if colon > 0 else b""
    if not length.isdigit() or len(length) > 9:
        raise BencodeError("bad length")
    end = colon + 1 + int(length)
    if end > len(data):
        raise BencodeError("cut short")
    return data[colon + 1 : end], end


def _items(data: bytes, at: int, depth: int) -> tuple[list[Decoded], int]:
    items: list[Decoded] = []
    while data[at : at + 1] != b"e":
        item, at = _decode(data, at, depth)
        items.append(item)
    return items, at + 1
