"""Pairs of ports."""

import resource
import socket
from collections.abc import Iterator

import pytest

from flexipy.media.ports import PortPair, PortPool
from flexipy.media.relay import RelayError


@pytest.fixture
def four() -> Iterator[int]:
    """The first of eight free ports."""
    for first in range(20000, 60000, 100):
        try:
            for port in range(first, first + 8):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        yield first
        return


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_rtp_gets_an_even_port_and_rtcp_the_next(ip: str) -> None:
    pool = PortPool(20000, 60000)
    pair = pool.bind(ip)
    assert pair.port % 2 == 0
    assert pair.rtp.getsockname()[:2] == (ip, pair.port)
    assert pair.rtcp.getsockname()[:2] == (ip, pair.port + 1)
    assert pool.holds(ip, pair.port)
    assert pool.holds(ip, pair.port + 1)
    pool.free(pair)
    assert not pool.holds(ip, pair.port)


def test_odd_limits_are_kept() -> None:
    pool = PortPool(20001, 20005)
    pairs = [pool.bind("127.0.0.1") for _ in range(2)]
    assert sorted(pair.port for pair in pairs) == [20002, 20004]
    for pair in pairs:
        pool.free(pair)


def test_a_range_without_a_pair_has_no_ports() -> None:
    with pytest.raises(RelayError) as raised:
        PortPool(20001, 20002).bind("127.0.0.1")
    assert raised.value.reason == "ports"


def test_ports_of_others_are_passed_over(four: int) -> None:
    pool = PortPool(four, four + 3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", four + 1))  # the RTCP port is enough
        pair = pool.bind("127.0.0.1")
        assert pair.port == four + 2
        with pytest.raises(RelayError, match="in use"):
            pool.bind("127.0.0.1")
    second = pool.bind("127.0.0.1")
    assert second.port == four
    pool.free(pair)
    pool.free(second)


def test_a_freed_pair_is_used_after_all_others(four: int) -> None:
    pool = PortPool(four, four + 7)
    first = pool.bind("127.0.0.1")
    pool.free(first)
    pairs: list[PortPair] = [pool.bind("127.0.0.1") for _ in range(4)]
    assert [pair.port == first.port for pair in pairs] == [False, False, False, True]
    for pair in pairs:
        pool.free(pair)


def test_addresses_have_the_whole_range_each(four: int) -> None:
    pool = PortPool(four, four + 1)
    pairs = [pool.bind("127.0.0.1"), pool.bind("127.0.0.2")]
    assert pairs[0].port == pairs[1].port == four
    for pair in pairs:
        pool.free(pair)


def test_an_address_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(RelayError, match=r"192\.0\.2\.1"):
        PortPool(20000, 30000).bind("192.0.2.1")


def test_too_many_open_files_is_an_error_and_leaks_nothing() -> None:
    pool = PortPool(20000, 60000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        next_free = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_free + 1, hard))  # one socket, not two
    try:
        with pytest.raises(RelayError) as raised:
            pool.bind("127.0.0.1")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert raised.value.reason == "ports"
    with socket.socket() as probe:
        assert probe.fileno() == next_free
