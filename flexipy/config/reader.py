"""Reads a configuration: file and `--set` options in, a `Config` and everything that is wrong with them out.

The rule for what is an error: what Flexisip refuses is an error here, what it accepts is at most a warning,
so that a file that worked there is read here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import Config, SectionValues
from .errors import ConfigError, Problem, Severity, shorten
from .expression import surprises
from .ini import MAX_FILE, Entry, IniFile, parse_ini
from .schema import Parameter, ParameterType, Schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Config", "ConfigError", "Problem", "SectionValues", "Severity", "load_ini", "read"]

# How a value is written that is empty on purpose, since `name=` keeps the default.
EMPTY = '""'


def read(
    path: Path | None,
    schema: Schema,
    overrides: Sequence[str] = (),
    unknown_module: Severity = Severity.WARNING,
) -> tuple[Config, list[Problem]]:
    """Read a configuration.

    Args:
        path: The file, or None for the defaults.
        schema: What may stand in it.
        overrides: `section/name=value` texts of the command line; they win over the file.
        unknown_module: How bad a section `module::X` is that the schema does not know. A server starts
            without a plugin that is not installed.

    Returns:
        The configuration, usable as far as it could be read, and all problems in the order of the lines. A
        server must not start when one of them is an error.
    """
    ini = IniFile("") if path is None else load_ini(path)
    config = Config(schema, path, tuple(overrides))
    reader = _Reader(ini, schema, config, unknown_module)
    reader.apply_file()
    problems = sorted(ini.problems, key=lambda problem: problem.line)
    for override in overrides:
        label = IniFile(f"--set {shorten(override.partition('=')[0].strip())}")
        _Reader(label, schema, config, unknown_module).apply_override(override)
        problems += label.problems
    return config, problems


def load_ini(path: Path) -> IniFile:
    """Read and split a file; one that cannot be read gives an empty result with one problem."""
    try:
        with open(path, "rb") as file:
            return parse_ini(file.read(MAX_FILE + 1), str(path))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        ini = IniFile(str(path))
        reason = getattr(error, "strerror", None) or str(error)
        ini.report(0, Severity.ERROR, f"cannot be read: {reason}")
        return ini


class _Reader:
    """One reading: takes the entries in their order and remembers where each parameter was set."""

    def __init__(self, ini: IniFile, schema: Schema, config: Config, unknown_module: Severity) -> None:
        self._ini = ini
        self._schema = schema
        self._config = config
        self._unknown_module = unknown_module
        self._set_by: dict[tuple[str, str], Entry] = {}

    def apply_file(self) -> None:
        seen: set[str] = set()
        for header in self._ini.headers:
            if header.name not in self._schema and header.name.lower() not in seen:
                seen.add(header.name.lower())
                self._unknown_section(header.line, header.name)
        for entry in self._ini.entries:
            if entry.section in self._schema:
                self._apply(entry)

    def apply_override(self, text: str) -> None:
        target, equals, value = text.partition("=")
        section, slash, name = (part.strip() for part in target.rpartition("/"))
        if not equals or not slash or not section or not name:
            self._ini.report(0, Severity.ERROR, f"'{shorten(text)}' is not of the form section/name=value")
        elif section not in self._schema:
            self._unknown_section(0, section)
        else:
            self._apply(Entry(0, section, name, value.strip()))

    def _unknown_section(self, line: int, name: str) -> None:
        meant = self._schema.nearest_section(name)
        message = f"unknown section [{shorten(name)}]"
        severity = Severity.ERROR
        if name.lower().startswith("module::") and line and not meant:
            # A plugin that is not installed; a name close to a known one is a slip of the pen, and starting
            # without Authentication because of one would be worse than not starting.
            severity = self._unknown_module
            message += ": ignored, no such module is installed"
        if meant:
            message += f"; did you mean [{meant}]?"
        self._ini.report(line, severity, message)

    def _apply(self, entry: Entry) -> None:
        parameter = self._schema.find_parameter(entry.section, entry.name)
        if parameter is None:
            self._unknown_parameter(entry)
            return
        if not entry.value:
            # As in Flexisip, where this is how a value is taken back.
            kept = self._config.section(entry.section).raw(parameter.name)
            if kept:
                message = f"'{parameter.name}' has no value, so it stays '{shorten(kept)}'"
                self._report(entry, Severity.WARNING, f"{message}; write {EMPTY} for an empty one")
            return
        if not self._claim(entry, parameter):
            return
        text = "" if entry.value == EMPTY else entry.value
        if parameter.implemented:
            self._store(entry, parameter, text)
        else:
            self._store_unimplemented(entry, parameter, text)

    def _claim(self, entry: Entry, parameter: Parameter) -> bool:
        """Decide between entries for the same parameter: the current name wins, a repetition is an error."""
        is_old_name = entry.name.lower() != parameter.name
        if is_old_name:
            message = f"'{shorten(entry.name)}' is the former name of '{parameter.name}'"
            self._report(entry, Severity.WARNING, f"{message}; please rename it")
        key = (entry.section.lower(), parameter.name)
        earlier = self._set_by.get(key)
        if earlier is None:
            self._set_by[key] = entry
            return True
        if earlier.name.lower() == entry.name.lower():
            self._report(
                entry,
                Severity.ERROR,
                f"'{parameter.name}' is already set in line {earlier.line}; which one counts?",
            )
            return False
        if is_old_name:
            self._report(entry, Severity.WARNING, f"ignored, since '{parameter.name}' is set in line {earlier.line}")
            return False
        self._set_by[key] = entry
        return True

    def _store(self, entry: Entry, parameter: Parameter, text: str) -> None:
        try:
            self._config.section(entry.section).set(parameter.name, text)
        except ConfigError as error:
            self._report(entry, Severity.ERROR, str(error))
            return
        if parameter.type is ParameterType.EXPRESSION and "&&" in text and "||" in text:
            for remark in surprises(text):
                self._report(entry, Severity.WARNING, f"'{parameter.name}': {remark}")

    def _store_unimplemented(self, entry: Entry, parameter: Parameter, text: str) -> None:
        """Keep the value if it can be read; nothing depends on it, so a bad one is no error."""
        values = self._config.section(entry.section)
        try:
            values.set(parameter.name, text)
            has_default = values.is_default(parameter.name)
        except ConfigError:
            has_default = False
        if not has_default:
            state = f"any more: {parameter.help}" if parameter.retired else "yet"
            self._report(entry, Severity.WARNING, f"'{parameter.name}' has no effect {state}")

    def _unknown_parameter(self, entry: Entry) -> None:
        message = f"unknown parameter '{shorten(entry.name)}'"
        meant = self._schema.nearest_parameter(entry.section, entry.name)
        if meant:
            message += f"; did you mean '{meant}'?"
        else:
            owners = self._schema.sections_with(entry.name)
            if owners:
                message += f"; it belongs to [{owners[0]}]"
        self._report(entry, Severity.ERROR, message)

    def _report(self, entry: Entry, severity: Severity, message: str) -> None:
        section = self._schema.find_section(entry.section)
        where = section.name if section else entry.section
        self._ini.report(entry.line, severity, f"[{where}] {message}")
