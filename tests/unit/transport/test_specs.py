"""Flexisip's `transports` syntax."""

import pytest

from flexipy.transport.errors import TransportSpecError
from flexipy.transport.specs import TransportSpec, parse_transport


def one(text: str) -> TransportSpec:
    (spec,) = parse_transport(text)
    return spec


def test_sip_wildcard_is_udp_and_tcp_on_5060() -> None:
    udp, tcp = parse_transport("sip:*")

    assert (udp.transport, tcp.transport) == (b"UDP", b"TCP")
    assert (udp.host, udp.bind, udp.port) == ("*", "0.0.0.0", 5060)
    assert udp.is_wildcard


def test_transport_parameter_selects_one() -> None:
    assert one("sip:*;transport=udp").transport == b"UDP"
    assert one("sip:*;transport=TCP").transport == b"TCP"


@pytest.mark.parametrize("host", ["[::]", "[::0]", "[0:0::0]"])
def test_ipv6_wildcard(host: str) -> None:
    spec = one(f"sip:{host}:5070;transport=udp")

    assert (spec.host, spec.bind, spec.port) == ("*", "::", 5070)


def test_maddr_is_bound_and_the_host_advertised() -> None:
    spec = one("sip:Proxy.Example.org:5062;maddr=10.0.0.1;transport=udp")

    assert (spec.host, spec.bind, spec.port) == ("proxy.example.org", "10.0.0.1", 5062)
    assert not spec.is_wildcard


def test_maddr_wildcard_with_a_public_name() -> None:
    spec = one("sips:sip.example.org;maddr=*")

    assert (spec.host, spec.bind) == ("sip.example.org", "0.0.0.0")


def test_sips_is_tls_with_its_parameters() -> None:
    spec = one("sips:h:5063;tls-certificates-file=/a.pem;tls-certificates-private-key=/k;require-peer-certificate=1")

    assert (spec.transport, spec.port) == (b"TLS", 5063)
    assert spec.params["tls-certificates-file"] == "/a.pem"
    assert spec.flag("require-peer-certificate", False)
    assert not spec.flag("tls-verify-incoming", False)
    assert one("sips:h").port == 5061


@pytest.mark.parametrize(
    ("text", "transport", "port"),
    [
        ("sip:h:8080;transport=ws", b"WS", 8080),
        ("sips:h:8443;transport=wss", b"WSS", 8443),
        ("ws:*", b"WS", 80),
        ("wss:h", b"WSS", 443),
    ],
)
def test_websockets(text: str, transport: bytes, port: int) -> None:
    assert (one(text).transport, one(text).port) == (transport, port)


def test_networks() -> None:
    spec = one("sip:10.0.0.1;transport=udp;network=10.0.0.0/8,192.168.0.0/16")

    assert [str(network) for network in spec.networks] == ["10.0.0.0/8", "192.168.0.0/16"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5060",
        "http:h",
        "sip:",
        "sip:h:99999",
        "sip:h;transport=sctp",
        "sip:h;transport=tls",
        "sips:h;transport=udp",
        "sip:h;colour=red",
        "sip:h;maddr=1.2.3.4;maddr=1.2.3.5",
        "sip:[::zz]",
        "sip:h;network=10.0.0.0/99",
        "sip:user@h",
        "sip:a b",
    ],
)
def test_bad_text_says_which_entry(text: str) -> None:
    with pytest.raises(TransportSpecError) as caught:
        parse_transport(text)

    assert f"'{text}'" in str(caught.value)
