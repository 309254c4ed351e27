"""What a configuration may contain: sections and their parameters, declared once beside the code that uses
them.

Everything else in this room (reader, dump, reference, suggestions) is derived from these declarations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypedDict, Unpack


class ParameterType(Enum):
    """How the text of a parameter is read. The value is the name shown to users."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    STRING = "string"
    STRING_LIST = "list of strings"
    DURATION = "duration"
    INTEGER_RANGE = "range of integers"
    FLOAT = "number"
    ENUM = "choice"
    EXPRESSION = "boolean expression"
    BYTE_SIZE = "size in bytes"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One `name=value` of a section.

    Args:
        name: Lower-case name with hyphens, as written in the file.
        type: How the text is read.
        default: The default, written as in a file.
        help: One paragraph (or a few, split by blank lines) in plain words.
        unit: Unit of a bare number of a DURATION: one of ms, s, min, h, d, m, y. The typed value is in
            seconds.
        since: First flexipy version that knows the parameter.
        aliases: Older names. Reading one gives a warning and its value lands on `name`.
        choices: Allowed values of an ENUM, or of each element of a STRING_LIST; empty allows all.
        minimum: Smallest allowed number (seconds for a DURATION).
        maximum: Largest allowed number (seconds for a DURATION).
        implemented: False for a known Flexisip name that has no effect here yet.
        reloadable: True when a running server takes a new value without a restart.
        retired: True for a name that Flexisip has given up too: old files may have it, it is not offered any
            more.
    """

    name: str
    type: ParameterType
    default: str
    help: str
    unit: str = ""
    since: str = "0.1"
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    implemented: bool = True
    reloadable: bool = False
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A `[name]` of the file and the parameters that may stand in it, in the order they are dumped."""

    name: str
    help: str
    parameters: tuple[Parameter, ...]

    @property
    def is_module(self) -> bool:
        """Whether this is the section of a pipeline module."""
        return self.name.startswith(MODULE_PREFIX)


MODULE_PREFIX = "module::"


class Schema:
    """All the sections a configuration may contain, in order.

    Names are looked up without regard to case, as Flexisip does.
    """

    __slots__ = ("_parameters", "_sections")

    def __init__(self, sections: Iterable[Section] = ()) -> None:
        self._sections: dict[str, Section] = {}
        self._parameters: dict[str, dict[str, Parameter]] = {}
        for section in sections:
            self.add(section)

    def add(self, section: Section) -> None:
        """Add a section.

        Raises:
            ValueError: The section, or one of its parameter names, is declared twice.
        """
        key = section.name.lower()
        if key in self._sections:
            raise ValueError(f"section [{section.name}] is declared twice")
        index: dict[str, Parameter] = {}
        for parameter in section.parameters:
            for name in (parameter.name, *parameter.aliases):
                if index.setdefault(name.lower(), parameter) is not parameter:
                    raise ValueError(f"[{section.name}] declares '{name}' twice")
        self._sections[key] = section
        self._parameters[key] = index

    def section(self, name: str) -> Section:
        """Return the section of that name.

        Raises:
            KeyError: There is none.
        """
        return self._sections[name.lower()]

    def find_section(self, name: str) -> Section | None:
        """Return the section of that name, or None."""
        return self._sections.get(name.lower())

    def find_parameter(self, section: str, name: str) -> Parameter | None:
        """Return the parameter with that name or former name, or None."""
        return self._parameters.get(section.lower(), {}).get(name.lower())

    def __iter__(self) -> Iterator[Section]:
        return iter(self._sections.values())

    def __len__(self) -> int:
        return len(self._sections)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._sections

    def nearest_section(self, name: str) -> str | None:
        """Return the section name that was probably meant, or None when nothing is close."""
        # Compared without the prefix, which would make all modules look alike and which people leave out.
        wanted = name.lower().removeprefix(MODULE_PREFIX)
        only_modules = wanted != name.lower()
        candidates = {
            key.removeprefix(MODULE_PREFIX): section.name
            for key, section in self._sections.items()
            if section.is_module or not only_modules
        }
        found = nearest(wanted, candidates)
        return candidates[found] if found else None

    def nearest_parameter(self, section: str, name: str) -> str | None:
        """Return the parameter of the section that was probably meant, or None when nothing is close."""
        index = self._parameters.get(section.lower(), {})
        found = nearest(name, index)
        return index[found].name if found else None

    def sections_with(self, name: str) -> list[str]:
        """Return the names of the sections that have a parameter of exactly that name."""
        key = name.lower()
        return [self._sections[section].name for section, index in self._parameters.items() if key in index]


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like a mistyped name, or None when none is close."""
    # Imported here: it is needed only to explain a mistake, and every start would pay for it.
    import difflib

    # Matching is quadratic; nobody means a name by hundreds of characters.
    found = difflib.get_close_matches(name.lower()[:100], list(candidates), n=1, cutoff=0.6)
    return found[0] if found else None


class ParameterOptions(TypedDict, total=False):
    """The optional fields of a `Parameter`, for the constructors below."""

    since: str
    aliases: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    implemented: bool
    reloadable: bool


def boolean(name: str, default: str, help: str, **options: Unpack[ParameterOptions]) -> Parameter:
    """Declare a parameter that is `true` or `false`."""
    return Parameter(name, ParameterType.BOOLEAN, default, help, **options)


def integer(name: str, default: str, help: str, **options: Unpack[ParameterOptions]) -> Parameter:
    """Declare a whole number."""
    return Parameter(name, ParameterType.INTEGER, default, help, **options)


def number(name: str, default: str, help: str, **options: Unpack[ParameterOptions]) -> Parameter:
    """Declare a number that may have decimals."""
    return Parameter(name, ParameterType.FLOAT, default, help, **options)


def string(name: str, default: str, help: str, **options: Unpack[ParameterOptions]) -> Parameter:
    """Declare free text."""
    return Parameter(name, ParameterType.STRING, default, help, **options)


def string_list(
    name: str, default: str, help: str, choices: tuple[str, ...] = (), **options: Unpack[ParameterOptions]
) -> Parameter:
    """Declare a list of words separated by white space, each one of `choices` if that is not empty."""
    return Parameter(name, ParameterType.STRING_LIST, default, help, choices=choices, **options)


def duration(name: str, default: str, help: str, unit: str = "s", **options: Unpack[ParameterOptions]) -> Parameter:
    """Declare a duration; `unit` is that of a bare number. The typed value is in seconds."""
    return Parameter(name, ParameterType.DURATION, default, help, unit=unit, **options)


def integer_range(name: str, default: str, help: str, **options: Unpack[ParameterOptions]) -> Parameter:
    """Declare two whole numbers `low-high`, or one that stands for both."""
    return Parameter(name, ParameterType.INTEGER_RANGE, default, help, **options)


def enum(
    name: str, default: str, help: str, choices: tuple[str, ...], **options: Unpack[ParameterOptions]
) -> Parameter:
    """Declare one of a few words."""
    return Parameter(name, ParameterType.ENUM, default, help, choices=choices, **options)


def expression(name: str, default: str, help: str, **options: Unpack[ParameterOptions]) -> Parameter:
    """Declare a boolean expression over a SIP message (see `flexipy.config.expression`)."""
    return Parameter(name, ParameterType.EXPRESSION, default, help, **options)


def byte_size(name: str, default: str, help: str, **options: Unpack[ParameterOptions]) -> Parameter:
    """Declare a number of bytes; the suffixes K, M and G count in thousands, as in Flexisip."""
    return Parameter(name, ParameterType.BYTE_SIZE, default, help, **options)


def retired(name: str, default: str, help: str) -> Parameter:
    """Declare a name of old files that means nothing any more; `help` says what to do instead."""
    return Parameter(name, ParameterType.STRING, default, help, implemented=False, retired=True)


def module_section(
    name: str,
    help: str,
    enabled_default: bool,
    filter_default: str = "",
    parameters: Iterable[Parameter] = (),
    implemented: bool = True,
) -> Section:
    """Declare the section of a pipeline module: `enabled` and `filter`, then the module's own parameters.

    Args:
        name: The module's name, with or without the leading `module::`.
        help: What the module does.
        enabled_default: Whether it runs when the file says nothing.
        filter_default: The messages it sees when the file says nothing; empty is all.
        parameters: The module's own parameters.
        implemented: False for a module that flexipy only knows by name.
    """
    common = (
        boolean(
            "enabled",
            "true" if enabled_default else "false",
            "Whether the module takes part in the handling of messages.",
            implemented=implemented,
        ),
        expression(
            "filter",
            filter_default,
            "The messages that enter the module: a boolean expression over the message; those for which it "
            "is false pass by the module. Empty lets all of them in.\n\n"
            "Example: is_request && from.uri.domain in 'example.org example.net'",
            implemented=implemented,
        ),
    )
    full_name = name if name.startswith(MODULE_PREFIX) else MODULE_PREFIX + name
    return Section(full_name, help, (*common, *parameters))
