"""Rules about who may reach whom: which one decides, and what is said of a file with mistakes."""

from __future__ import annotations

import pytest

from flexipy.auth.call_rules import CallRules
from flexipy.auth.rules_file import parse_rules

DOOR = "door@myhouse"


def rules(*lines: str) -> CallRules:
    found, problems = parse_rules("\n".join(lines), "rules")
    assert problems == []
    return found


def mistakes(*lines: str) -> list[str]:
    return [str(problem) for problem in parse_rules("\n".join(lines), "rules")[1]]


def allowed(found: CallRules, method: str, sender: str, target: str) -> bool:
    return found.verdict(method, sender, target).allowed


def test_the_door_takes_calls_of_those_who_are_named_only() -> None:
    found = rules(
        "allow  INVITE,MESSAGE  from alice@myhouse, bob@myhouse  to door@myhouse",
        "deny   *               from *                           to door@myhouse",
    )
    assert allowed(found, "INVITE", "alice@myhouse", DOOR)
    assert allowed(found, "MESSAGE", "bob@myhouse", DOOR)
    assert not allowed(found, "SUBSCRIBE", "alice@myhouse", DOOR)
    assert not allowed(found, "INVITE", "carol@myhouse", DOOR)
    assert not allowed(found, "INVITE", "", DOOR)
    assert allowed(found, "INVITE", "carol@myhouse", "alice@myhouse")


def test_the_first_rule_that_fits_decides() -> None:
    found = rules("deny * from bob@myhouse to *", "allow * from * to *", "deny * from * to *")
    assert not allowed(found, "INVITE", "bob@myhouse", DOOR)
    assert allowed(found, "INVITE", "carol@myhouse", DOOR)


def test_the_verdict_names_the_line() -> None:
    found = rules("# who may", "", "deny * from * to door@myhouse", "default allow")
    assert found.verdict("INVITE", "a@b", DOOR).place == "rules:3"
    assert found.verdict("INVITE", "a@b", "c@d").place == "rules:4"


def test_a_verdict_without_a_rule_says_so() -> None:
    assert rules().verdict("INVITE", "a@b", DOOR).place == "rules: no rule fits"


@pytest.mark.parametrize(("pattern", "fits"), [("*", "abcd"), ("*@myhouse", "ac"), ("alice@*", "ab"), ("alice@x", "b")])
def test_patterns(pattern: str, fits: str) -> None:
    people = {"a": "alice@myhouse", "b": "alice@x", "c": "bob@myhouse", "d": "bob@x"}
    found = rules(f"allow * from {pattern} to *", "default deny")
    assert "".join(name for name, who in people.items() if allowed(found, "INVITE", who, DOOR)) == fits
    found = rules(f"allow * from * to {pattern}", "default deny")
    assert "".join(name for name, who in people.items() if allowed(found, "INVITE", DOOR, who)) == fits


def test_somebody_unknown_is_named_by_the_star_alone() -> None:
    found = rules("allow * from *@* to *")
    assert found.verdict("INVITE", "", DOOR).place == "rules:1"
    assert not allowed(rules("allow * from *@myhouse to *", "default deny"), "INVITE", "", DOOR)


def test_groups_may_stand_anywhere() -> None:
    found = rules(
        "allow * from @family to @doors",
        "group family alice@myhouse, bob@myhouse",
        "group doors door@myhouse gate@myhouse",
        "default deny",
    )
    assert allowed(found, "INVITE", "bob@myhouse", "gate@myhouse")
    assert not allowed(found, "INVITE", "carol@myhouse", "gate@myhouse")


def test_domains_have_no_case_and_users_have() -> None:
    found = rules("allow * from Alice@MyHouse to *", "default deny")
    assert allowed(found, "INVITE", "Alice@myhouse", DOOR)
    assert not allowed(found, "INVITE", "alice@myhouse", DOOR)


def test_addresses_of_ipv6_hosts() -> None:
    assert allowed(rules("allow * from alice@[::1] to *", "default deny"), "INVITE", "alice@::1", DOOR)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alow * from * to *", "a line begins with allow, deny, group or default, not 'alow'; did you mean 'allow'?"),
        ("deny INVIT from * to *", "unknown method 'INVIT', did you mean INVITE?"),
        ("deny REGISTER from * to *", "REGISTER always passes: there can be no rule for it"),
        ("deny * form * to *", "there is no 'from'; did you mean 'from' by 'form'?"),
        ("deny * from * too door@myhouse", "there is no 'to' behind 'from'; did you mean 'to' by 'too'?"),
        ("deny * from to *", "there is no address behind 'from'; * stands for any"),
        ("deny from * to *", "there is no method before 'from'; * stands for any"),
        (
            "deny * from sip:alice@myhouse to *",
            "addresses stand here without a scheme: alice@myhouse",
        ),
        ("deny * from a*@myhouse to *", "'a*@myhouse': * stands for a whole user name only"),
        ("deny * from a@*.myhouse to *", "'a@*.myhouse': * stands for a whole domain only"),
        ("default denny", "expected 'default allow' or 'default deny'; did you mean 'deny'?"),
        ("group", "expected 'group NAME ADDRESS ...'"),
        ("group empty", "the group 'empty' has no addresses"),
        ("group alice@myhouse bob@myhouse", "a group has a name before its addresses, 'alice@myhouse' is an address"),
        ("group two @one", "a group holds addresses, not groups: '@one'"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_was_meant(line: str, said: str) -> None:
    assert mistakes("# rules", line) == [f"rules:2: {said}"]


def test_an_unknown_group_is_told_with_the_nearest() -> None:
    assert mistakes("group family a@b", "allow * from @famly to *") == [
        "rules:2: there is no group 'famly'; did you mean 'family'?"
    ]


def test_a_forgotten_domain_is_told_with_the_address_that_is_known() -> None:
    assert mistakes("allow * from alice@myhouse to *", "deny * from alice to *") == [
        "rules:2: 'alice' is no address: user@domain, user@*, *@domain, * or @group; did you mean 'alice@myhouse'?"
    ]


def test_a_forgotten_sign_of_a_group_is_told() -> None:
    assert mistakes("group family a@b", "deny * from family to *")[0].endswith("did you mean '@family'?")


def test_each_mistake_has_one_line_in_the_order_of_the_file() -> None:
    found = mistakes("deny * from nobody to *", "nonsense", "default", "deny * from * to *")
    assert [line.partition(": ")[0] for line in found] == ["rules:1", "rules:2", "rules:3"]


def test_a_second_default_is_a_mistake() -> None:
    assert mistakes("default deny", "default allow") == ["rules:2: the default is in rules:1 already"]


def test_many_rules_cost_a_request_no_search() -> None:
    lines = [f"allow INVITE from user{number}@myhouse to door{number}@myhouse" for number in range(5000)]
    found = rules(*lines, "default deny")
    assert found.verdict("INVITE", "user4999@myhouse", "door4999@myhouse").place == "rules:5000"
    assert not allowed(found, "INVITE", "user4999@myhouse", "door4998@myhouse")
