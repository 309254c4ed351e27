from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from flexipy.config.config import Config
from flexipy.config.errors import ConfigError, Problem, Severity
from flexipy.config.expression import FLAGS, VARIABLES, ExpressionError, compile_filter, surprises
from flexipy.config.ini import IniFile, parse_ini
from flexipy.config.reader import _Reader, read
from flexipy.config.rewrite import rewrite
from flexipy.config.schema import Parameter, ParameterType
from flexipy.config.sections import build_schema
from flexipy.config.values import _PARSERS, parse

SCHEMA = build_schema()
NAMES = [parameter.name for section in SCHEMA for parameter in section.parameters]

lines = st.one_of(
    st.sampled_from([f"[{section.name}]" for section in SCHEMA]),
    st.builds("{}={}".format, st.sampled_from(NAMES), st.text(max_size=30)),
    st.builds("{}={}".format, st.sampled_from(NAMES), st.sampled_from(["true", "1", "10s", '""', "", "a b", "\\"])),
    st.text(max_size=30),
)
files = st.one_of(
    st.binary(max_size=300),
    st.lists(lines, max_size=20).map(lambda parts: "\n".join(parts).encode("utf-8", "surrogatepass")),
)


class Anything:
    def value(self, name: str) -> str | None:
        assert name in VARIABLES
        return None if name.startswith("to.") else "x"

    def flag(self, name: str) -> bool:
        return name == FLAGS[0]


def read_bytes(content: bytes) -> tuple[Config, IniFile]:
    ini = parse_ini(content, "f")
    config = Config(SCHEMA)
    _Reader(ini, SCHEMA, config, Severity.WARNING).apply_file()
    return config, ini


@settings(max_examples=100, deadline=None)
@given(files)
def test_any_file_gives_a_usable_configuration_and_problems(content: bytes) -> None:
    config, ini = read_bytes(content)
    for problem in ini.problems:
        assert isinstance(problem, Problem)
        assert "\n" not in str(problem)
        assert len(str(problem)) < 400
    for section in SCHEMA:
        for parameter in section.parameters:
            config.section(section.name)[parameter.name]


@settings(max_examples=100, deadline=None)
@given(files)
def test_a_rewritten_file_means_the_same(content: bytes) -> None:
    before, ini = read_bytes(content)
    after, again = read_bytes(rewrite(ini, SCHEMA).encode())
    for section in SCHEMA:
        old, new = before.section(section.name), after.section(section.name)
        for parameter in section.parameters:
            assert new.raw(parameter.name) == old.raw(parameter.name)
    assert not [problem for problem in again.problems if "already set" in problem.message]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=40), lines.map(lambda line: f"global/{line}")), max_size=5))
def test_any_override_gives_problems_only(overrides: list[str]) -> None:
    _, problems = read(None, SCHEMA, overrides)
    assert all("\n" not in str(problem) for problem in problems)


SIGNS = ["&&", "||", "!", "(", ")", "==", "!="]
OPERATORS = ["contains", "in", "notin", "nin", "regex", "defined", "numeric", "true", "false"]
words = st.sampled_from([*VARIABLES, *FLAGS, *SIGNS, *OPERATORS, "'x'", "''"])
expressions = st.one_of(st.text(max_size=60), st.lists(words, max_size=25).map(" ".join))


@settings(max_examples=300, deadline=None)
@given(expressions)
def test_any_text_compiles_or_is_an_expression_error(text: str) -> None:
    wrong = None
    compiled = None
    try:
        compiled = compile_filter(text)
        surprises(text)
    except ExpressionError as error:
        wrong = error
    if compiled is not None:
        assert compiled(Anything()) in (True, False)
    if wrong is not None:
        assert 1 <= wrong.column <= len(text) + 1
        assert str(wrong).isprintable()


@settings(max_examples=100, deadline=None)
@given(st.text("()[]{}*+?|\\^$.-:alphdigt0123456789,<>=!P", max_size=40))
def test_any_pattern_compiles_or_is_an_expression_error(pattern: str) -> None:
    with contextlib.suppress(ExpressionError):
        compile_filter(f"user-agent regex '{pattern}'")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([p for section in SCHEMA for p in section.parameters]), st.text(max_size=40))
def test_any_value_parses_or_is_a_config_error(parameter: Parameter, text: str) -> None:
    message = ""
    try:
        parse(parameter, text)
    except ConfigError as error:
        message = str(error)
    assert message == "" or message.isprintable()


def test_every_type_has_a_parser() -> None:
    assert set(_PARSERS) == set(ParameterType)
