from __future__ import annotations

import re

import pytest

from flexipy.config.expression import (
    FLAGS,
    MAX_NESTING,
    VARIABLES,
    ExpressionError,
    compile_filter,
    surprises,
)
from flexipy.config.operators import ALWAYS, NEVER


class Message:
    """A subject made of a dict, which notes what it was asked."""

    def __init__(self, is_request: bool = True, **values: str) -> None:
        self.values = {name.replace("__", "-").replace("_", "."): value for name, value in values.items()}
        self.is_request = is_request
        self.asked: list[str] = []

    def value(self, name: str) -> str | None:
        assert name in VARIABLES
        self.asked.append(name)
        return self.values.get(name)

    def flag(self, name: str) -> bool:
        assert name in FLAGS
        self.asked.append(name)
        return self.is_request is (name == "is_request")


INVITE = Message(
    request_method__name="INVITE",
    request_uri_user="+331233412341234",
    request_uri_domain="sip.example.org",
    from_uri_user="alice-mac",
    from_uri_domain="sip.example.org",
    user__agent="Linphone/12.0 (belle-sip)",
    call__id="1053183492",
    direction="request",
)


def holds(text: str, message: Message = INVITE) -> bool:
    compiled = compile_filter(text)
    assert compiled is not None
    return compiled(message)


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "is_request",
        "direction == 'request'",
        "request.method-name == 'INVITE'",
        "request.method == 'INVITE'",
        "'INVITE' == request.method",
        "from.uri.user != 'bob'",
        "user-agent contains 'Linphone'",
        "from.uri.domain in 'a.org  sip.example.org b.org'",
        "from.uri.domain notin 'a.org b.org'",
        "from.uri.domain nin 'a.org b.org'",
        "from.uri.domain in'sip.example.org'",
        "from.uri.domain == request.uri.domain",
        "from.uri.user regex 'alice-.*'",
        "from.uri.user regexp '^(?!bob).*$'",
        "request.uri.user regex '\\+[[:digit:]]+'",
        "defined from.uri.user",
        "defined (from.uri.user)",
        "numeric call-id",
        "!is_response",
        "!!is_request",
        "!from.uri.user == 'bob'",
        "(((is_request)))",
        "\tis_request\t&&\tis_request ",
        "!(defined to.uri.user) && (from.uri.user in 'alice-mac bob') && user-agent contains 'Linphone'",
        "((from.uri.user in 'x y') && user-agent contains 'z' ) || request.method == 'INVITE'",
        "user-agent contains '(belle'",
    ],
)
def test_expressions_that_hold_for_an_invite(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "false",
        "is_response",
        "'a' == 'b'",
        "from.uri.user regex 'alice-*'",  # must match the whole
        "from.uri.user == 'Alice-mac'",
        "numeric from.uri.user",
        "from.uri.user in 'alice'",
        "!is_request && true",
        "is_request && is_request && false",
        "is_response || false || false",
    ],
)
def test_expressions_that_do_not_hold_for_an_invite(text: str) -> None:
    assert not holds(text)


def test_an_empty_expression_compiles_to_none() -> None:
    assert compile_filter("") is None
    assert compile_filter("  \t") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user-agent == 'x'", False),
        ("user-agent contains 'x'", False),
        ("user-agent in 'x y'", False),
        ("user-agent regex 'x.*'", False),
        ("defined user-agent", False),
        ("user-agent != 'x'", True),
        ("user-agent notin 'x y'", True),
        ("user-agent == ''", True),
        ("user-agent == content-type", True),
        ("user-agent contains content-type", True),
        ("user-agent in content-type", False),
        ("numeric user-agent", True),
    ],
)
def test_a_missing_header_is_an_empty_text(text: str, expected: bool) -> None:
    assert holds(text, Message()) is expected


def test_operators_group_from_the_right_as_in_flexisip() -> None:
    # (false && true) || true would hold
    assert not holds("is_response && is_request || is_request")
    assert holds("is_request || is_request && is_response")


def test_a_mixture_that_other_languages_read_otherwise_is_remarked() -> None:
    assert surprises("is_request && is_response || is_request")
    assert not surprises("is_request || is_response && is_request")
    assert not surprises("(is_request && is_response) || is_request")
    assert not surprises("")


def test_evaluation_stops_when_the_result_is_known() -> None:
    message = Message(is_request=False)
    assert not holds("is_request && user-agent == 'x' && call-id == 'y'", message)
    assert holds("is_response || user-agent == 'x' || call-id == 'y'", message)
    assert message.asked == ["is_request", "is_response"]


def test_what_is_known_beforehand_is_folded_away() -> None:
    assert compile_filter("true && 'a' == 'a'") is ALWAYS
    assert compile_filter("is_request && false") is NEVER
    assert compile_filter("!(is_request || true)") is NEVER
    message = Message()
    assert holds("true && (false || is_request)", message)
    assert message.asked == ["is_request"]


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("user-agen == 'x'", "unknown variable 'user-agen'; did you mean 'user-agent'?", 1),
        ("from.uri.user in jehan-mac jehan", "single quotes", 18),
        ("status.code == 180", "unknown variable '180'; a text must stand in single quotes", 16),
        ("!(defined request.uri.user) && (from.uri.user == 'x'", "this '(' is never closed", 32),
        ("is_request)", "this ')' closes nothing", 11),
        ("from.uri.user == 'x", "a quote is missing", 18),
        ('from.uri.user == "x"', "single quotes, not double", 18),
        ("is_request & is_response", "must be doubled: '&&'", 12),
        ("user-agent = 'x'", "must be doubled: '=='", 12),
        ("is_request is_response", "expected && or || before 'is_response'", 12),
        ("from.uri.user", "before the end", 14),
        ("'a'", "before the end", 4),
        ("is_request &&", "not the end", 14),
        ("&& is_request", "not '&&'", 1),
        ("user-agent regex '('", "bad regular expression", 18),
        ("user-agent regex call-id", "pattern in single quotes", 18),
        ("user-agent == is_request", "unknown variable", 15),
        ("()", "not ')'", 2),
        ("is_request; true", "unexpected ';'", 11),
    ],
)
def test_a_mistake_is_explained_with_its_column(text: str, message: str, column: int) -> None:
    with pytest.raises(ExpressionError, match=re.escape(message)) as caught:
        compile_filter(text)
    assert caught.value.column == column


@pytest.mark.parametrize("text", ["(" * 5000, "!" * 5000, "is_request && is_response || " * 400, "x" * 50_000])
def test_nesting_and_length_are_bounded(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_filter(text)


def test_a_long_chain_of_one_operator_is_no_nesting() -> None:
    chain = " || ".join(["user-agent == 'x'"] * (MAX_NESTING * 4)) + " || is_request"
    assert holds(chain)
