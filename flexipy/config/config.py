"""A configuration in use: typed values by section, for the servers and modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .errors import ConfigError, shorten
from .schema import Parameter, ParameterType, Schema, Section
from .values import parse

if TYPE_CHECKING:
    from pathlib import Path

    from .subject import Filter
    from .values import Value


class Config:
    """All sections of the schema with the values of one file and command line.

    Attributes:
        schema: What may stand in the configuration.
        path: The file it was read from, or None for the defaults.
        overrides: The `section/name=value` texts of the command line, as given.
    """

    __slots__ = ("_sections", "overrides", "path", "schema")

    def __init__(self, schema: Schema, path: Path | None = None, overrides: tuple[str, ...] = ()) -> None:
        self.schema = schema
        self.path = path
        self.overrides = overrides
        self._sections: dict[str, SectionValues] = {}

    @property
    def directory(self) -> Path:
        """The directory that relative file names in the configuration start from."""
        from pathlib import Path

        return self.path.absolute().parent if self.path else Path.cwd()

    def section(self, name: str) -> SectionValues:
        """Return the values of a section; the same object each time.

        Raises:
            ConfigError: The schema has no such section.
        """
        values = self._sections.get(name)
        if values is None:
            section = self.schema.find_section(name)
            if section is None:
                raise ConfigError(f"unknown section [{shorten(name)}]")
            values = self._sections.setdefault(section.name, SectionValues(section, self.schema))
        return values


class SectionValues:
    """The values of one section: what was set, and the defaults of the rest.

    `values["reg-domains"]` has the type of the parameter; the methods below say which, for type checkers. A
    list that is returned is shared: do not change it. Asking for a parameter that is not declared is a
    ConfigError.
    """

    __slots__ = ("_raw", "_schema", "_section", "_values")

    def __init__(self, section: Section, schema: Schema) -> None:
        self._section = section
        self._schema = schema
        self._raw: dict[str, str] = {}
        self._values: dict[str, Value] = {}

    @property
    def name(self) -> str:
        """The section's name."""
        return self._section.name

    @property
    def section(self) -> Section:
        """The declaration of the section."""
        return self._section

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            return self._load(name)

    def _load(self, name: str) -> Value:
        parameter = self.parameter(name)
        # Unknown to the cache also under a former name or another case: keep it under the declared name only.
        if parameter.name not in self._values:
            self._values[parameter.name] = parse(parameter, self.raw(parameter.name))
        return self._values[parameter.name]

    def parameter(self, name: str) -> Parameter:
        """Return the declaration of a parameter.

        Raises:
            ConfigError: It is not declared.
        """
        parameter = self._schema.find_parameter(self._section.name, name)
        if parameter is None:
            meant = self._schema.nearest_parameter(self._section.name, name)
            hint = f"; did you mean '{meant}'?" if meant else ""
            raise ConfigError(f"unknown parameter '{shorten(name)}' in [{self._section.name}]{hint}")
        return parameter

    def boolean(self, name: str) -> bool:
        """Return a BOOLEAN."""
        return cast("bool", self._typed(name, ParameterType.BOOLEAN))

    def integer(self, name: str) -> int:
        """Return an INTEGER or a BYTE_SIZE."""
        return cast("int", self._typed(name, ParameterType.INTEGER, ParameterType.BYTE_SIZE))

    def number(self, name: str) -> float:
        """Return a FLOAT."""
        return cast("float", self._typed(name, ParameterType.FLOAT))

    def string(self, name: str) -> str:
        """Return a STRING or an ENUM."""
        return cast("str", self._typed(name, ParameterType.STRING, ParameterType.ENUM))

    def strings(self, name: str) -> list[str]:
        """Return a STRING_LIST."""
        return cast("list[str]", self._typed(name, ParameterType.STRING_LIST))

    def seconds(self, name: str) -> float:
        """Return a DURATION in seconds."""
        return cast("float", self._typed(name, ParameterType.DURATION))

    def range(self, name: str) -> tuple[int, int]:
        """Return an INTEGER_RANGE as (low, high), both included."""
        return cast("tuple[int, int]", self._typed(name, ParameterType.INTEGER_RANGE))

    def expression(self, name: str) -> Filter | None:
        """Return an EXPRESSION, compiled; None when it is empty."""
        return cast("Filter | None", self._typed(name, ParameterType.EXPRESSION))

    def _typed(self, name: str, *types: ParameterType) -> Value:
        parameter = self.parameter(name)
        if parameter.type not in types:
            raise TypeError(f"[{self._section.name}] {name} is a {parameter.type.value}")
        return cast("Value", self[parameter.name])

    def raw(self, name: str) -> str:
        """Return the text of a parameter as written, or its default."""
        parameter = self.parameter(name)
        return self._raw.get(parameter.name, parameter.default)

    def is_set(self, name: str) -> bool:
        """Whether the parameter was given a value, be it equal to the default."""
        return self.parameter(name).name in self._raw

    def is_default(self, name: str) -> bool:
        """Whether the parameter has its default value, however written."""
        parameter = self.parameter(name)
        text = self._raw.get(parameter.name, parameter.default)
        if text == parameter.default:
            return True
        if parameter.type is ParameterType.EXPRESSION:
            return text.split() == parameter.default.split()
        return bool(self[parameter.name] == parse(parameter, parameter.default))

    def set(self, name: str, raw: str) -> None:
        """Give a parameter a new value while running (CONFIG_SET); whoever uses it must ask again.

        Args:
            name: The parameter.
            raw: The value as it would be written in a file; an empty text is an empty value, not the default.

        Raises:
            ConfigError: The parameter is unknown or the value does not fit; the old one stays.
        """
        parameter = self.parameter(name)
        value = parse(parameter, raw)
        self._raw[parameter.name] = raw
        self._values[parameter.name] = value
