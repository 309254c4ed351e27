"""Renews a user's file: today's parameters and explanations, the user's values, former names replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dump import render_file

if TYPE_CHECKING:
    from .ini import Entry, IniFile
    from .schema import Schema


def rewrite(ini: IniFile, schema: Schema) -> str:
    """Return the file anew.

    All values that are set stay set, also those equal to their default. What the schema does not know, and what a
    second entry for the same parameter says, is kept as a comment at the end of its section. A section of an
    unknown module is kept as it is, for the module may come from a package that is not installed here.

    Args:
        ini: The user's file.
        schema: What may stand in it.
    """
    values: dict[tuple[str, str], str] = {}
    chosen: dict[tuple[str, str], Entry] = {}
    trailers: dict[str, list[str]] = {}
    strangers: list[Entry] = []
    for entry in ini.entries:
        section = schema.find_section(entry.section)
        if section is None:
            strangers.append(entry)
            continue
        parameter = schema.find_parameter(entry.section, entry.name)
        if parameter is None:
            trailers.setdefault(section.name, []).extend(_aside(entry, "Unknown parameter"))
            continue
        key = (section.name, parameter.name)
        earlier = chosen.get(key)
        is_current = entry.name.lower() == parameter.name
        if not entry.value:
            continue  # the same as nothing, see the reader
        if earlier is not None and not (is_current and earlier.name.lower() != parameter.name):
            trailers.setdefault(section.name, []).extend(_aside(entry, "Set twice"))
            continue
        chosen[key] = entry
        values[key] = entry.value
    return render_file(schema, values, trailers) + _unknown_sections(strangers)


def _aside(entry: Entry, reason: str) -> list[str]:
    return [f"# {reason} (line {entry.line} of the former file):", f"#{entry.name}={entry.value}", ""]


def _unknown_sections(entries: list[Entry]) -> str:
    lines: list[str] = []
    by_section: dict[str, list[Entry]] = {}
    for entry in entries:
        by_section.setdefault(entry.section, []).append(entry)
    for name, members in by_section.items():
        is_module = name.lower().startswith("module::")
        comment = "" if is_module else "#"
        reason = "A module that is not installed." if is_module else "Unknown section."
        lines += ["", "", "##", f"## {reason}", "##", f"{comment}[{name}]", ""]
        lines += [f"{comment}{entry.name}={entry.value}" for entry in members]
    return "".join(f"{line}\n" for line in lines)
