"""The grammar of a configuration file: bytes in, `[section]` headers and `name=value` entries out.

It is Flexisip's, which is line by line:

- a line whose first character other than a blank is `#` is a comment; a `#` behind a value is part of the
  value;
- the section name is the first word between the brackets; a section may come more than once, its parts are
  merged;
- blanks around names and values are dropped.

What Flexisip skips in silence is skipped with a warning here. An addition of ours: a value that ends in a
backslash goes on in the next line.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import Problem, Severity, shorten

# Bounds for files that are no configuration at all.
MAX_FILE = 16 * 1024 * 1024
MAX_LINE = 64 * 1024
MAX_PROBLEMS = 200


@dataclass(frozen=True, slots=True)
class Header:
    """A `[name]` line."""

    line: int
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A `name=value` line (or several, joined) and the section it stands in."""

    line: int
    section: str
    name: str
    value: str


class IniFile:
    """What a file says, in its order, and what is wrong with how it says it.

    Attributes:
        file: The file's name, for messages.
        headers: The section headers.
        entries: The `name=value` lines.
        problems: What could not be understood.
    """

    __slots__ = ("entries", "file", "headers", "problems")

    def __init__(self, file: str) -> None:
        self.file = file
        self.headers: list[Header] = []
        self.entries: list[Entry] = []
        self.problems: list[Problem] = []

    def report(self, line: int, severity: Severity, message: str) -> None:
        """Note a problem, up to a bound: after that many lines the file is something else."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(self.file, line, severity, message))
        elif len(self.problems) == MAX_PROBLEMS:
            message = "too many problems; the rest is not shown"
            self.problems.append(Problem(self.file, line, Severity.ERROR, message))


def parse_ini(content: bytes, file: str) -> IniFile:
    """Split a configuration file into its entries.

    Args:
        content: The bytes of the file.
        file: Its name, for messages.

    Returns:
        What could be read, with a problem for each line that could not; it never raises.
    """
    result = IniFile(file)
    if len(content) > MAX_FILE:
        result.report(0, Severity.ERROR, f"larger than {MAX_FILE // 2**20} MiB: not a configuration file")
        return result
    lines = _logical_lines(content.removeprefix(b"\xef\xbb\xbf"), result)
    section: str | None = None
    for number, text in lines:
        if text.startswith("["):
            section = _section_name(text, number, result) or section
            continue
        entry = _entry(text, number, section, result)
        if entry is not None:
            result.entries.append(entry)
    return result


def _logical_lines(content: bytes, result: IniFile) -> list[tuple[int, str]]:
    """Return (number of the first line, text) of what is no comment, continuation lines joined."""
    joined: list[tuple[int, str]] = []
    parts: list[str] = []
    start = 0
    for number, raw in enumerate(content.split(b"\n"), 1):
        text = _decode(raw, number, result, is_continuation=bool(parts))
        if not parts:
            start = number
        if text.endswith("\\") and "=" in (parts[0] if parts else text):
            parts.append(text[:-1].rstrip())
            continue
        parts.append(text)
        whole = " ".join(part for part in parts if part)
        parts = []
        if whole:
            joined.append((start, whole))
    if parts:
        joined.append((start, " ".join(parts)))
    return joined


def _decode(raw: bytes, number: int, result: IniFile, is_continuation: bool) -> str:
    """Return the text of a line without surrounding blanks; empty for a comment or what cannot be used."""
    raw = raw.strip()
    if not raw or (raw.startswith(b"#") and not is_continuation):
        return ""
    if len(raw) > MAX_LINE:
        result.report(number, Severity.ERROR, f"longer than {MAX_LINE // 1024} KiB: line ignored")
        return ""
    if b"\0" in raw:
        result.report(number, Severity.ERROR, "contains a NUL byte: not a text file, or written in UTF-16")
        return ""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        result.report(number, Severity.WARNING, "is not valid UTF-8; read as ISO 8859-1")
        return raw.decode("latin-1")


def _section_name(text: str, number: int, result: IniFile) -> str | None:
    inside, bracket, rest = text[1:].partition("]")
    words = inside.split()
    if not bracket or not words:
        result.report(number, Severity.WARNING, f"'{shorten(text)}' is not a section header: line ignored")
        return None
    if rest.strip() or len(words) > 1:
        result.report(number, Severity.WARNING, f"only [{shorten(words[0])}] counts in this line, the rest is ignored")
    result.headers.append(Header(number, words[0]))
    return words[0]


def _entry(text: str, number: int, section: str | None, result: IniFile) -> Entry | None:
    left, equals, value = text.partition("=")
    words = left.split()
    if not equals or not words:
        result.report(number, Severity.WARNING, f"'{shorten(text)}' is not of the form name=value: line ignored")
        return None
    if section is None:
        message = f"'{shorten(words[0])}' stands before the first [section]: line ignored"
        result.report(number, Severity.WARNING, message)
        return None
    if len(words) > 1:
        message = f"'{shorten(left.strip())}' is not a parameter name; read as '{shorten(words[0])}'"
        result.report(number, Severity.WARNING, message)
    return Entry(number, section, words[0], value.strip())
