from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flexipy.config.reader import Config, Problem, read
from flexipy.config.schema import (
    Schema,
    Section,
    boolean,
    duration,
    expression,
    integer,
    integer_range,
    module_section,
    retired,
    string,
    string_list,
)


@pytest.fixture
def schema() -> Schema:
    """A small schema with one parameter of each kind that matters to the reader."""
    return Schema(
        [
            Section(
                "global",
                "All of it.",
                (
                    string_list("transports", "sip:*", "Where to listen."),
                    string("realm", "", "The realm."),
                    integer("udp-mtu", "1460", "The MTU.", minimum=0, maximum=65535),
                    duration("idle-timeout", "3600", "The timeout."),
                    integer_range("ports", "1024-65535", "The ports."),
                    boolean("enable-snmp", "false", "SNMP.", implemented=False),
                    retired("debug", "false", "use log-level"),
                ),
            ),
            module_section(
                "Registrar",
                "The registrar.",
                True,
                parameters=(
                    string_list("reg-domains", "localhost", "The domains."),
                    string("file-path", "", "The file.", aliases=("datasource",)),
                    expression("only", "is_request", "The requests."),
                ),
            ),
        ]
    )


Reading = Callable[..., tuple[Config, list[str]]]


@pytest.fixture
def reading(schema: Schema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    """Return a function that reads a text and gives the configuration and the problems as printed."""
    monkeypatch.chdir(tmp_path)

    def read_text(text: str, *overrides: str) -> tuple[Config, list[str]]:
        Path("f").write_text(text)
        config, problems = read(Path("f"), schema, overrides)
        assert all(isinstance(problem, Problem) for problem in problems)
        return config, [str(problem) for problem in problems]

    return read_text
