from __future__ import annotations

import pytest

from flexipy.config import schema
from flexipy.config.errors import ConfigError
from flexipy.config.schema import Parameter
from flexipy.config.values import parse

HELP = "x"


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), ("Yes", True), ("false", False), ("0", False), ("off", False)],
)
def test_boolean(text: str, value: bool) -> None:
    assert parse(schema.boolean("b", "true", HELP), text) is value


@pytest.mark.parametrize(
    ("unit", "text", "seconds"),
    [
        ("s", "42", 42),
        ("ms", "42", 0.042),
        ("min", "42", 2520),
        ("s", "250ms", 0.25),
        ("ms", "42s", 42),
        ("s", "10min", 600),
        ("s", "2h", 7200),
        ("min", "2d", 172_800),
        ("s", "1m", 2_629_746),  # a month
        ("s", "1y", 31_556_952),
        ("s", "1.5s", 1.5),
        ("s", "0", 0),
    ],
)
def test_duration_is_in_seconds_whatever_its_unit(unit: str, text: str, seconds: float) -> None:
    assert parse(schema.duration("d", "1", HELP, unit=unit), text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "ms42", "ms", "text", "42uu", "42s42ms", "42 ms", "4 2", "-1", "1e3", "٤"])
def test_malformed_durations(text: str) -> None:
    with pytest.raises(ConfigError, match="number of seconds"):
        parse(schema.duration("d", "1", HELP), text)


def test_integer_range() -> None:
    ports = schema.integer_range("p", "0", HELP, maximum=65535)
    assert parse(ports, "1024-65535") == (1024, 65535)
    assert parse(ports, "12345") == (12345, 12345)
    for wrong in ("5-1", "a-b", "1-", "1-70000", ""):
        with pytest.raises(ConfigError):
            parse(ports, wrong)


def test_byte_size_counts_in_thousands() -> None:
    size = schema.byte_size("s", "0", HELP)
    assert parse(size, "524288") == 524288
    assert parse(size, "2K") == 2000
    assert parse(size, "3M") == 3_000_000
    assert parse(size, "1G") == 1_000_000_000
    with pytest.raises(ConfigError):
        parse(size, "1T")


def test_choices_ignore_case_and_are_given_back_as_declared() -> None:
    level = schema.enum("l", "error", HELP, choices=("error", "debug"))
    assert parse(level, "DEBUG") == "debug"
    with pytest.raises(ConfigError, match="one of error, debug, not 'loud'"):
        parse(level, "loud")
    servers = schema.string_list("s", "", HELP, choices=("proxy", "conference"))
    assert parse(servers, "proxy  Conference") == ["proxy", "conference"]
    with pytest.raises(ConfigError, match="not 'proxi'"):
        parse(servers, "proxi")


def test_list_is_split_at_white_space() -> None:
    assert parse(schema.string_list("l", "", HELP), "sip:*  sips:*\tsip:[::1]") == ["sip:*", "sips:*", "sip:[::1]"]
    assert parse(schema.string_list("l", "", HELP), "") == []


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (schema.integer("i", "1", HELP, minimum=1), "0"),
        (schema.integer("i", "1", HELP, maximum=9), "10"),
        (schema.number("f", "1", HELP, maximum=0.5), "0.6"),
        (schema.duration("d", "1", HELP, unit="ms", minimum=0.1), "99"),
        (schema.integer("i", "1", HELP), "9" * 5000),
        (schema.integer("i", "1", HELP), "1.0"),
        (schema.number("f", "1", HELP), "nan"),
    ],
)
def test_numbers_out_of_bounds(parameter: Parameter, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(parameter, text)
    assert len(str(caught.value)) < 200


def test_a_comment_behind_a_value_is_pointed_out() -> None:
    with pytest.raises(ConfigError, match="a comment must stand on a line of its own"):
        parse(schema.integer("i", "1", HELP), "10 # ten")
