from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flexipy.config.errors import Severity
from flexipy.config.reader import Config, ConfigError, read
from flexipy.config.schema import Schema

Reading = Callable[..., tuple[Config, list[str]]]


def test_values_are_typed(reading: Reading) -> None:
    config, problems = reading(
        "[global]\ntransports=sip:* sips:*\nudp-mtu=1300\nidle-timeout=5min\nports=10-20\n"
        "[module::Registrar]\nenabled=false\nfilter=is_response\nreg-domains=a b\n"
    )
    assert problems == []
    values = config.section("global")
    assert values["transports"] == values.strings("transports") == ["sip:*", "sips:*"]
    assert values["udp-mtu"] == values.integer("udp-mtu") == 1300
    assert values["idle-timeout"] == values.seconds("idle-timeout") == 300.0
    assert values["ports"] == values.range("ports") == (10, 20)
    assert config.section("module::Registrar").boolean("enabled") is False
    assert config.section("module::Registrar").expression("filter") is not None


def test_without_a_file_all_is_default(schema: Schema) -> None:
    config, problems = read(None, schema)
    assert problems == []
    assert config.path is None
    assert config.section("module::Registrar")["reg-domains"] == ["localhost"]
    assert config.section("module::Registrar").expression("filter") is None
    assert config.section("global").is_default("transports")


def test_names_are_compared_without_case(reading: Reading) -> None:
    config, problems = reading("[MODULE::registrar]\nReg-Domains=x\n")
    assert problems == []
    assert config.section("module::Registrar")["reg-domains"] == ["x"]
    assert config.section("Module::REGISTRAR") is config.section("module::Registrar")


def test_the_parts_of_a_repeated_section_are_merged(reading: Reading) -> None:
    config, problems = reading("[global]\nrealm=x\n[module::Registrar]\n[global]\nudp-mtu=1\n")
    assert problems == []
    assert (config.section("global")["realm"], config.section("global")["udp-mtu"]) == ("x", 1)


def test_unknown_names_are_errors_that_say_what_was_meant(reading: Reading) -> None:
    _, problems = reading("[module::Registrar]\nreg-domain=x\nrealm=x\nzzzz=1\n[globl]\na=1\nb=2\n")
    assert problems == [
        "f:2: error: [module::Registrar] unknown parameter 'reg-domain'; did you mean 'reg-domains'?",
        "f:3: error: [module::Registrar] unknown parameter 'realm'; it belongs to [global]",
        "f:4: error: [module::Registrar] unknown parameter 'zzzz'",
        "f:5: error: unknown section [globl]; did you mean [global]?",
    ]
    assert reading("[registrar]")[1] == ["f:1: error: unknown section [registrar]; did you mean [module::Registrar]?"]


def test_the_section_of_an_unknown_module_is_reported_once_as_a_warning(reading: Reading) -> None:
    _, problems = reading("[module::MyPlugin]\na=1\n[module::MyPlugin]\nb=1\n")
    assert problems == ["f:1: warning: unknown section [module::MyPlugin]: ignored, no such module is installed"]


def test_the_section_of_an_unknown_module_may_be_made_an_error(schema: Schema, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("[module::MyPlugin]\n")
    (problem,) = read(path, schema, unknown_module=Severity.ERROR)[1]
    assert problem.is_error


def test_a_wrong_value_is_an_error_and_the_default_stays(reading: Reading) -> None:
    config, problems = reading("[global]\nudp-mtu=big\nidle-timeout=1 h\n")
    assert [problem.split(": ")[:2] for problem in problems] == [["f:2", "error"], ["f:3", "error"]]
    assert "'udp-mtu' must be a whole number, not 'big'" in problems[0]
    assert config.section("global")["udp-mtu"] == 1460


def test_a_wrong_filter_names_the_column(reading: Reading) -> None:
    _, problems = reading("[module::Registrar]\nfilter=is_request && user-agen == 'x'\n")
    assert problems == [
        "f:2: error: [module::Registrar] unknown variable 'user-agen'; did you mean 'user-agent'? (column 15)"
    ]


def test_a_filter_that_may_surprise_is_a_warning(reading: Reading) -> None:
    _, (problem,) = reading("[module::Registrar]\nfilter=is_request && is_response || is_request\n")
    assert problem.startswith("f:2: warning: [module::Registrar] 'filter': && and || without brackets")


def test_a_repeated_parameter_is_an_error_and_the_first_counts(reading: Reading) -> None:
    config, problems = reading("[global]\nrealm=a\n[global]\nREALM=b\n")
    assert problems == ["f:4: error: [global] 'realm' is already set in line 2; which one counts?"]
    assert config.section("global")["realm"] == "a"


def test_a_former_name_works_with_a_warning(reading: Reading) -> None:
    config, problems = reading("[module::Registrar]\ndatasource=/x\n")
    assert problems == [
        "f:2: warning: [module::Registrar] 'datasource' is the former name of 'file-path'; please rename it"
    ]
    assert config.section("module::Registrar")["file-path"] == "/x"


@pytest.mark.parametrize("lines", ["datasource=/old\nfile-path=/new", "file-path=/new\ndatasource=/old"])
def test_the_current_name_wins_over_the_former(reading: Reading, lines: str) -> None:
    config, problems = reading(f"[module::Registrar]\n{lines}\n")
    assert config.section("module::Registrar")["file-path"] == "/new"
    assert all("warning" in problem for problem in problems)


def test_what_has_no_effect_is_one_warning_unless_default(reading: Reading) -> None:
    assert reading("[global]\nenable-snmp=0\ndebug=false\n")[1] == []
    assert reading("[global]\nenable-snmp=true\ndebug=true\n")[1] == [
        "f:2: warning: [global] 'enable-snmp' has no effect yet",
        "f:3: warning: [global] 'debug' has no effect any more: use log-level",
    ]
    assert reading("[global]\nenable-snmp=what\n")[1] == ["f:2: warning: [global] 'enable-snmp' has no effect yet"]


def test_no_value_keeps_the_default_as_in_flexisip(reading: Reading) -> None:
    config, problems = reading("[global]\ntransports=\nrealm=\n")
    assert config.section("global")["transports"] == ["sip:*"]
    assert problems == [
        "f:2: warning: [global] 'transports' has no value, so it stays 'sip:*'; write \"\" for an empty one"
    ]


def test_two_double_quotes_are_an_empty_value(reading: Reading) -> None:
    config, problems = reading('[global]\ntransports=""\n[module::Registrar]\nonly=""\n')
    assert problems == []
    assert config.section("global")["transports"] == []
    assert config.section("module::Registrar").expression("only") is None
    assert not config.section("module::Registrar").is_default("only")


def test_overrides_win_over_the_file(reading: Reading) -> None:
    config, problems = reading("[global]\nrealm=file\n", "global/realm=a=b", "module::Registrar/datasource=/x")
    assert config.section("global")["realm"] == "a=b"
    assert config.section("module::Registrar")["file-path"] == "/x"
    assert config.overrides == ("global/realm=a=b", "module::Registrar/datasource=/x")
    assert len(problems) == 1
    assert problems[0].startswith("--set module::Registrar/datasource: warning: ")


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("realm", "--set realm: error: 'realm' is not of the form section/name=value"),
        ("realm=x", "--set realm: error: 'realm=x' is not of the form section/name=value"),
        ("/=x", "--set /: error: '/=x' is not of the form section/name=value"),
        ("globl/realm=x", "--set globl/realm: error: unknown section [globl]; did you mean [global]?"),
        ("module::Foo/a=x", "--set module::Foo/a: error: unknown section [module::Foo]"),
        ("global/rea=x", "--set global/rea: error: [global] unknown parameter 'rea'; did you mean 'realm'?"),
        ("global/udp-mtu=x", "--set global/udp-mtu: error: [global] 'udp-mtu' must be a whole number, not 'x'"),
    ],
)
def test_wrong_overrides(reading: Reading, override: str, problem: str) -> None:
    assert reading("", override)[1] == [problem]


def test_an_unreadable_file_is_a_problem(schema: Schema, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, Path("a\0b")):
        config, (problem,) = read(path, schema)
        assert problem.is_error
        assert "cannot be read: " in problem.message
        assert config.section("global")["udp-mtu"] == 1460


def test_problems_come_in_the_order_of_the_lines(reading: Reading) -> None:
    _, problems = reading("[global]\nzzzz=1\njunk\n[nowhere]\nmore junk\n[global]\nudp-mtu=x\n")
    assert [problem.split(":")[1] for problem in problems] == ["2", "3", "4", "5", "7"]


def test_the_directory_is_that_of_the_file(reading: Reading, schema: Schema, tmp_path: Path) -> None:
    config, _ = reading("")
    assert config.path == Path("f")
    assert config.directory == tmp_path
    assert read(None, schema)[0].directory == tmp_path


def test_a_value_can_be_set_at_run_time(reading: Reading) -> None:
    config, _ = reading("[global]\nudp-mtu=1300\n")
    values = config.section("global")
    values.set("UDP-MTU", "1400")
    assert values["udp-mtu"] == 1400
    assert values.raw("udp-mtu") == "1400"
    assert not values.is_default("udp-mtu")
    values.set("udp-mtu", "1460")
    assert values.is_default("udp-mtu")
    assert values.is_set("udp-mtu")


def test_setting_a_wrong_value_changes_nothing(reading: Reading) -> None:
    values = reading("[global]\nudp-mtu=1300\n")[0].section("global")
    with pytest.raises(ConfigError, match="at most 65535"):
        values.set("udp-mtu", "70000")
    with pytest.raises(ConfigError, match=r"unknown parameter 'udp-mtt' in .global.; did you mean 'udp-mtu'"):
        values.set("udp-mtt", "1")
    assert values["udp-mtu"] == 1300


def test_is_default_compares_meaning_not_spelling(reading: Reading) -> None:
    config, _ = reading("[global]\nidle-timeout=1h\n[module::Registrar]\nenabled=1\n")
    assert config.section("global").is_default("idle-timeout")
    assert config.section("module::Registrar").is_default("enabled")


def test_asking_for_what_is_not_declared(schema: Schema) -> None:
    config, _ = read(None, schema)
    with pytest.raises(ConfigError, match="unknown section"):
        config.section("nowhere")
    with pytest.raises(ConfigError, match="unknown parameter 'x'"):
        config.section("global")["x"]
    with pytest.raises(TypeError, match="udp-mtu is a integer"):
        config.section("global").boolean("udp-mtu")
