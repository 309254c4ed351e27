"""The password file in Flexisip's format."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.auth.account import Account
from flexipy.auth.file_credentials import FileCredentials
from flexipy.auth.password_file import PasswordFile, format_account, parse_account
from flexipy.sip.digest import compute_ha1

MD5 = "97ffb1c6af18e5687bf26cdf35e45d30"
SHA256 = "d7580069de562f5c7fd932cc986472669122da91a0f72f30ef1b20ad6e4f61a3"


def test_hashes_and_clear_text_are_read() -> None:
    file = PasswordFile.parse(
        f"version:1\n\n# people\nalice@Example.ORG clrtxt:secret ;\nbob@x md5:{MD5.upper()} sha256:{SHA256} ;\r\n",
        "f",
    )
    assert file.problems == []
    alice, bob = file.accounts.values()
    assert (alice.user, alice.domain, alice.password) == ("alice", "example.org", "secret")
    assert bob.hashes == {"MD5": MD5, "SHA-256": SHA256}


def test_clear_text_gives_every_hash_for_any_realm() -> None:
    account = parse_account("front%20door@x clrtxt:secret ;")
    for algorithm in ("MD5", "SHA-256"):
        assert account.ha1(algorithm, "realm") == compute_ha1(algorithm, "front door", "realm", "secret")
    assert account.ha1("MD6", "realm") is None


def test_a_hash_gives_only_itself() -> None:
    account = parse_account(f"bob@x md5:{MD5} ;")
    assert account.ha1("MD5", "x") == MD5
    assert account.ha1("SHA-256", "x") is None


def test_auth_id_and_phone_follow_the_semicolon() -> None:
    account = parse_account("bob@x clrtxt:secret ; b%20id +331234")
    assert (account.auth_id, account.phone, account.auth_name) == ("b id", "+331234", "b id")
    assert account.ha1("MD5", "x") == compute_ha1("MD5", "b id", "x", "secret")
    assert parse_account("bob@x clrtxt:secret ; bob").auth_id == ""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bob@x md5:12 ;", "f:2: md5: must be 32 hexadecimal digits"),
        ("bob@x clrtxt:a", "f:2: a ; must follow the passwords"),
        ("bob@x ;", "f:2: bob@x has no password: clrtxt:, md5: or sha256: is missing"),
        ("bob@x sha-256:1 ;", "f:2: unknown kind of password sha-256:, did you mean sha256:?"),
        ("bob@x MD5:1 ;", "f:2: unknown kind of password MD5:, did you mean md5:?"),
        ("bob@x cleartext:1 ;", "f:2: unknown kind of password cleartext:, did you mean clrtxt:?"),
        ("bob@x zzz:1 ;", "f:2: unknown kind of password zzz:, known are clrtxt, md5, sha256"),
        ("bob@x clrtxt: ;", "f:2: clrtxt: is empty"),
        ("bob@ clrtxt:a ;", "f:2: 'bob@' is not user@domain"),
        (
            "bob@x clrtxt:a ; 1 2 3",
            "f:2: after the ; come an auth-id and a phone number, but here are 3 words",
        ),
        ("eve@x clrtxt:b ;", "f:2: eve@x is already in line 3"),
        ("; a", "f:2: no account before the ;"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_other_lines_count(line: str, message: str) -> None:
    text = f"version:1\n{line}\neve@x clrtxt:b ;\n"
    if line.startswith("eve"):
        text, message = f"version:1\n# \neve@x clrtxt:b ;\n{line}\n", message.replace("f:2", "f:4")
    file = PasswordFile.parse(text, "f")
    assert [str(problem) for problem in file.problems] == [message]
    assert list(file.accounts) == [("eve", "x")]


def test_a_mistake_never_shows_a_password() -> None:
    file = PasswordFile.parse("version:1\nbob@x hunter2 ;\n", "f")
    assert "hunter2" not in str(file.problems[0])


@pytest.mark.parametrize("text", ["", "alice@x clrtxt:a ;\n", "version:2\nalice@x clrtxt:a ;\n"])
def test_the_version_must_be_one(text: str) -> None:
    [problem] = PasswordFile.parse(text, "f").problems
    assert str(problem).startswith("f:1: the first line must be version:1")


@given(st.text(max_size=100))
def test_any_text_is_read_or_reported(text: str) -> None:
    file = PasswordFile.parse("version:1\n" + text, "f")
    assert len(file.accounts) + len(file.problems) <= text.count("\n") + 1


_words = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=";"), min_size=1)
_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(_names, _words, _names, _names | st.just(""))
def test_an_account_that_is_written_is_read_again(user: str, password: str, auth_id: str, phone: str) -> None:
    account = Account(user, "x.org", password, MD5, "", "" if auth_id == user else auth_id, phone)
    assert parse_account(format_account(account)) == account


# --- while the server runs -------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "passwd"


def write(path: Path, *lines: str) -> None:
    new = path.with_suffix(".new")
    new.write_text("\n".join(("version:1", *lines)) + "\n")
    os.replace(new, path)


def test_users_are_found_by_name_auth_id_and_phone(path: Path) -> None:
    write(path, "bob@x clrtxt:a ; b-id 123", "b-id@y clrtxt:b ;")
    credentials = FileCredentials(path)
    assert credentials.reload(0.0) == []
    bob = credentials.lookup("bob", "x")
    assert bob is not None
    assert credentials.lookup("b-id", "x") is bob
    assert credentials.lookup_phone("123", "x") is bob
    assert credentials.lookup("bob", "y") is None
    assert len(credentials) == 2


def test_a_user_goes_before_anothers_auth_id(path: Path) -> None:
    write(path, "bob@x clrtxt:a ; eve", "eve@x clrtxt:b ;")
    credentials = FileCredentials(path)
    credentials.reload(0.0)
    eve = credentials.lookup("eve", "x")
    assert eve is not None
    assert eve.user == "eve"


def test_accounts_of_other_domains_are_left_out_with_a_warning(path: Path) -> None:
    write(path, "bob@x clrtxt:a ;", "eve@Y clrtxt:b ;")
    credentials = FileCredentials(path, ["X"])
    [problem] = credentials.reload(0.0)
    assert str(problem) == f"{path}:3: y is not one of auth-domains, eve is left out"
    assert not problem.is_error
    assert credentials.lookup("bob", "x")
    assert not credentials.lookup("eve", "y")


def test_a_changed_file_is_taken_over_within_the_interval(path: Path) -> None:
    write(path, "bob@x clrtxt:a ;")
    credentials = FileCredentials(path, check_interval=1.0)
    credentials.reload(0.0)
    write(path, "eve@x clrtxt:a ;")
    credentials.reload(0.5)
    assert credentials.lookup("bob", "x")
    credentials.reload(1.0)
    assert credentials.lookup("eve", "x")
    assert not credentials.lookup("bob", "x")


def test_a_bad_file_is_used_at_the_start_and_refused_later(path: Path) -> None:
    write(path, "bob@x clrtxt:a ;", "oops")
    credentials = FileCredentials(path)
    assert len(credentials.reload(0.0)) == 1
    assert credentials.lookup("bob", "x")
    write(path, "eve@x clrtxt:a ;", "oops", "oops")
    assert "the former accounts stay" in str(credentials.reload(2.0)[-1])
    assert credentials.reload(4.0) == []
    assert credentials.lookup("bob", "x")
    assert not credentials.lookup("eve", "x")


def test_a_file_that_vanished_keeps_its_accounts_and_is_reported_once(path: Path) -> None:
    write(path, "bob@x clrtxt:a ;")
    credentials = FileCredentials(path)
    credentials.reload(0.0)
    path.unlink()
    [problem] = credentials.reload(2.0)
    assert str(problem).endswith("No such file or directory; the 1 accounts known before are kept")
    assert credentials.reload(4.0) == []
    assert credentials.lookup("bob", "x")
    write(path, "eve@x clrtxt:a ;")
    credentials.reload(6.0)
    assert credentials.lookup("eve", "x")


def test_a_file_that_is_not_there_at_the_start_is_reported(path: Path) -> None:
    credentials = FileCredentials(path)
    [problem] = credentials.reload(0.0)
    assert str(problem) == f"{path}: can't be read: No such file or directory"
    assert len(credentials) == 0
