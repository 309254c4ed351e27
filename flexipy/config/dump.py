"""Writes what the schema knows: an annotated configuration file, a reference for people, data for programs."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from .reader import EMPTY
from .schema import Parameter, ParameterType, Schema, Section
from .values import UNIT_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Width of the comments in a file, leader included.
WIDTH = 100


def select(schema: Schema, which: str) -> Schema | None:
    """Return the part of a schema that the user asks for.

    Args:
        schema: The whole.
        which: `all`, a section, or a module with or without `module::`; case does not count.

    Returns:
        The part, or None when there is none of that name.
    """
    if which.lower() == "all":
        return schema
    section = schema.find_section(which) or schema.find_section(f"module::{which}")
    return Schema([section]) if section else None


def render_file(
    schema: Schema,
    values: Mapping[tuple[str, str], str] | None = None,
    trailers: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return a configuration file in which every parameter is explained.

    Args:
        schema: What to write.
        values: Texts of the parameters that are set, by (section, name); the others stand as comments with their
            default. A text is written as in a file: `""` is an empty value.
        trailers: Lines to put at the end of a section, by its name.
    """
    lines: list[str] = []
    for section in schema:
        if lines:
            lines += ["", ""]
        lines += ["##", *_comment(section.help, "##"), "##", f"[{section.name}]", ""]
        for parameter in section.parameters:
            value = (values or {}).get((section.name, parameter.name))
            if value is None and parameter.retired:
                continue
            lines += _file_entry(parameter, value)
        lines += (trailers or {}).get(section.name, ())
        while lines and not lines[-1]:
            lines.pop()
    return "\n".join(lines) + "\n"


def _file_entry(parameter: Parameter, value: str | None) -> list[str]:
    lines = _comment(parameter.help, "#")
    lines += [f"# {fact}" for fact in _facts(parameter)]
    lines.append(f"#{parameter.name}={parameter.default}" if value is None else f"{parameter.name}={value}")
    return [*lines, ""]


def _facts(parameter: Parameter) -> list[str]:
    facts = []
    if parameter.retired:
        facts.append("Withdrawn: it has no effect.")
    elif not parameter.implemented:
        facts.append("Not implemented yet: it has no effect.")
    if parameter.choices:
        facts.append(f"Possible values: {', '.join(parameter.choices)}")
    facts.append(f"Default: {parameter.default}".rstrip())
    if parameter.unit:
        facts.append(f"Default unit: {UNIT_NAMES[parameter.unit]}")
    return facts


def _comment(text: str, leader: str) -> list[str]:
    """Wrap paragraphs; lines that are indented are examples and stay as they are."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith(" "):
            lines.append(line)
        else:
            # Addresses and file names must not be cut at a hyphen.
            width = WIDTH - len(leader) - 1
            lines += textwrap.wrap(line, width, break_on_hyphens=False, break_long_words=False) or [""]
    return [f"{leader} {line}".rstrip() for line in lines]


def reference_markdown(schema: Schema) -> str:
    """Return the reference of all sections and parameters, docs/configuration.md."""
    lines = [
        "# Configuration reference",
        "",
        "Generated from the declarations in the code. A duration may have a unit: `ms`, `s`, `min`, `h`, `d`, `m` "
        '(month) or `y`; a bare number is in the unit given. An empty value keeps the default; write `""` for a '
        "value that is empty.",
        "",
    ]
    lines += [f"- [`[{section.name}]`](#{_anchor(section.name)})" for section in schema]
    for section in schema:
        lines += ["", f"## {section.name}", "", section.help, ""]
        for parameter in section.parameters:
            if not parameter.retired:
                lines += _markdown_entry(parameter)
        lines += _markdown_retired(section)
        lines.pop()
    return "\n".join(lines) + "\n"


def _markdown_entry(parameter: Parameter) -> list[str]:
    default = _code(parameter.default) if parameter.default else "empty"
    facts = [_type_in_words(parameter), f"default: {default}", f"since {parameter.since}"]
    if parameter.minimum is not None:
        facts.append(f"at least {parameter.minimum:.15g}")
    if parameter.maximum is not None:
        facts.append(f"at most {parameter.maximum:.15g}")
    if parameter.reloadable:
        facts.append("can be changed while the server runs")
    if parameter.aliases:
        facts.append("formerly " + ", ".join(_code(alias) for alias in parameter.aliases))
    if not parameter.implemented:
        facts.append("**no effect yet**")
    return [f"### {_code(parameter.name)}", "", "; ".join(facts), "", parameter.help.replace("*", r"\*"), ""]


def _markdown_retired(section: Section) -> list[str]:
    retired = [f"{_code(parameter.name)} ({parameter.help})" for parameter in section.parameters if parameter.retired]
    return [f"Known, without effect: {', '.join(retired)}.", ""] if retired else []


def _type_in_words(parameter: Parameter) -> str:
    if parameter.unit:
        return f"{parameter.type.value} in {UNIT_NAMES[parameter.unit]}"
    if parameter.choices:
        start = "one of" if parameter.type is ParameterType.ENUM else "list of"
        return f"{start} {', '.join(_code(choice) for choice in parameter.choices)}"
    return parameter.type.value


def _code(text: str) -> str:
    return f"`{text}`"


def _anchor(heading: str) -> str:
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def render_json(schema: Schema) -> str:
    """Return the declarations as JSON, for tools."""
    import json
    from dataclasses import asdict

    sections = [
        {
            "name": section.name,
            "help": section.help,
            "parameters": [asdict(parameter) | {"type": parameter.type.name} for parameter in section.parameters],
        }
        for section in schema
    ]
    return json.dumps(sections, indent=2, ensure_ascii=False) + "\n"


def render_doku(schema: Schema) -> str:
    """Return the reference as DokuWiki text."""
    lines: list[str] = []
    for section in schema:
        lines += [f"==== {section.name} ====", "", section.help, "", "^ Name ^ Description ^ Default ^ Type ^"]
        for parameter in section.parameters:
            if not parameter.retired:
                lines_of_help = (f"<nowiki>{line}</nowiki>" for line in parameter.help.split("\n") if line)
                default = f"''%%{parameter.default}%%''" if parameter.default else " "
                kind = _type_in_words(parameter).replace("`", "")
                help_text = "\\\\ ".join(lines_of_help)
                lines.append(f"| **{parameter.name}** | {help_text} | {default} | {kind} |")
        lines.append("")
    return "\n".join(lines)


# What --dump-format offers.
FORMATS: dict[str, Callable[[Schema], str]] = {
    "file": render_file,
    "markdown": reference_markdown,
    "json": render_json,
    "doku": render_doku,
}


def written(parameter: Parameter, text: str) -> str:
    """Return a value as it must stand in a file: an empty one in quotes where `name=` would keep the default."""
    return EMPTY if not text and parameter.default else text
