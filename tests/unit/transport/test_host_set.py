from __future__ import annotations

import pytest

from flexipy.transport.errors import ResolutionError
from flexipy.transport.host_set import HostSet
from flexipy.transport.resolver import Resolver


def test_addresses_and_networks_of_both_families() -> None:
    hosts = HostSet(["192.0.2.1", "[2001:db8::1]", "198.51.100.0/24", "2001:db8:1::/48"])
    inside = ("192.0.2.1", "2001:db8::1", "198.51.100.200", "2001:db8:1::5")
    assert all(ip in hosts for ip in inside)
    assert not any(ip in hosts for ip in ("192.0.2.2", "2001:db8::2", "198.51.101.1", "2001:db8:2::5"))
    assert hosts.names == []


def test_empty_set_is_false() -> None:
    assert not HostSet([])
    assert HostSet(["192.0.2.1"])
    assert HostSet(["name.example"])


@pytest.mark.parametrize("entry", ["192.0.2", "192.0.2.256", "192.0.2.0/33", "a b", "a,b", "", "${x/y}"])
def test_entry_that_is_no_host_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        HostSet([entry])


async def test_name_has_its_addresses_once_resolved() -> None:
    hosts = HostSet(["Server.Example."])
    assert "192.0.2.7" not in hosts
    assert await hosts.resolve(Resolver({"server.example": ["192.0.2.7", "192.0.2.8"]}))
    assert "192.0.2.7" in hosts
    assert "192.0.2.8" in hosts


async def test_name_that_moves_is_followed_and_one_that_is_lost_keeps_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fails(*_: object) -> None:
        raise ResolutionError("no answer")

    monkeypatch.setattr(Resolver, "_search", fails)
    hosts = HostSet(["server.example"])
    await hosts.resolve(Resolver({"server.example": ["192.0.2.7"]}))
    await hosts.resolve(Resolver({"server.example": ["192.0.2.8"]}))
    assert "192.0.2.7" not in hosts
    assert not await hosts.resolve(Resolver({}))
    assert "192.0.2.8" in hosts
