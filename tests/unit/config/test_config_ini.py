from __future__ import annotations

from flexipy.config.errors import Severity
from flexipy.config.ini import MAX_FILE, MAX_LINE, MAX_PROBLEMS, parse_ini


def entries(content: bytes) -> list[tuple[int, str, str, str]]:
    ini = parse_ini(content, "f")
    assert not ini.problems, [str(problem) for problem in ini.problems]
    return [(entry.line, entry.section, entry.name, entry.value) for entry in ini.entries]


def problems(content: bytes) -> list[str]:
    return [str(problem) for problem in parse_ini(content, "f").problems]


def test_names_and_values_lose_the_blanks_around_them() -> None:
    assert entries(b"[global]\n \tname \t=\t value with blanks \t\r\n") == [(2, "global", "name", "value with blanks")]


def test_only_the_first_equals_sign_separates() -> None:
    assert entries(b"[s]\nfilter=user-agent == 'x'\n") == [(2, "s", "filter", "user-agent == 'x'")]


def test_a_comment_has_its_own_line_and_a_hash_in_a_value_is_part_of_it() -> None:
    assert entries(b"# c\n[s]\n  # c\n#a=1\nb=x # not a comment\n") == [(5, "s", "b", "x # not a comment")]


def test_a_backslash_joins_lines() -> None:
    assert entries(b"[s]\na=one \\\n   two\\\n\tthree\nb=1\n") == [
        (2, "s", "a", "one two three"),
        (5, "s", "b", "1"),
    ]


def test_a_backslash_at_the_end_of_the_file() -> None:
    assert entries(b"[s]\na=one \\") == [(2, "s", "a", "one")]


def test_a_comment_does_not_go_on() -> None:
    assert entries(b"[s]\n# comment \\\na=1\n") == [(3, "s", "a", "1")]


def test_section_name_is_the_first_word_and_may_come_again() -> None:
    assert entries(b"[ module::X ]\na=1\n[t]\n[module::X]\nb=2") == [
        (2, "module::X", "a", "1"),
        (5, "module::X", "b", "2"),
    ]


def test_byte_order_mark_and_utf8() -> None:
    assert entries("\ufeff[s]\na=é\n".encode()) == [(2, "s", "a", "é")]


def test_latin1_is_read_with_a_warning_but_not_minded_in_comments() -> None:
    ini = parse_ini(b"# caf\xe9\n[s]\na=caf\xe9\n", "f")
    assert ini.entries[0].value == "café"
    assert [str(problem) for problem in ini.problems] == ["f:3: warning: is not valid UTF-8; read as ISO 8859-1"]


def test_lines_that_mean_nothing_are_skipped_with_a_warning() -> None:
    assert problems(b"a=1\n[s]\njunk\n=1\n[open\n[]\n") == [
        "f:1: warning: 'a' stands before the first [section]: line ignored",
        "f:3: warning: 'junk' is not of the form name=value: line ignored",
        "f:4: warning: '=1' is not of the form name=value: line ignored",
        "f:5: warning: '[open' is not a section header: line ignored",
        "f:6: warning: '[]' is not a section header: line ignored",
    ]


def test_what_is_no_text_is_an_error() -> None:
    found = parse_ini("[s]\na=1\n".encode("utf-16"), "f").problems
    assert any(p.severity is Severity.ERROR and "NUL byte" in p.message for p in found)
    assert problems(b"[s]\na=" + b"x" * MAX_LINE) == ["f:2: error: longer than 64 KiB: line ignored"]
    assert problems(b"x" * (MAX_FILE + 1)) == ["f: error: larger than 16 MiB: not a configuration file"]


def test_the_number_of_problems_is_bounded() -> None:
    assert len(problems(b"junk\n" * 10_000)) == MAX_PROBLEMS + 1


def test_a_message_is_short_and_printable() -> None:
    (message,) = problems(b"\x1b[31m" + b"y" * 5000)
    assert len(message) < 150
    assert message.isprintable()
