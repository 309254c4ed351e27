"""The language of `filter=` and of the other boolean expressions over a SIP message.

    is_request && request.method-name == 'INVITE' && !(user-agent contains 'scanner')

An expression is compiled once, into nested closures. The language and its corners are Flexisip's, since
people bring their files along:

- `&&` and `||` bind equally and to the right: `a && b || c` is `a && (b || c)`. `!` binds to the term behind
  it.
- a header or URI part that is not there is an empty text: `== 'x'`, `contains` and `in` are then false, and
  their negations `!=` and `notin` true.
- `regex` must match the whole text; `in` takes a list separated by spaces; everything is case-sensitive.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import operators
from .errors import ConfigError, shorten

if TYPE_CHECKING:
    from .operators import Operand
    from .subject import Filter


_URI_PARTS = ("domain", "user", "params")

# The names a Subject may be asked for.
VARIABLES: tuple[str, ...] = (
    "direction",
    "request.method-name",
    *(f"{header}.uri.{part}" for header in ("request", "from", "to", "contact") for part in _URI_PARTS),
    "user-agent",
    "call-id",
    "call-id.hash",
    "status.code",
    "status.phrase",
    "content-type",
)
FLAGS: tuple[str, ...] = ("is_request", "is_response")

# Other spellings that Flexisip takes; the Subject sees the name above.
_VARIABLE_SYNONYMS = {"request.method": "request.method-name"}
_VARIABLES = {name: name for name in VARIABLES} | _VARIABLE_SYNONYMS
_INFIX = ("==", "!=", "contains", "in", "notin", "nin", "regex", "regexp")
_WORDS = (*_VARIABLES, *FLAGS, "true", "false", "defined", "numeric", *_INFIX[2:])

# Each level of nesting is a stack frame when the expression is evaluated; Python allows about a thousand.
MAX_NESTING = 100
MAX_LENGTH = 20_000

_TOKEN = re.compile(r"[ \t]*(?:(?P<text>'[^']*')|(?P<word>[A-Za-z0-9_.-]+)|(?P<sign>&&|\|\||==|!=|[!()]))")
_BLANKS = re.compile(r"[ \t]*")


class ExpressionError(ConfigError):
    """An expression that cannot be compiled.

    Args:
        message: What is wrong.
        column: Where, counted from 1.
    """

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.column = column

    def __str__(self) -> str:
        return f"{self.message} (column {self.column})"


def compile_filter(text: str) -> Filter | None:
    """Compile an expression.

    Args:
        text: The expression; empty means always true.

    Returns:
        A function from a Subject to bool, or None for an empty text so that callers can skip the call.

    Raises:
        ExpressionError: The text is no expression.
    """
    if not text.strip():
        return None
    return _Parser(text).parse()


def surprises(text: str) -> list[str]:
    """Return remarks on a valid expression that may not mean what its author thinks.

    Args:
        text: An expression that `compile_filter` accepts.
    """
    if not text.strip():
        return []
    parser = _Parser(text)
    parser.parse()
    return parser.remarks


class _Parser:
    """Recursive descent over (kind, text, column) tokens; each method returns the closure of what it read."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"the expression is longer than {MAX_LENGTH} characters", MAX_LENGTH)
        self._tokens = _tokenise(text)
        self._next = 0
        self._nesting = 0
        self.remarks: list[str] = []

    def parse(self) -> Filter:
        result = self._chain()
        kind, text, column = self._tokens[self._next]
        if kind == ")":
            raise ExpressionError("this ')' closes nothing", column)
        if kind != "end":
            raise ExpressionError(f"expected && or || before {_quoted(text)}", column)
        return result

    def _chain(self) -> Filter:
        """Term, then any number of `&& term` and `|| term`, grouped from the right."""
        terms = [self._term()]
        signs: list[str] = []
        while self._tokens[self._next][0] in ("&&", "||"):
            sign, _, column = self._take()
            if sign == "||" and "&&" in signs and not self.remarks:
                self.remarks.append(
                    "&& and || without brackets: read as a && (b || c), as Flexisip does; add brackets to make it plain"
                )
            if signs and signs[-1] != sign:
                self._deeper(column)
            signs.append(sign)
            terms.append(self._term())
        return _group_from_right(terms, signs)

    def _term(self) -> Filter:
        kind, text, column = self._tokens[self._next]
        if kind == "!":
            self._take()
            self._deeper(column)
            return operators.negate(self._term())
        if kind == "(":
            self._take()
            self._deeper(column)
            inner = self._chain()
            self._close(column)
            return inner
        if kind == "word" and text in ("true", "false"):
            self._take()
            return operators.ALWAYS if text == "true" else operators.NEVER
        if kind == "word" and text in FLAGS:
            self._take()
            return operators.flag(text)
        if kind == "word" and text in ("defined", "numeric"):
            self._take()
            operand = self._operand(f"after '{text}'")
            return operators.defined(operand) if text == "defined" else operators.numeric(operand)
        return self._comparison()

    def _comparison(self) -> Filter:
        left = self._operand("here")
        kind, name, column = self._take()
        if name not in _INFIX or kind == "text":
            found = _quoted(name) if kind != "end" else "the end"
            raise ExpressionError(f"expected a comparison ({' '.join(_INFIX[:-1])}) before {found}", column)
        pattern_column = self._tokens[self._next][2]
        right = self._operand(f"after '{name}'")
        if name in ("regex", "regexp"):
            return self._regex(left, right, pattern_column)
        return operators.compare(name, left, right)

    def _regex(self, left: Operand, right: Operand, column: int) -> Filter:
        if right.is_variable:
            raise ExpressionError("'regex' needs a pattern in single quotes", column)
        try:
            return operators.regex(left, right.text)
        except ValueError as error:
            raise ExpressionError(f"bad regular expression: {error}", column) from None

    def _operand(self, where: str) -> Operand:
        kind, text, column = self._take()
        if kind == "text":
            return operators.Operand(text[1:-1], False)
        if kind == "(":  # `defined (user-agent)`
            self._deeper(column)
            inner = self._operand("here")
            self._close(column)
            return inner
        if kind == "word" and text in _VARIABLES:
            return operators.Operand(_VARIABLES[text], True)
        if kind == "word":
            raise ExpressionError(_unknown(text), column)
        found = _quoted(text) if kind != "end" else "the end"
        raise ExpressionError(f"expected a variable or a text in single quotes {where}, not {found}", column)

    def _take(self) -> tuple[str, str, int]:
        token = self._tokens[self._next]
        if token[0] != "end":
            self._next += 1
        return token

    def _close(self, opened_at: int) -> None:
        kind, text, column = self._take()
        if kind == "end":
            raise ExpressionError("this '(' is never closed", opened_at)
        if kind != ")":
            raise ExpressionError(f"expected && or || or ')' before {_quoted(text)}", column)

    def _deeper(self, column: int) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise ExpressionError(f"more than {MAX_NESTING} brackets, negations and changes of operator", column)


def _group_from_right(terms: list[Filter], signs: list[str]) -> Filter:
    """Fold `a && b && c || d` into and(a, b, or(c, d)); a run of one operator makes one flat closure."""
    result = terms.pop()
    while signs:
        run, sign = [result], signs[-1]
        while signs and signs[-1] == sign:
            signs.pop()
            run.append(terms.pop())
        run.reverse()
        result = operators.both(run) if sign == "&&" else operators.either(run)
    return result


def _tokenise(text: str) -> list[tuple[str, str, int]]:
    tokens: list[tuple[str, str, int]] = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if not match:
            raise _bad_character(text, position)
        found = match[match.lastgroup or 0]
        kind = found if match.lastgroup == "sign" else str(match.lastgroup)
        tokens.append((kind, found, match.end() - len(found) + 1))
        position = match.end()
    tokens.append(("end", "", end + 1))
    return tokens


def _bad_character(text: str, position: int) -> ExpressionError:
    blanks = _BLANKS.match(text, position)
    at = blanks.end() if blanks else position
    character = text[at]
    if character == "'":
        return ExpressionError("a quote is missing at the end of this text", at + 1)
    if character == '"':
        return ExpressionError("texts stand in single quotes, not double ones", at + 1)
    if character in "&|=":
        return ExpressionError(f"'{character}' must be doubled: '{character * 2}'", at + 1)
    return ExpressionError(f"unexpected {_quoted(character)}", at + 1)


def _unknown(word: str) -> str:
    from .schema import nearest

    meant = nearest(word, _WORDS)
    hint = f"; did you mean '{meant}'?" if meant else "; a text must stand in single quotes"
    return f"unknown variable '{shorten(word)}'{hint}"


def _quoted(text: str) -> str:
    return f"'{shorten(text)}'"
