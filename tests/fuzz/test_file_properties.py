"""Properties of the readers of files that people write: passwords, routes, static records."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flexipy.auth.account import Account
from flexipy.auth.password_file import PasswordFile, of_domains
from flexipy.modules.forward import parse_routes
from flexipy.registrar.static_records import parse as parse_records
from flexipy.sip.params import decode
from tests.fuzz.strategies import grammar_text, uri

words = st.one_of(
    st.sampled_from(
        ["version:1", "alice@a.test", "clrtxt:x", "md5:" + "0" * 32, "sha256:" + "f" * 64, ";", "#", "@", "%41"]
    ),
    st.text(max_size=12),
    grammar_text,
    uri.map(lambda raw: f"<{decode(raw)}>"),
)
lines = st.lists(words, max_size=6).map(" ".join)
files = st.one_of(st.text(max_size=200), st.lists(lines, max_size=8).map("\n".join))


@given(files)
def test_any_password_file_gives_accounts_and_problems(text: str) -> None:
    file = PasswordFile.parse(text, "passwd")
    assert all(str(problem) for problem in file.problems)
    assert all(str(problem) != "x" for problem in of_domains(file, "passwd", ["*", "a.test"]))
    again = PasswordFile.parse(file.text(), "passwd")
    assert again.accounts == file.accounts


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10)
secrets = st.text(
    st.characters(codec="ascii", exclude_categories=["Cc", "Zs"], exclude_characters=";#"), min_size=1, max_size=10
)


@given(names, st.one_of(st.none(), secrets), st.one_of(st.just(""), names), st.one_of(st.just(""), names))
def test_an_account_that_is_put_is_read_again(user: str, password: str | None, auth_id: str, phone: str) -> None:
    md5 = "" if password is not None else "0" * 32
    account = Account(user, "a.test", password, md5, "", "" if auth_id == user else auth_id, phone)
    file = PasswordFile()
    file.put(account)
    again = PasswordFile.parse(file.text(), "passwd")
    assert again.problems == []
    assert again.accounts == {(user, "a.test"): account}
    assert file.remove(user, "a.test")
    assert PasswordFile.parse(file.text(), "passwd").accounts == {}


@given(files)
def test_any_routes_file_gives_routes_and_problems(text: str) -> None:
    routes, problems = parse_routes(text, "routes")
    assert all(problem.startswith("routes:") for problem in problems)
    assert len(routes) + len(problems) <= len(text.splitlines())


@given(files)
def test_any_file_of_static_records_gives_records_and_problems(text: str) -> None:
    records, problems = parse_records(text, "static", lambda aor: aor.aor)
    assert all(str(problem).startswith("static") for problem in problems)
    assert all(record.key for record in records)
