"""Which services listening points stand for."""

from __future__ import annotations

from flexipy.transport.announcement import Service, addresses_of, services_of
from flexipy.transport.listener import Listener
from flexipy.transport.specs import parse_transport

MACHINE = ("127.0.0.1", "::1", "192.0.2.1", "2001:db8::1", "fe80::1", "169.254.3.4")


def services(*transports: str, machine: tuple[str, ...] = MACHINE, hostname: str = "screen.lan") -> list[Service]:
    listeners = [Listener(spec, (spec.bind, spec.port)) for text in transports for spec in parse_transport(text)]
    return services_of(listeners, machine, hostname)


def test_both_families_make_one_service_for_each_transport() -> None:
    both = ("192.0.2.1", "2001:db8::1")
    assert services("sip:*", "sip:[::]", "sips:*") == [
        Service("_sip._udp.local.", "screen", "screen-sip.local.", 5060, both),
        Service("_sip._tcp.local.", "screen", "screen-sip.local.", 5060, both),
        Service("_sips._tcp.local.", "screen", "screen-sip-2.local.", 5061, ("192.0.2.1",)),
    ]


def test_web_sockets_have_no_service() -> None:
    assert services("sip:*:5066;transport=ws", "sips:*:5067;transport=wss") == []


def test_a_second_port_has_a_name_of_its_own() -> None:
    found = services("sip:*;transport=udp", "sip:*:5070;transport=udp")
    assert [(service.instance, service.port) for service in found] == [("screen", 5060), ("screen 5070", 5070)]


def test_what_others_cannot_reach_is_not_announced() -> None:
    assert [service.addresses for service in services("sip:127.0.0.1;transport=udp", "sip:*:5070;transport=udp")] == [
        ("192.0.2.1",)
    ]


def test_a_machine_without_a_network_announces_itself_to_itself() -> None:
    assert addresses_of(services("sip:*", machine=("127.0.0.1", "::1"))) == ["127.0.0.1"]


def test_without_addresses_there_is_nothing_to_announce() -> None:
    assert services("sip:[::]", machine=("127.0.0.1",)) == []


def test_names_are_cut_to_what_dns_can_hold() -> None:
    (service,) = services("sip:*;transport=udp", hostname="ä" * 40)
    assert len(service.instance.encode()) <= 63
    assert len(service.host.removesuffix(".local.").encode()) <= 63


def test_each_address_counts_once() -> None:
    assert addresses_of(services("sip:*", "sips:*")) == ["192.0.2.1"]
