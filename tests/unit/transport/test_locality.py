"""Which addresses are ours and which listening point serves whom."""

import pytest

from flexipy.transport.addresses import interface_addresses, local_address_toward, normalize_ip
from flexipy.transport.listener import Listener
from flexipy.transport.locality import Locality
from flexipy.transport.specs import parse_transport


def locality(*uris: str) -> Locality:
    specs = [spec for uri in uris for spec in parse_transport(uri)]
    return Locality([Listener(spec, (spec.bind, spec.port)) for spec in specs])


def test_a_wildcard_owns_every_interface() -> None:
    ours = locality("sip:*:5060;transport=udp")

    for ip in interface_addresses():
        assert ours.is_local(ip, 5060) == (":" not in ip)
    assert ours.is_local("127.0.0.77", 5060)
    assert ours.is_local("localhost", 5060)
    assert not ours.is_local("127.0.0.1", 5061)
    assert not ours.is_local("192.0.2.200", 5060)
    assert not ours.is_local("example.org", 5060)


def test_ipv6_in_any_spelling() -> None:
    ours = locality("sip:[::1]:5060")

    for host in ("::1", "[::1]", "[0:0:0:0:0:0:0:1]"):
        assert ours.is_local(host, 5060)
    assert not ours.is_local("127.0.0.1", 5060)


def test_advertised_names_and_missing_ports() -> None:
    ours = locality("sip:proxy.example:5080;maddr=127.0.0.1;transport=tcp")

    assert ours.is_local("Proxy.Example.", 5080)
    assert ours.is_local("proxy.example", None)
    assert ours.is_local("127.0.0.1", 5080)
    assert not ours.is_local("127.0.0.1", None)  # an address without port is port 5060
    assert not ours.is_local("proxy.example", 5060)
    assert locality("sips:10.0.0.1").is_local("10.0.0.1", None)


@pytest.mark.parametrize(
    ("ip", "bound"),
    [
        ("10.1.2.3", "10.0.0.1"),  # network=
        ("127.0.0.1", "127.0.0.1"),  # the kernel's own choice
        ("192.0.2.200", "0.0.0.0"),
        ("::1", "::1"),
    ],
)
def test_the_listener_that_leads_there(ip: str, bound: str) -> None:
    ours = locality(
        "sip:127.0.0.1;transport=udp",
        "sip:10.0.0.1;transport=udp;network=10.0.0.0/8",
        "sip:*:5070;transport=udp",
        "sip:[::1];transport=udp",
    )

    listener = ours.listener_for(b"UDP", ip)

    assert listener is not None
    assert listener.local[0] == bound
    assert ours.listener_for(b"TCP", ip) is None


def test_loopback_is_avoided_toward_the_world() -> None:
    ours = locality("sip:127.0.0.1;transport=udp", "sip:192.0.2.99;transport=udp")

    listener = ours.listener_for(b"UDP", "203.0.113.1")

    assert listener is not None
    assert listener.local[0] == "192.0.2.99"


def test_changes_of_interfaces_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = locality("sip:*")
    assert not ours.refresh()
    assert not ours.is_local("198.51.100.1", 5060)

    more = interface_addresses() | {"198.51.100.1"}
    monkeypatch.setattr("flexipy.transport.locality.interface_addresses", lambda: more)

    assert ours.refresh()
    assert ours.is_local("198.51.100.1", 5060)


def test_addresses() -> None:
    assert local_address_toward("127.0.0.1") == "127.0.0.1"
    assert local_address_toward("::1") == "::1"
    assert normalize_ip("[2001:DB8::0:1]") == "2001:db8::1"
    assert normalize_ip("1.2.3") is None
    assert normalize_ip("example.org") is None
