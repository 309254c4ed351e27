"""From the text of a parameter to its typed value: what Flexisip accepts, and a little more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import ConfigError, shorten
from .expression import compile_filter
from .schema import Parameter, ParameterType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .subject import Filter

    Value = bool | int | float | str | list[str] | tuple[int, int] | Filter | None

# Seconds in each unit. A month and a year have the lengths Flexisip gives them; `m` is a month, not a minute.
UNITS: dict[str, float] = {
    "ms": 0.001,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "m": 2629746.0,
    "y": 31556952.0,
}

UNIT_NAMES = {
    "ms": "milliseconds",
    "s": "seconds",
    "min": "minutes",
    "h": "hours",
    "d": "days",
    "m": "months",
    "y": "years",
}

_BOOLEANS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}
_BYTE_FACTORS = {"": 1, "k": 1000, "m": 1000_000, "g": 1000_000_000}

# The digits are bounded so that no text can make Python build a number of thousands of digits.
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_FLOAT = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|s|min|h|d|m|y|)", re.ASCII)
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", re.ASCII)
_BYTE_SIZE = re.compile(r"([0-9]{1,12})([kKmMgG]?)[bB]?", re.ASCII)


def parse(parameter: Parameter, text: str) -> Value:
    """Return the typed value of a parameter's text.

    Args:
        parameter: The declaration.
        text: The value as written, without surrounding blanks.

    Returns:
        bool, int, str, list of str, float, (low, high) or a compiled filter, after `parameter.type`.

    Raises:
        ConfigError: The text is no value of that type, or out of bounds.
    """
    value = _PARSERS[parameter.type](parameter, text)
    if parameter.minimum is not None or parameter.maximum is not None:
        _check_bounds(parameter, text, value)
    return value


def _invalid(parameter: Parameter, text: str, expected: str) -> ConfigError:
    hint = "; a comment must stand on a line of its own" if " #" in text else ""
    return ConfigError(f"'{parameter.name}' must be {expected}, not '{shorten(text)}'{hint}")


def _check_bounds(parameter: Parameter, text: str, value: Value) -> None:
    numbers: Sequence[object] = value if isinstance(value, tuple) else (value,)
    for number in numbers:
        if not isinstance(number, int | float):
            return
        if parameter.minimum is not None and number < parameter.minimum:
            raise _invalid(parameter, text, f"at least {_bound(parameter, parameter.minimum)}")
        if parameter.maximum is not None and number > parameter.maximum:
            raise _invalid(parameter, text, f"at most {_bound(parameter, parameter.maximum)}")


def _bound(parameter: Parameter, bound: float) -> str:
    return f"{bound:.15g}{'s' if parameter.type is ParameterType.DURATION else ''}"


def _boolean(parameter: Parameter, text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise _invalid(parameter, text, "true or false")
    return value


def _integer(parameter: Parameter, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise _invalid(parameter, text, "a whole number")
    return int(text)


def _float(parameter: Parameter, text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise _invalid(parameter, text, "a number")
    return float(text)


def _string(_parameter: Parameter, text: str) -> str:
    return text


def _string_list(parameter: Parameter, text: str) -> list[str]:
    return [_choice(parameter, word) for word in text.split()] if parameter.choices else text.split()


def _enum(parameter: Parameter, text: str) -> str:
    return _choice(parameter, text)


def _choice(parameter: Parameter, word: str) -> str:
    lowered = word.lower()
    for choice in parameter.choices:
        if choice.lower() == lowered:
            return choice
    raise _invalid(parameter, word, f"one of {', '.join(parameter.choices)}")


def _duration(parameter: Parameter, text: str) -> float:
    match = _DURATION.fullmatch(text)
    if not match:
        example = f"a number of {UNIT_NAMES[parameter.unit]}" if parameter.unit else "a number"
        raise _invalid(parameter, text, f"{example}, or a number with a unit (ms, s, min, h, d, m or y)")
    return float(match[1]) * UNITS[match[2] or parameter.unit or "s"]


def _integer_range(parameter: Parameter, text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if not match:
        raise _invalid(parameter, text, "a number or a range such as 1024-65535")
    low, high = int(match[1]), int(match[2] or match[1])
    if low > high:
        raise _invalid(parameter, text, "a range whose first number is the smaller one")
    return low, high


def _byte_size(parameter: Parameter, text: str) -> int:
    match = _BYTE_SIZE.fullmatch(text)
    if not match:
        raise _invalid(parameter, text, "a number of bytes, or a number followed by K, M or G")
    return int(match[1]) * _BYTE_FACTORS[match[2].lower()]


def _expression(_parameter: Parameter, text: str) -> Filter | None:
    return compile_filter(text)


_PARSERS: dict[ParameterType, Callable[[Parameter, str], Value]] = {
    ParameterType.BOOLEAN: _boolean,
    ParameterType.INTEGER: _integer,
    ParameterType.FLOAT: _float,
    ParameterType.STRING: _string,
    ParameterType.STRING_LIST: _string_list,
    ParameterType.ENUM: _enum,
    ParameterType.DURATION: _duration,
    ParameterType.INTEGER_RANGE: _integer_range,
    ParameterType.BYTE_SIZE: _byte_size,
    ParameterType.EXPRESSION: _expression,
}
