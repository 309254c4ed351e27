from __future__ import annotations

import subprocess
import sys

import pytest

from flexipy.config.reader import read
from flexipy.config.schema import Parameter, ParameterType, Schema, Section, boolean, module_section, string
from flexipy.config.sections import build_schema
from flexipy.config.values import UNITS, parse


def parameters() -> list[tuple[str, Parameter]]:
    return [(section.name, parameter) for section in build_schema() for parameter in section.parameters]


def test_every_default_is_a_value() -> None:
    for section, parameter in parameters():
        assert parse(parameter, parameter.default) is not None or parameter.type is ParameterType.EXPRESSION, section


def test_every_declaration_is_well_formed() -> None:
    for section, parameter in parameters():
        where = f"{section}/{parameter.name}"
        assert parameter.help.strip() == parameter.help != "", where
        assert parameter.name == parameter.name.lower(), where
        assert (parameter.unit in UNITS) == (parameter.type is ParameterType.DURATION), where


# What Flexisip 2.5.2 has outside of the modules that flexipy implements.
@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("global", "default-servers auto-respawn plugins-dir plugins dump-corefiles enable-snmp log-directory"),
        ("global", "log-filename log-level syslog-level sofia-level user-errors-logs contextual-log-filter"),
        ("global", "contextual-log-level show-body-for transports aliases idle-timeout keepalive-interval"),
        ("global", "proxy-to-proxy-keepalive-interval transaction-timeout udp-mtu tcp-max-read-size"),
        ("global", "rtp-bind-address tls-certificates-check-interval tls-certificates-file"),
        ("global", "tls-certificates-private-key tls-certificates-ca-file tls-ciphers require-peer-certificate"),
        ("global", "unique-id tport-message-queue-size memory-usage-log-interval"),
        ("cluster", "enabled cluster-domain nodes internal-transport"),
        ("mdns-register", "enabled mdns-priority mdns-weight mdns-ttl"),
        ("event-logs", "enabled logger filesystem-directory database-backend database-connection-string"),
        ("event-logs", "database-max-queue-size database-nb-threads-max flexiapi-host flexiapi-port"),
        ("event-logs", "flexiapi-prefix flexiapi-api-key dir flexiapi-token"),
        ("stun-server", "enabled bind-address port"),
        ("inter-domain-connections", "accept-domain-registrations assume-unique-domains domain-registrations"),
        ("inter-domain-connections", "keepalive-interval ping-pong-timeout-delay reconnection-delay"),
        ("inter-domain-connections", "reg-when-needed relay-reg-to-domains relay-reg-to-domains-regex"),
        ("conference-server", "enabled transport conference-factory-uris conference-focus-uris outbound-proxy"),
        ("conference-server", "local-domains audio-port video-port database-backend check-capabilities"),
        ("conference-server", "database-connection-string supported-media-types audio-engine-mode"),
        ("conference-server", "video-engine-mode encryption nat-addresses empty-chat-room-deletion"),
        ("conference-server", "subscription-refresh-delay call-timeout state-directory conference-factory-uri"),
        ("conference-server", "enable-one-to-one-chat-room"),
        ("presence-server", "enabled transports expires notify-limit long-term-enabled max-presence-elements"),
        ("presence-server", "bypass-condition last-activity-retention-time"),
        ("b2bua-server", "application transport outbound-proxy max-calls no-rtp-timeout max-call-duration"),
        ("module::RegEvent", "enabled filter regevent-server"),
        ("module::Presence", "enabled filter presence-server only-list-subscription"),
        ("module::Transcoder", "enabled filter jb-nom-size rc-user-agents audio-codecs"),
    ],
)
def test_the_names_of_flexisip_are_known(section: str, names: str) -> None:
    schema = build_schema()
    assert [name for name in names.split() if schema.find_parameter(section, name) is None] == []


def test_a_declared_section_takes_the_place_of_the_one_known_by_name() -> None:
    relay = module_section("MediaRelay", "Relays.", True, parameters=(string("new", "", "New."),))
    conference = Section("conference-server", "Confers.", (boolean("enabled", "true", "Run."),))
    schema = build_schema([relay, conference])
    new = schema.find_parameter("module::MediaRelay", "new")
    assert new is not None
    assert new.implemented
    assert schema.section("conference-server") == conference
    assert [section.name for section in schema].count("module::MediaRelay") == 1


def test_former_names_of_an_implemented_module_are_known_unless_it_declares_them() -> None:
    authentication = module_section(
        "Authentication",
        "Authenticates.",
        False,
        parameters=(string("file-path", "", "File.", aliases=("datasource",)),),
    )
    schema = build_schema([authentication])
    datasource = schema.find_parameter("module::Authentication", "datasource")
    assert datasource is not None
    assert datasource.name == "file-path"
    hashed = schema.find_parameter("module::Authentication", "hashed-passwords")
    assert hashed is not None
    assert hashed.retired


def test_module_sections_start_with_enabled_and_filter() -> None:
    section = module_section("module::X", "X.", True, "is_request", (string("a", "", "A."),))
    assert section.name == "module::X"
    assert [parameter.name for parameter in section.parameters] == ["enabled", "filter", "a"]
    config, _ = read(None, Schema([section]))
    assert config.section("module::X")["enabled"] is True
    assert config.section("module::X").raw("filter") == "is_request"


def test_a_name_declared_twice_is_refused() -> None:
    one = Section("a", "A.", (string("x", "", "X."),))
    with pytest.raises(ValueError, match="twice"):
        Schema([one, one])
    with pytest.raises(ValueError, match="twice"):
        Schema([Section("a", "A.", (string("x", "", "X."), string("y", "", "Y.", aliases=("x",))))])


def test_importing_the_reader_does_not_drag_in_the_tools() -> None:
    code = "import sys, flexipy.config.reader, flexipy.config.sections; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"argparse", "difflib", "json", "textwrap", "asyncio"} & set(loaded)
