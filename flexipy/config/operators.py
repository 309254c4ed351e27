"""The closures that boolean expressions are compiled to.

A filter runs for each message and module, so the common shapes (a variable against a constant text, a flag
and something else) have closures of their own, and what is known at compile time is folded away.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .subject import Filter, Subject

MAX_PATTERN = 1000

# std::regex, which Flexisip uses, knows these inside [...]; Python does not.
_POSIX_CLASSES = {
    "[:alpha:]": "a-zA-Z",
    "[:digit:]": "0-9",
    "[:alnum:]": "a-zA-Z0-9",
    "[:upper:]": "A-Z",
    "[:lower:]": "a-z",
    "[:xdigit:]": "0-9A-Fa-f",
    "[:space:]": r"\s",
    "[:blank:]": r" \t",
    "[:punct:]": r"!-/:-@\[-`{-~",
    "[:w:]": r"\w",
}


@dataclass(frozen=True, slots=True)
class Operand:
    """One side of a comparison: the name of a variable, or a constant text."""

    text: str
    is_variable: bool


def ALWAYS(_subject: Subject) -> bool:  # noqa: N802 - a constant of the language, compared by identity
    """Hold for every message."""
    return True


def NEVER(_subject: Subject) -> bool:  # noqa: N802
    """Hold for no message."""
    return False


def _constant(value: bool) -> Filter:
    return ALWAYS if value else NEVER


def _getter(operand: Operand) -> Callable[[Subject], str]:
    text = operand.text
    if not operand.is_variable:
        return lambda subject: text
    return lambda subject: subject.value(text) or ""


def flag(name: str) -> Filter:
    """Hold when the subject's flag is set."""

    def is_set(subject: Subject) -> bool:
        return subject.flag(name)

    is_set.flag_name = name  # type: ignore[attr-defined]  # lets both() spare a call
    return is_set


def negate(inner: Filter) -> Filter:
    """Hold when `inner` does not."""
    if inner is ALWAYS:
        return NEVER
    if inner is NEVER:
        return ALWAYS
    return lambda subject: not inner(subject)


def both(terms: Sequence[Filter]) -> Filter:
    """Hold when all terms do, asked from left to right until one does not."""
    if NEVER in terms:
        return NEVER
    kept = tuple(term for term in terms if term is not ALWAYS)
    if not kept:
        return ALWAYS
    if len(kept) == 1:
        return kept[0]
    if len(kept) > 2:
        return lambda subject: _all(kept, subject)
    first, second = kept
    name = getattr(first, "flag_name", None)
    if name is not None:
        return lambda subject: subject.flag(name) and second(subject)
    return lambda subject: first(subject) and second(subject)


def either(terms: Sequence[Filter]) -> Filter:
    """Hold when one of the terms does, asked from left to right until one does."""
    if ALWAYS in terms:
        return ALWAYS
    kept = tuple(term for term in terms if term is not NEVER)
    if not kept:
        return NEVER
    if len(kept) == 1:
        return kept[0]
    if len(kept) > 2:
        return lambda subject: _any(kept, subject)
    first, second = kept
    return lambda subject: first(subject) or second(subject)


def _all(terms: tuple[Filter, ...], subject: Subject) -> bool:
    # A plain loop: a generator inside all() costs twice as much for the few terms there are.
    for term in terms:  # noqa: SIM110
        if not term(subject):
            return False
    return True


def _any(terms: tuple[Filter, ...], subject: Subject) -> bool:
    for term in terms:  # noqa: SIM110
        if term(subject):
            return True
    return False


def compare(operator: str, left: Operand, right: Operand) -> Filter:
    """Return the filter of `left operator right` for one of == != contains in notin nin."""
    if operator == "!=":
        return _unequal(left, right)
    if operator == "==":
        return _equal(left, right)
    if operator == "contains":
        return _contains(left, right)
    if operator == "in":
        return _member(left, right)
    return negate(_member(left, right))


def _equal(left: Operand, right: Operand) -> Filter:
    if not left.is_variable and not right.is_variable:
        return _constant(left.text == right.text)
    if left.is_variable and right.is_variable:
        get_left, get_right = _getter(left), _getter(right)
        return lambda subject: get_left(subject) == get_right(subject)
    name, text = (left.text, right.text) if left.is_variable else (right.text, left.text)
    if not text:
        return lambda subject: not subject.value(name)
    return lambda subject: subject.value(name) == text


def _unequal(left: Operand, right: Operand) -> Filter:
    # True for a header that is missing, unless it is compared with an empty text.
    if left.is_variable and not right.is_variable and right.text:
        name, text = left.text, right.text
        return lambda subject: subject.value(name) != text
    return negate(_equal(left, right))


def _contains(left: Operand, right: Operand) -> Filter:
    if not right.is_variable:
        if not right.text:
            return ALWAYS
        if not left.is_variable:
            return _constant(right.text in left.text)
        name, text = left.text, right.text

        def contains(subject: Subject) -> bool:
            value = subject.value(name)
            return value is not None and text in value

        return contains
    get_left, get_right = _getter(left), _getter(right)
    return lambda subject: get_right(subject) in get_left(subject)


def _member(left: Operand, right: Operand) -> Filter:
    if not right.is_variable:
        words = frozenset(right.text.split())
        if not left.is_variable:
            return _constant(left.text in words)
        name = left.text
        return lambda subject: subject.value(name) in words
    get_left, get_right = _getter(left), _getter(right)
    return lambda subject: get_left(subject) in get_right(subject).split()


def regex(operand: Operand, pattern: str) -> Filter:
    """Hold when the pattern matches the whole text of the operand.

    Raises:
        ValueError: The pattern is no regular expression.
    """
    match = _compile(pattern).fullmatch
    if not operand.is_variable:
        return _constant(match(operand.text) is not None)
    name = operand.text
    return lambda subject: match(subject.value(name) or "") is not None


def _compile(pattern: str) -> re.Pattern[str]:
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"longer than {MAX_PATTERN} characters")
    for posix, plain in _POSIX_CLASSES.items():
        pattern = pattern.replace(posix, plain)
    try:
        with warnings.catch_warnings():
            # Python warns of constructs whose meaning may change some day; the author of a file cannot act on
            # it.
            warnings.simplefilter("ignore")
            return re.compile(pattern, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error) or "too complex") from None


def defined(operand: Operand) -> Filter:
    """Hold when the operand is there and not empty."""
    if not operand.is_variable:
        return _constant(bool(operand.text))
    name = operand.text
    return lambda subject: bool(subject.value(name))


def numeric(operand: Operand) -> Filter:
    """Hold when the operand has nothing but decimal digits; as in Flexisip, an empty one has nothing else."""
    if not operand.is_variable:
        return _constant(_only_digits(operand.text))
    name = operand.text
    return lambda subject: _only_digits(subject.value(name) or "")


def _only_digits(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit())
