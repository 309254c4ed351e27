"""One object for equal values: thousands of devices send the same User-Agent, parameters and Path."""

from __future__ import annotations

from typing import Final

_LIMIT: Final = 4096  # values; beyond it new ones are no longer shared with old ones
_SIZE: Final = 512  # bytes; longer ones are rarely equal

_values: Final[dict[bytes, bytes]] = {}
_paths: Final[dict[tuple[bytes, ...], tuple[bytes, ...]]] = {}


def shared(value: bytes) -> bytes:
    """The first value that was equal to this one."""
    found = _values.get(value)
    if found is None:
        if len(value) > _SIZE:
            return value
        if len(_values) >= _LIMIT:
            _values.clear()
        _values[value] = found = value
    return found


def shared_path(values: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The first Path that was equal to this one."""
    if not values:
        return ()
    found = _paths.get(values)
    if found is None:
        if sum(map(len, values)) > _SIZE:
            return values
        if len(_paths) >= _LIMIT:
            _paths.clear()
        _paths[values] = found = values
    return found
