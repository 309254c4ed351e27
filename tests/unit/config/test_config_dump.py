from __future__ import annotations

import json
from pathlib import Path

import pytest

from flexipy.cli import config_tools
from flexipy.config.dump import FORMATS, reference_markdown, render_file, select
from flexipy.config.reader import read
from flexipy.config.schema import Schema
from flexipy.config.sections import build_schema


def uncommented(text: str) -> str:
    """Turn each `#name=value` into a line that counts."""
    return "\n".join(line[1:] if line.startswith("#") and line[1:2].isalnum() else line for line in text.split("\n"))


def test_the_dump_reads_as_the_defaults(tmp_path: Path) -> None:
    schema = build_schema()
    path = tmp_path / "flexisip.conf"
    path.write_text(render_file(schema))
    config, problems = read(path, schema)
    assert problems == []
    assert not any(config.section(s.name).is_set(p.name) for s in schema for p in s.parameters)


def test_the_dump_with_all_lines_in_force_reads_as_the_defaults(tmp_path: Path) -> None:
    schema = build_schema()
    path = tmp_path / "flexisip.conf"
    path.write_text(uncommented(render_file(schema)))
    config, problems = read(path, schema)
    assert problems == []
    for section in schema:
        for parameter in section.parameters:
            values = config.section(section.name)
            assert values.is_default(parameter.name)
            assert values.is_set(parameter.name) == bool(parameter.default and not parameter.retired)


def test_a_file_entry_is_explained(schema: Schema) -> None:
    text = render_file(schema, {("global", "udp-mtu"): "1300"})
    assert "##\n## All of it.\n##\n[global]\n" in text
    assert "# The MTU.\n# Default: 1460\nudp-mtu=1300\n" in text
    assert "# The timeout.\n# Default: 3600\n# Default unit: seconds\n#idle-timeout=3600\n" in text
    assert "# SNMP.\n# Not implemented yet: it has no effect.\n" in text
    assert "debug" not in text


def test_explanations_are_wrapped() -> None:
    explanations = [
        line
        for line in render_file(build_schema()).split("\n")
        if line.startswith("# ") and not line.startswith(("# Default", "# Possible"))
    ]
    assert max(len(line) for line in explanations) <= 100


def test_the_reference_names_every_parameter() -> None:
    schema = build_schema()
    text = reference_markdown(schema)
    for section in schema:
        assert f"\n## {section.name}\n" in text
        for parameter in section.parameters:
            assert f"`{parameter.name}`" in text


def test_json_has_all_fields(schema: Schema) -> None:
    sections = json.loads(FORMATS["json"](schema))
    assert [section["name"] for section in sections] == ["global", "module::Registrar"]
    assert sections[0]["parameters"][2] == {
        "name": "udp-mtu",
        "type": "INTEGER",
        "default": "1460",
        "help": "The MTU.",
        "unit": "",
        "since": "0.1",
        "aliases": [],
        "choices": [],
        "minimum": 0,
        "maximum": 65535,
        "implemented": True,
        "reloadable": False,
        "retired": False,
    }


@pytest.mark.parametrize("which", ["module::Registrar", "registrar", "MODULE::REGISTRAR"])
def test_a_module_may_be_named_in_short(schema: Schema, which: str) -> None:
    part = select(schema, which)
    assert part is not None
    assert [section.name for section in part] == ["module::Registrar"]


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_is_printed(schema: Schema, fmt: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert config_tools.dump_default(schema, "all", fmt) == 0
    assert "reg-domains" in capsys.readouterr().out


def test_dumping_what_is_not_there(schema: Schema, capsys: pytest.CaptureFixture[str]) -> None:
    assert config_tools.dump_default(schema, "registar") == 1
    assert config_tools.dump_default(schema, "all", "pdf") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "no section or module is called 'registar'; did you mean 'registrar'?",
        "unknown format 'pdf'; there are: file, markdown, json, doku",
    ]


def test_lists(schema: Schema, capsys: pytest.CaptureFixture[str]) -> None:
    config_tools.list_sections(schema)
    assert capsys.readouterr().out == "global\nmodule::Registrar\n"
    config_tools.list_modules(schema)
    assert capsys.readouterr().out == "module::Registrar\n"


def test_list_overrides(schema: Schema, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "f"
    path.write_text('[global]\nudp-mtu=1460\nrealm=x\ntransports=""\n')
    config, _ = read(path, schema, ["module::Registrar/datasource=/y"])
    config_tools.list_overrides(config)
    assert capsys.readouterr().out.splitlines() == [
        'global/transports=""',
        "global/realm=x",
        "module::Registrar/file-path=/y  # --set",
    ]


def test_check_counts_and_judges(schema: Schema, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "f"
    for text, status, summary in [
        ("[global]\nrealm=x\n", 0, "OK"),
        ("[global]\njunk\n", 0, "OK (1 warning)"),
        ("[global]\njunk\nudp-mtu=x\nzzzz=1\n", 1, "2 errors, 1 warning"),
        ("[module::Nowhere]\n", 1, "1 error"),
    ]:
        path.write_text(text)
        assert config_tools.check(path, schema) == status
        assert capsys.readouterr().out.splitlines()[-1] == f"{path}: {summary}"
    assert config_tools.check(tmp_path / "missing", schema) == 1
    assert config_tools.check(None, schema, ["global/udp-mtu=1300"]) == 0


def test_rewriting_keeps_values_and_renews_the_rest(
    schema: Schema, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "f"
    path.write_text(
        "# an old comment\n[module::Registrar]\ndatasource=/x\nreg-domains=localhost\nzzzz=1\n"
        "[GLOBAL]\ndebug=true\nrealm=a\nrealm=b\nudp-mtu=wrong\ntransports=sip:a \\\n sip:b\n"
        "[module::Plugin]\np=1\n[nowhere]\nq=1\n"
    )
    assert config_tools.rewrite_config(path, schema) == 0
    out, err = capsys.readouterr()
    in_force = [line for line in out.splitlines() if line and not line.startswith("#")]
    assert in_force == [
        "[global]",
        "transports=sip:a sip:b",
        "realm=a",
        "udp-mtu=wrong",
        "debug=true",
        "[module::Registrar]",
        "reg-domains=localhost",
        "file-path=/x",
        "[module::Plugin]",
        "p=1",
    ]
    assert "# Set twice (line 9 of the former file):\n#realm=b\n" in out
    assert "# Unknown parameter (line 5 of the former file):\n#zzzz=1\n" in out
    assert "#[nowhere]\n\n#q=1\n" in out
    assert "f:5: error: [module::Registrar] unknown parameter 'zzzz'" in err


def test_rewriting_a_file_that_cannot_be_read(
    schema: Schema, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert config_tools.rewrite_config(tmp_path / "missing", schema) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "cannot be read" in err
