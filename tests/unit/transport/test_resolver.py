"""RFC 3263 against a DNS server on loopback."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from flexipy.transport.errors import ResolutionError
from flexipy.transport.hosts import parse_hosts
from flexipy.transport.resolver import Resolver, Target
from flexipy.transport.srv import Plan, Server, by_weight

from .dns_server import DnsServer


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    server = await DnsServer().start()
    yield server
    server.close()


def resolver(dns: DnsServer, available: frozenset[bytes] = frozenset({b"UDP", b"TCP", b"TLS"})) -> Resolver:
    found = Resolver({"static.example": ["10.9.9.9"]}, [dns.address], available)
    found.prefer_families([4])
    return found


def test_numeric_hosts_need_nobody() -> None:
    numeric = Resolver()

    assert numeric.cached("192.0.2.1", None, None, False) == [Target(b"UDP", "192.0.2.1", 5060)]
    assert numeric.cached("192.0.2.1", 5070, b"TCP", False) == [Target(b"TCP", "192.0.2.1", 5070)]
    assert numeric.cached("[2001:DB8:0::1]", None, None, True) == [Target(b"TLS", "2001:db8::1", 5061)]
    assert numeric.cached("192.0.2.1", None, b"TCP", True) == [Target(b"TLS", "192.0.2.1", 5061)]
    assert numeric.cached("example.org", None, None, False) is None


def test_hosts_come_before_dns() -> None:
    found = Resolver({"Proxy.Example": ["10.0.0.1", "10.0.0.2"]}).cached("proxy.example", None, b"TLS", False)

    assert found == [
        Target(b"TLS", "10.0.0.1", 5061, "proxy.example"),
        Target(b"TLS", "10.0.0.2", 5061, "proxy.example"),
    ]
    ipv6_only = Resolver()
    ipv6_only.prefer_families([6])
    local = ipv6_only.cached("localhost", 5060, b"UDP", False)
    assert local is not None
    assert [target.ip for target in local] == ["::1"]


def test_hosts_file() -> None:
    text = "# comment\n127.0.0.1 Box box.lan # me\n\n::1 box.lan\nnonsense here\n10.0.0.1\n"

    assert parse_hosts(text) == {"box": ["127.0.0.1"], "box.lan": ["127.0.0.1", "::1"]}


async def test_naptr_then_srv_then_address(dns: DnsServer) -> None:
    dns.add(
        "example.org",
        "NAPTR",
        '20 0 "s" "SIP+D2U" "" _sip._udp.example.org.',
        '10 0 "s" "SIPS+D2T" "" _sips._tcp.example.org.',
        '15 0 "s" "SIP+D2X" "" _sip._x.example.org.',
    )
    dns.add("_sips._tcp.example.org", "SRV", "0 0 5061 one.example.org.")
    dns.add("_sip._udp.example.org", "SRV", "2 0 5060 two.example.org.", "1 0 5062 one.example.org.")
    dns.add("one.example.org", "A", "10.0.0.1")
    dns.add("two.example.org", "A", "10.0.0.2")
    finder = resolver(dns)

    targets = await finder.resolve("Example.org", None, None, False)

    assert targets == [
        Target(b"TLS", "10.0.0.1", 5061, "example.org"),
        Target(b"UDP", "10.0.0.1", 5062, "example.org"),
        Target(b"UDP", "10.0.0.2", 5060, "example.org"),
    ]
    assert finder.cached("Example.org", None, None, False) == targets
    assert await finder.resolve("example.org", None, None, True) == targets[:1]
    assert await resolver(dns, frozenset({b"UDP"})).resolve("example.org", None, None, False) == targets[1:]


async def test_srv_without_naptr(dns: DnsServer) -> None:
    dns.add("_sip._tcp.example.org", "SRV", "0 0 5070 static.example.")
    dns.add("example.org", "A", "10.0.0.1")

    assert await resolver(dns).resolve("example.org", None, None, False) == [
        Target(b"TCP", "10.9.9.9", 5070, "example.org")
    ]
    assert await resolver(dns).resolve("example.org", None, b"TCP", False) == [
        Target(b"TCP", "10.9.9.9", 5070, "example.org")
    ]


async def test_a_port_or_nothing_better_means_addresses(dns: DnsServer) -> None:
    dns.add("example.org", "A", "10.0.0.1", "10.0.0.2")
    dns.add("example.org", "AAAA", "2001:db8::1")
    dns.add("_sip._udp.example.org", "SRV", "0 0 5070 static.example.")
    finder = resolver(dns)
    finder.prefer_families([6, 4, 6])

    targets = await finder.resolve("example.org", 5080, None, False)
    plain = await finder.resolve("example.org", None, b"TLS", False)

    assert targets[0] == Target(b"UDP", "2001:db8::1", 5080, "example.org")
    assert {target.ip for target in targets[1:]} == {"10.0.0.1", "10.0.0.2"}
    assert [target.port for target in plain] == [5061] * 3
    assert plain[0].transport == b"TLS"


async def test_a_service_declared_absent_is_believed(dns: DnsServer) -> None:
    dns.add("_sip._udp.example.org", "SRV", "0 0 0 .")
    dns.add("example.org", "A", "10.0.0.1")

    with pytest.raises(ResolutionError):
        await resolver(dns).resolve("example.org", None, b"UDP", False)


async def test_absence_is_remembered(dns: DnsServer) -> None:
    finder = resolver(dns)
    for _ in range(2):
        with pytest.raises(ResolutionError) as caught:
            await finder.resolve("nowhere.example", 5060, None, False)
        assert not caught.value.temporary

    assert dns.questions == [("nowhere.example", "A")]
    assert finder.cached("nowhere.example", 5060, None, False) is None


async def test_broken_naptr_does_not_hide_addresses(dns: DnsServer) -> None:
    dns.failing = {"NAPTR"}
    dns.add("example.org", "A", "10.0.0.1")

    targets = await resolver(dns).resolve("example.org", None, None, False)

    assert [target.ip for target in targets] == ["10.0.0.1"]
    dns.failing = {"A"}
    with pytest.raises(ResolutionError) as caught:
        await resolver(dns).resolve("example.org", 5060, None, False)
    assert caught.value.temporary


async def test_concurrent_questions_are_asked_once(dns: DnsServer) -> None:
    dns.add("example.org", "A", "10.0.0.1")
    finder = resolver(dns)

    waiting = [asyncio.ensure_future(finder.resolve("example.org", 5060, None, False)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    answers = await asyncio.gather(*waiting[1:])

    assert answers == [[Target(b"UDP", "10.0.0.1", 5060, "example.org")]] * 4
    assert dns.questions == [("example.org", "A")]


async def test_answers_live_as_long_as_their_ttl(dns: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    dns.add("example.org", "A", "10.0.0.1")
    dns.ttl = 50
    finder = resolver(dns)
    await finder.resolve("example.org", 5060, None, False)
    (entry,) = finder._cache.values()
    now = entry.expires

    monkeypatch.setattr("time.monotonic", lambda: now - 1)
    assert finder.cached("example.org", 5060, None, False)
    monkeypatch.setattr("time.monotonic", lambda: now + 1)
    assert finder.cached("example.org", 5060, None, False) is None


async def test_the_cache_is_bounded() -> None:
    finder = Resolver()
    for i in range(10000):
        finder.cached(f"10.0.{i // 256}.{i % 256}", None, None, False)

    assert len(finder._cache) <= 4096


async def test_failed_targets_come_last_for_a_while(dns: DnsServer) -> None:
    dns.add("example.org", "A", "10.0.0.1", "10.0.0.2")
    finder = resolver(dns)
    first, second = await finder.resolve("example.org", 5060, None, False)

    finder.mark_failed(first)
    assert finder.cached("example.org", 5060, None, False) == [second, first]
    finder.mark_working(first)
    assert finder.cached("example.org", 5060, None, False) == [first, second]
    finder.mark_failed(first, seconds=0)
    assert finder.cached("example.org", 5060, None, False) == [first, second]


def server(weight: int, ip: str) -> Server:
    return Server(weight, (Target(b"UDP", ip, 5060),))


def test_weights_share_the_first_place() -> None:
    import random

    draw = random.Random(7).randint
    tier = (server(10, "a"), server(30, "b"), server(60, "c"), server(0, "z"))
    firsts = Counter(by_weight(tier, lambda limit: draw(0, limit))[0].targets[0].ip for _ in range(10000))

    assert firsts["c"] == pytest.approx(6000, abs=300)
    assert firsts["b"] == pytest.approx(3000, abs=300)
    assert firsts["a"] == pytest.approx(900, abs=200)
    assert 0 < firsts["z"] < 300
    assert all(sorted(s.weight for s in by_weight(tier, lambda limit: limit)) == [0, 10, 30, 60] for _ in range(3))


def test_priorities_are_never_mixed() -> None:
    plan = Plan(((server(0, "a"), server(100, "b")), (server(65535, "c"), server(1, "a"))))

    for pick in (lambda limit: 0, lambda limit: limit):
        ips = [target.ip for target in plan.targets(pick)]
        assert sorted(ips[:2]) == ["a", "b"]
        assert ips[2:] == ["c"]
