"""The operator's way to the password file."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flexipy.auth.password_file import PasswordFile
from flexipy.cli.passwd import main
from flexipy.sip.digest import compute_ha1

ALICE = ("alice", "sip.example.org")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "passwd"


def type_in(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    replies = iter(answers)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(replies))


def accounts(path: Path) -> PasswordFile:
    file = PasswordFile.parse(path.read_text(), str(path))
    assert file.problems == []
    return file


def test_add_makes_a_file_for_its_owner_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    type_in(monkeypatch, "secret", "secret")
    assert main([str(path), "add", "alice@SIP.example.org"]) == 0
    account = accounts(path).accounts[ALICE]
    assert account.password is None
    assert account.hashes["MD5"] == compute_ha1("MD5", "alice", "sip.example.org", "secret")
    assert account.hashes["SHA-256"] == compute_ha1("SHA-256", "alice", "sip.example.org", "secret")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("version:1\n")
    assert "secret" not in path.read_text()


def test_passwords_that_differ_change_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_in(monkeypatch, "secret", "secrte")
    assert main([str(path), "add", "alice@sip.example.org"]) == 1
    assert not path.exists()
    assert capsys.readouterr().err == "flexipy passwd: the two passwords differ, nothing changed\n"


def test_change_keeps_comments_order_and_mode(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("version:1\n# the house\nalice@x clrtxt:old ; id 123\n\nbob@x clrtxt:b ;\nbroken line\n# end")
    path.chmod(0o640)
    monkeypatch.setattr("sys.stdin", io.StringIO("new\n"))
    assert main([str(path), "change", "alice@x", "--clear-text", "--password-stdin"]) == 0
    assert path.read_text() == (
        "version:1\n# the house\nalice@x clrtxt:new ; id 123\n\nbob@x clrtxt:b ;\nbroken line\n# end\n"
    )
    assert path.stat().st_mode & 0o777 == 0o640


def test_remove_takes_one_line_out(path: Path) -> None:
    path.write_text("version:1\n# a\nalice@x clrtxt:a ;\n# b\nbob@x clrtxt:b ;\n")
    assert main([str(path), "remove", "alice@x"]) == 0
    assert path.read_text() == "version:1\n# a\n# b\nbob@x clrtxt:b ;\n"


def test_list_shows_accounts_but_no_secrets(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(f"version:1\nalice@x clrtxt:hidden ; id 123\nbob@x md5:{'a' * 32} ;\noops@x md5:hidden ;\n")
    assert main([str(path), "list"]) == 1
    output = capsys.readouterr()
    assert output.out == "alice@x  clear text  auth-id id  phone 123\nbob@x  MD5\n"
    assert output.err == f"{path}:4: md5: must be 32 hexadecimal digits\n"


@pytest.mark.parametrize("stored", [[], ["--algorithm", "md5"], ["--clear-text"], ["--realm", "other"]])
def test_check_tells_right_from_wrong(path: Path, monkeypatch: pytest.MonkeyPatch, stored: list[str]) -> None:
    type_in(monkeypatch, "secret", "secret", "secret", "Secret")
    assert main([str(path), "add", "alice@x", *stored]) == 0
    realm = stored if "--realm" in stored else []
    assert main([str(path), "check", "alice@x", *realm]) == 0
    assert main([str(path), "check", "alice@x", *realm]) == 1


def test_a_generated_password_is_shown_and_works(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(path), "add", "alice@x", "--generate"]) == 0
    password = capsys.readouterr().out.splitlines()[0].removeprefix("password: ")
    assert len(password) >= 12
    type_in(monkeypatch, password)
    assert main([str(path), "check", "alice@x"]) == 0


def test_a_user_with_a_space_is_written_escaped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    type_in(monkeypatch, "s", "s")
    assert main([str(path), "add", "front door@x"]) == 0
    assert "front%20door@x" in path.read_text()
    assert ("front door", "x") in accounts(path).accounts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "bob@x"], "bob@x exists already, use change"),
        (["change", "eve@x"], "eve@x is not in"),
        (["remove", "eve@x"], "eve@x is not in"),
        (["add", "eve"], "'eve' is not user@domain"),
        (["add", "@x"], "'@x' is not user@domain"),
        (["add", "eve@x", "--algorithm", "sha1"], "unknown algorithm sha1"),
        (["add", "eve@x", "--clear-text"], "can't hold spaces"),
    ],
)
def test_mistakes_are_told_in_one_line_and_change_nothing(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    path.write_text("version:1\nbob@x clrtxt:b ;\n")
    type_in(monkeypatch, "a b", "a b")
    assert main([str(path), *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert path.read_text() == "version:1\nbob@x clrtxt:b ;\n"


@pytest.mark.parametrize("action", [["list"], ["remove", "a@x"], ["change", "a@x"], ["check", "a@x"]])
def test_a_missing_file_is_told(path: Path, capsys: pytest.CaptureFixture[str], action: list[str]) -> None:
    assert main([str(path), *action]) == 1
    assert "No such file" in capsys.readouterr().err
    assert list(path.parent.iterdir()) == []


def test_a_symbolic_link_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("version:1\n")
    link.symlink_to(real)
    type_in(monkeypatch, "s", "s")
    assert main([str(link), "add", "alice@x"]) == 0
    assert link.is_symlink()
    assert "alice@x" in real.read_text()


def test_two_editors_wait_for_each_other(path: Path) -> None:
    path.write_text("version:1\n")
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    command = [sys.executable, "-c", "import sys; from flexipy.cli.passwd import main; sys.exit(main())"]
    command += [str(path), "add", "alice@x", "--password-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as editor:
        assert editor.stdin is not None
        editor.stdin.write(b"secret\n")
        editor.stdin.close()
        path.write_text("version:1\nbob@x clrtxt:b ;\n")  # by who holds the lock
        os.close(lock)
        assert editor.wait(30) == 0
    assert sorted(accounts(path).accounts) == [("alice", "x"), ("bob", "x")]


def test_a_missing_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "var" / "passwd"), "add", "alice@sip.example.org", "--generate"]) == 1
    assert capsys.readouterr().err == f"flexipy passwd: {tmp_path}/var: No such file or directory\n"
