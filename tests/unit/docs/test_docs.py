"""The documents say nothing that isn't so: links lead somewhere, names of the configuration and of commands exist."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from flexipy.cli import certificate, control, main, passwd, pusher
from flexipy.config.reader import Severity, read
from flexipy.config.schema import Schema
from flexipy.servers.control import Commands
from flexipy.servers.discovery import full_schema
from flexipy.transport.specs import _PARAMETERS as TRANSPORT_PARAMETERS

ROOT = Path(__file__).resolve().parents[3]
_SKIPPED = {".venv", "node_modules", "build", "dist", "var"}
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if _SKIPPED.isdisjoint(path.relative_to(ROOT).parts) and not any(part[0] == "." for part in path.parts[1:])
)
CONFIGURATIONS = sorted((ROOT / "conf").glob("*.conf")) + sorted((ROOT / "examples").rglob("flexi*.conf"))

_FENCE = re.compile(r"^(```+)(\w*)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_INLINE = re.compile(r"`([^`\n]+)`")
_OPTION = re.compile(r"(?<![\w-])(?:--[a-z][a-z-]*|-[a-zA-Z](?=\s|$))")
# What others than flexipy understand: Linphone, Kamailio, Asterisk, SDP, SQLite, Python.
_FOREIGN_NAMES = {"root_ca", "listen", "alias", "db", "db_mode", "type", "outbound", "c", "m", "synchronous"}
_FOREIGN_NAMES |= {"implemented"}
_FOREIGN_SECTIONS = {"sip"}
# The modules of examples.
_EXAMPLES = {"module::QuietHours", "module::Name", "module::X"}
_NEXT_COMMAND = re.compile(r"[|;<>]|&&")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def blocks(path: Path, *languages: str) -> Iterator[str]:
    """The code blocks in one of these languages."""
    for match in _FENCE.finditer(text_of(path)):
        if match[2] in languages:
            yield match[3]


def prose(path: Path) -> str:
    return _FENCE.sub("", text_of(path))


@cache
def schema() -> Schema:
    return full_schema()


@cache
def parameter_names() -> frozenset[str]:
    return frozenset(name for section in schema() for each in section.parameters for name in (each.name, *each.aliases))


# --- links -----------------------------------------------------------------------------------------------


@cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+)$", prose(path), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        number = 0
        while (candidate := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(candidate)
    return frozenset(found)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_relative_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in _LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


# --- configuration ---------------------------------------------------------------------------------------


def mistakes(path: Path) -> list[str]:
    _, problems = read(path, schema(), unknown_module=Severity.ERROR)
    return [str(problem) for problem in problems]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_configurations_shown_are_good(path: Path, tmp_path: Path) -> None:
    found = []
    for number, block in enumerate(blocks(path, "ini")):
        shown = tmp_path / f"{path.stem}-{number}.conf"
        shown.write_text(block)
        found += mistakes(shown)
    assert found == []


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=name_of)
def test_configurations_shipped_are_good(path: Path) -> None:
    assert mistakes(path) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_sections_and_parameters_named_are_known(path: Path) -> None:
    unknown = []
    for code in _INLINE.findall(prose(path)):
        section = re.match(r"\[([a-z][\w:-]*)\]( [a-z][a-z-]*)?$", code)
        if section and section[1] not in _EXAMPLES | _FOREIGN_SECTIONS:
            name = (section[2] or "").strip()
            if section[1] not in schema() or (name and schema().find_parameter(section[1], name) is None):
                unknown.append(code)
        assigned = re.match(r"([a-z][a-z_-]*)=", code)
        if assigned and assigned[1] not in parameter_names() | TRANSPORT_PARAMETERS | _FOREIGN_NAMES:
            unknown.append(code)
    assert unknown == []


# --- commands --------------------------------------------------------------------------------------------


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Every option of a parser and of its actions."""
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                found |= options_of(below)
    return found


@cache
def flexipy_options() -> frozenset[str]:
    parsers = (tool._parser() for tool in (main, passwd, certificate, pusher))
    return frozenset(option for parser in parsers for option in options_of(parser))


@cache
def cli_commands() -> frozenset[str]:
    return frozenset(Commands(cast(Any, None))._by_name)


def commands_in(path: Path, program: str) -> Iterator[str]:
    """Each use of a program in code, from behind its name to the end of the command."""
    lines = [line for block in blocks(path, "sh", "console", "text") for line in block.splitlines()]
    use = re.compile(rf"(?:^(?:\$ )?|-- )(?:[\w./]*/)?{program}(?= )(.*)")
    for line in [*lines, *_INLINE.findall(prose(path))]:
        match = use.search(line)
        if match:
            yield _NEXT_COMMAND.split(match[1])[0].strip()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_options_of_flexipy_exist(path: Path) -> None:
    used = {option for command in commands_in(path, "flexipy") for option in _OPTION.findall(command)}
    used |= {code.split()[0] for code in _INLINE.findall(prose(path)) if code.startswith("--")}
    used = {re.split(r"[=]", option)[0] for option in used}
    assert used - flexipy_options() - {"--socket", "--table", "--generate"} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_actions_of_flexipy_passwd_exist(path: Path) -> None:
    parser = passwd._parser()
    (actions,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for command in commands_in(path, "flexipy passwd"):
        words = [word for word in shlex.split(command) if not word.startswith("-")]
        assert len(words) < 2 or words[1] in actions.choices, command


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_commands_of_flexipy_cli_exist(path: Path) -> None:
    for command in commands_in(path, "flexipy-cli"):
        words = shlex.split(command)
        while words and words[0].startswith("-"):
            option = words.pop(0)
            assert option in ("--socket", "--table", "--pid", "--server", "-p", "-s"), command
            if option != "--table" and words:
                words.pop(0)
        assert not words or words[0] in cli_commands(), command


def test_help_of_flexipy_cli_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        control.main(["--help"])
    told = capsys.readouterr().out
    assert [name for name in cli_commands() if name not in told] == []


def test_operations_explains_every_command() -> None:
    told = text_of(ROOT / "docs" / "operations.md")
    assert [name for name in cli_commands() if name not in told] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = [*_INLINE.findall(prose(path)), *"\n".join(blocks(path, "sh", "console")).splitlines()]
    used = {match[1] for line in code if (match := re.match(r"(?:\$ )?make ([a-z-]+)", line))}
    assert used - targets == set()
