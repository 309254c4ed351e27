"""The options of the `flexipy` command that look at a configuration instead of running a server.

Each prints to the standard output (what goes wrong to the standard error) and returns the exit status.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from flexipy.config.dump import FORMATS, reference_markdown, select, written
from flexipy.config.reader import Severity, load_ini, read
from flexipy.config.rewrite import rewrite
from flexipy.config.schema import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from flexipy.config.config import Config
    from flexipy.config.schema import Schema

# Exit statuses.
OK = 0
FAILED = 1


def dump_default(schema: Schema, which: str = "all", fmt: str = "file") -> int:
    """Print the defaults of one section or of all, with their explanations (--dump-default, --dump-all-default).

    Args:
        schema: What to print from.
        which: `all`, a section or a module.
        fmt: One of `FORMATS` (--dump-format).
    """
    render = FORMATS.get(fmt)
    if render is None:
        return _fail(f"unknown format '{fmt}'; there are: {', '.join(FORMATS)}")
    part = select(schema, which)
    if part is None:
        names = [section.name for section in schema]
        meant = nearest(which, [name.lower() for name in (*names, *(name.removeprefix("module::") for name in names))])
        hint = f"; did you mean '{meant}'?" if meant else "; see --list-sections"
        return _fail(f"no section or module is called '{which}'{hint}")
    sys.stdout.write(render(part))
    return OK


def dump_reference(schema: Schema) -> int:
    """Print the reference in Markdown, as it stands in docs/configuration.md."""
    sys.stdout.write(reference_markdown(schema))
    return OK


def list_sections(schema: Schema) -> int:
    """Print the names of all sections (--list-sections)."""
    for section in schema:
        print(section.name)
    return OK


def list_modules(schema: Schema) -> int:
    """Print the names of the modules' sections (--list-modules), and which of them are only known by name."""
    for section in schema:
        if section.is_module:
            installed = any(parameter.implemented for parameter in section.parameters)
            print(section.name if installed else f"{section.name}  # no effect yet")
    return OK


def list_overrides(config: Config) -> int:
    """Print what differs from the defaults, in the form that --set takes (--list-overrides)."""
    from_command_line = {override.partition("=")[0].strip().lower() for override in config.overrides}
    for section in config.schema:
        values = config.section(section.name)
        for parameter in section.parameters:
            if values.is_default(parameter.name):
                continue
            target = f"{section.name}/{parameter.name}"
            names = (parameter.name, *parameter.aliases)
            given = any(f"{section.name}/{name}".lower() in from_command_line for name in names)
            note = "  # --set" if given else ""
            print(f"{target}={written(parameter, values.raw(parameter.name))}{note}")
    return OK


def rewrite_config(path: Path, schema: Schema) -> int:
    """Print the user's file renewed (--rewrite-config); what was wrong with it goes to the standard error."""
    ini = load_ini(path)
    if any(problem.line == 0 and problem.is_error for problem in ini.problems):
        return _fail(*(str(problem) for problem in ini.problems))
    _, problems = read(path, schema)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.stdout.write(rewrite(ini, schema))
    return OK


def check(
    path: Path | None,
    schema: Schema,
    overrides: Sequence[str] = (),
    look_further: Callable[[Config], Sequence[str]] | None = None,
) -> int:
    """Print all problems of a configuration, and a summary (--check).

    Stricter than a start in one thing: the section of an unknown module is an error, since it may be a slip of the
    pen.

    Args:
        path: the file, None for the defaults.
        schema: what may stand in it.
        overrides: what `--set` gives.
        look_further: finds what is wrong in a configuration that is free of errors by itself, a line each.

    Returns:
        0, or 1 when there are errors.
    """
    config, problems = read(path, schema, overrides, unknown_module=Severity.ERROR)
    for problem in problems:
        print(problem)
    errors = sum(problem.is_error for problem in problems)
    warnings = len(problems) - errors
    if not errors and look_further is not None:
        for line in look_further(config):
            print(line)
            errors += 1
    name = path if path is not None else "defaults"
    counted = ", ".join(_count(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n)
    if errors:
        print(f"{name}: {counted}")
        return FAILED
    print(f"{name}: OK" + (f" ({counted})" if counted else ""))
    return OK


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _fail(*messages: str) -> int:
    for message in messages:
        print(message, file=sys.stderr)
    return FAILED
