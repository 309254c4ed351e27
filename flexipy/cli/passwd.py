"""`flexipy passwd`: accounts of a password file, added, changed, removed, listed and checked.

    flexipy passwd FILE add alice@sip.example.org
    flexipy passwd FILE change alice@sip.example.org --generate
    flexipy passwd FILE remove alice@sip.example.org
    flexipy passwd FILE list
    flexipy passwd FILE check alice@sip.example.org

The server takes a changed file over by itself. Comments and other lines stay as they are.
"""

from __future__ import annotations

import argparse
import getpass
import hmac
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flexipy.auth.account import Account
from flexipy.auth.password_file import LineError, PasswordFile, parse_identity
from flexipy.cli.locked_file import LockedFile
from flexipy.sip.digest import compute_ha1

_ALGORITHMS: Final = {"md5": "MD5", "sha256": "SHA-256", "sha-256": "SHA-256"}
_UNMISTAKABLE: Final = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789"
_GENERATED_LENGTH: Final = 13  # 75 bits: more than enough against guesses over the network and of stolen hashes
# what a clear-text password can't hold: the format has no way to write it
_UNWRITABLE: Final = frozenset(" \t;\r\n")


class PasswdError(Exception):
    """What went wrong, in one line for the operator."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `flexipy passwd`; those of the process where None.

    Returns:
        The exit status: 0 done, 1 not done or, for `check`, the wrong password, 2 wrong usage.
    """
    options = _parser().parse_args(argv)
    try:
        result: int = options.run(options)
    except (PasswdError, LineError) as error:
        print(f"flexipy passwd: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"flexipy passwd: {error.filename or options.file}: {error.strerror}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nflexipy passwd: nothing changed", file=sys.stderr)
        return 1
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="flexipy passwd", description="Manage the accounts of a password file.")
    parser.add_argument("file", type=Path, metavar="FILE", help="the password file; `add` makes it")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, run, text in (
        ("add", _add, "add an account"),
        ("change", _change, "give an account another password"),
    ):
        action = actions.add_parser(name, help=text)
        _account_argument(action)
        action.add_argument(
            "--algorithm",
            default="sha256,md5",
            help="hashes to store, separated by commas (default: %(default)s; old phones need md5)",
        )
        action.add_argument("--clear-text", action="store_true", help="store the password itself, no hashes")
        action.add_argument("--generate", action="store_true", help="make up a password and print it")
        action.set_defaults(run=run)
    action = actions.add_parser("remove", help="remove an account")
    action.add_argument("account", metavar="USER@DOMAIN")
    action.set_defaults(run=_remove)
    action = actions.add_parser("list", help="list accounts and what is stored of each; report mistakes")
    action.set_defaults(run=_list)
    action = actions.add_parser("check", help="say whether a password is right")
    _account_argument(action)
    action.set_defaults(run=_check)
    return parser


def _account_argument(action: argparse.ArgumentParser) -> None:
    action.add_argument("account", metavar="USER@DOMAIN")
    action.add_argument("--realm", help="the server's realm, if it has another than the domain")
    action.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def _add(options: argparse.Namespace) -> int:
    user, domain = _identity(options.account)
    with LockedFile(options.file) as locked:
        file = _parse(locked.read(), options.file)
        if (user, domain) in file.accounts:
            raise PasswdError(f"{options.account} exists already, use change")
        account = Account(user, domain)
        _set_password(account, options)
        file.put(account)
        locked.replace(file.text())
    print(f"{options.account} added")
    return 0


def _change(options: argparse.Namespace) -> int:
    with LockedFile(options.file, must_exist=True) as locked:
        file = _parse(locked.read(), options.file)
        account = _find(file, options)
        _set_password(account, options)
        file.put(account)
        locked.replace(file.text())
    print(f"{options.account} changed")
    return 0


def _remove(options: argparse.Namespace) -> int:
    with LockedFile(options.file, must_exist=True) as locked:
        file = _parse(locked.read(), options.file)
        account = _find(file, options)
        file.remove(account.user, account.domain)
        locked.replace(file.text())
    print(f"{options.account} removed")
    return 0


def _list(options: argparse.Namespace) -> int:
    file = _parse(options.file.read_text("utf-8", "surrogateescape"), options.file)
    for account in file.accounts.values():
        kinds = [*account.hashes, *(["clear text"] if account.password is not None else [])]
        more = f"  auth-id {account.auth_id}" if account.auth_id else ""
        more += f"  phone {account.phone}" if account.phone else ""
        print(f"{account.user}@{account.domain}  {', '.join(kinds)}{more}")
    for problem in file.problems:
        print(problem, file=sys.stderr)
    return 1 if file.problems else 0


def _check(options: argparse.Namespace) -> int:
    file = _parse(options.file.read_text("utf-8", "surrogateescape"), options.file)
    account = _find(file, options)
    password = _read_password(options, repeat=False)
    realm = options.realm or account.domain
    for algorithm in ("SHA-256", "MD5"):
        expected = account.ha1(algorithm, realm)
        if expected is not None:
            given = compute_ha1(algorithm, account.auth_name, realm, password)
            right = hmac.compare_digest(expected, given)
            print("the password is right" if right else "the password is wrong")
            return 0 if right else 1
    raise PasswdError(f"{options.account} has no password")


def _parse(text: str, path: Path) -> PasswordFile:
    return PasswordFile.parse(text, str(path)) if text.strip() else PasswordFile()


def _identity(text: str) -> tuple[str, str]:
    user, domain = parse_identity(text)
    if not user or any(character.isspace() or character in ";#" for character in domain):
        raise PasswdError(f"{text!r} is not user@domain")
    return user, domain


def _find(file: PasswordFile, options: argparse.Namespace) -> Account:
    account = file.accounts.get(_identity(options.account))
    if account is None:
        raise PasswdError(f"{options.account} is not in {options.file}")
    return account


def _set_password(account: Account, options: argparse.Namespace) -> None:
    algorithms = _algorithms(options.algorithm)
    password = _generate() if options.generate else _read_password(options, repeat=True)
    if not password:
        raise PasswdError("an empty password is no password")
    if options.clear_text:
        if not _UNWRITABLE.isdisjoint(password):
            raise PasswdError("a clear-text password can't hold spaces or ;, leave --clear-text away")
        account.password = password
        account.md5 = account.sha256 = ""
    else:
        realm = options.realm or account.domain
        account.password = None
        hashes = {name: compute_ha1(name, account.auth_name, realm, password) for name in algorithms}
        account.md5, account.sha256 = hashes.get("MD5", ""), hashes.get("SHA-256", "")
    if options.generate:
        print(f"password: {password}")


def _algorithms(text: str) -> list[str]:
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in _ALGORITHMS]
    if unknown or not names:
        raise PasswdError(f"unknown algorithm {', '.join(unknown) or 'in an empty list'}: known are sha256 and md5")
    return [_ALGORITHMS[name] for name in names]


def _generate() -> str:
    # Only here: it takes longer to import than all the rest. Not passlib.pwd, which fails without setuptools.
    from passlib.utils import getrandstr, rng

    return str(getrandstr(rng, _UNMISTAKABLE, _GENERATED_LENGTH))


def _read_password(options: argparse.Namespace, repeat: bool) -> str:
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if repeat and getpass.getpass("Once more: ") != password:
        raise PasswdError("the two passwords differ, nothing changed")
    return password
