"""Guessing passwords becomes slow, living with a wrong one doesn't lock out the house."""

from __future__ import annotations

import pytest

from flexipy.auth.throttle import FailureWindow, GuessThrottle, Limit, network_of

BOB = "bob@x"


def throttle() -> GuessThrottle:
    return GuessThrottle(Limit(3, 60, 30), Limit(3, 60, 600), Limit(3, 60, 300))


def test_a_key_is_banned_after_its_failures_and_let_in_after_the_ban() -> None:
    window = FailureWindow("address", Limit(3, 60, 30))
    for now in (0.0, 1.0):
        window.failed("a", now)
        assert window.check("a", now) == 0
    window.failed("a", 2.0)
    assert window.check("a", 2.0) == 30
    assert window.check("a", 31.0) == 1
    assert window.check("a", 32.0) == 0
    assert window.check("b", 2.0) == 0


def test_the_window_slides() -> None:
    window = FailureWindow("address", Limit(3, 60, 30))
    for now in (0.0, 50.0, 61.0, 115.0, 122.0):
        window.failed("a", now)
        assert window.check("a", now) == 0
    window.failed("a", 123.0)
    assert window.check("a", 123.0) > 0


def test_memory_is_bounded_and_the_longest_quiet_is_forgotten() -> None:
    window = FailureWindow("address", Limit(2, 60, 30), capacity=2)
    for key in ("a", "b", "a", "c"):
        window.failed(key, 1.0)
    assert len(window) == 2
    assert window.check("a", 1.0) == 30


def test_one_device_with_an_old_password_does_not_lock_out_its_house() -> None:
    guesses = throttle()
    for now in range(20):
        guesses.failed("192.0.2.1", BOB, float(now))
    assert guesses.check("192.0.2.1", BOB, 19.0) > 0
    assert guesses.check("192.0.2.1", "eve@x", 19.0) == 0
    assert guesses.check("192.0.2.2", BOB, 19.0) == 0


def test_an_address_that_tries_many_users_is_banned() -> None:
    guesses = throttle()
    for user in ("a@x", "b@x", "c@x"):
        guesses.failed("192.0.2.1", user, 0.0)
    assert guesses.check("192.0.2.1", "d@x", 0.0) == 600
    assert guesses.check("192.0.2.2", "a@x", 0.0) == 0


def test_a_user_guessed_at_from_many_addresses_is_closed_except_where_it_was_in() -> None:
    guesses = throttle()
    guesses.succeeded("192.0.2.9", BOB)
    for host in range(3):
        guesses.failed(f"192.0.2.{host}", BOB, 0.0)
    assert guesses.check("198.51.100.1", BOB, 0.0) == 300
    assert guesses.check("192.0.2.9", BOB, 0.0) == 0
    assert guesses.why("192.0.2.9", BOB, 0.0) == []


def test_who_keeps_coming_in_is_not_forgotten_while_many_others_come() -> None:
    guesses = GuessThrottle(Limit(3, 60, 30), Limit(3, 60, 600), Limit(3, 60, 300), capacity=8)
    for number in range(30):
        guesses.succeeded("192.0.2.9", BOB)
        guesses.succeeded("192.0.2.10", f"guest{number}@x")
    for host in range(20, 23):
        guesses.failed(f"192.0.2.{host}", BOB, 0.0)
        guesses.failed(f"192.0.2.{host}", "guest0@x", 0.0)
    assert guesses.check("192.0.2.9", BOB, 0.0) == 0
    assert guesses.check("192.0.2.10", "guest0@x", 0.0) == 300  # that was too long ago to be remembered


def test_success_clears_the_users_own_count_but_not_the_addresss() -> None:
    guesses = throttle()
    for user in ("a@x", "b@x", BOB):
        guesses.failed("192.0.2.1", user, 0.0)
    guesses.failed("192.0.2.5", BOB, 0.0)
    guesses.failed("192.0.2.5", BOB, 0.0)
    guesses.succeeded("192.0.2.5", BOB)
    guesses.failed("192.0.2.5", BOB, 1.0)
    assert guesses.check("192.0.2.5", BOB, 1.0) == 0
    assert guesses.check("192.0.2.1", BOB, 1.0) > 0


def test_bans_are_explained_and_undone() -> None:
    guesses = throttle()
    for user in ("a@x", "b@x", "c@x"):
        guesses.failed("192.0.2.1", user, 0.0)
    [ban] = guesses.bans(10.0)
    assert (ban.kind, ban.key, ban.until) == ("address", "192.0.2.1", 600.0)
    assert ban.reason == "address 192.0.2.1: 3 wrong passwords within 60 s, must wait 590 s more"
    assert guesses.why("192.0.2.1", "zoe@x", 10.0) == [ban]
    assert guesses.unban("192.0.2.1")
    assert not guesses.unban("192.0.2.1")
    assert guesses.check("192.0.2.1", "zoe@x", 10.0) == 0
    assert guesses.bans(10.0) == []


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no:address", "no:address"),
    ],
)
def test_ipv6_hosts_of_one_network_count_together(address: str, network: str) -> None:
    assert network_of(address) == network
