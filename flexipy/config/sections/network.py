"""Sections about a server among others: cluster, multicast DNS, STUN, other domains, event logs, FlexiAPI."""

from __future__ import annotations

from ..schema import (
    Section,
    boolean,
    duration,
    enum,
    integer,
    integer_range,
    retired,
    string,
    string_list,
)

CLUSTER = Section(
    "cluster",
    "Several proxies that serve the same domain together.",
    (
        boolean("enabled", "false", "Be part of a cluster; otherwise this section is idle.", implemented=False),
        string(
            "cluster-domain",
            "",
            "The name that reaches any of the proxies, usually through DNS SRV. It stands in Path and "
            "Record-Route where this proxy alone need not be met again.",
            implemented=False,
        ),
        string_list(
            "nodes",
            "",
            "Addresses of all the proxies. Their requests are not challenged and not limited in rate.",
            implemented=False,
        ),
        string(
            "internal-transport",
            "",
            "A SIP address of this proxy that the others reach, if none in [global] transports will do.",
            implemented=False,
        ),
    ),
)

MDNS_REGISTER = Section(
    "mdns-register",
    "Announce the server in the local network by multicast DNS, so that phones find it without a DNS server.",
    (
        boolean("enabled", "false", "Announce the server.", implemented=False),
        integer_range(
            "mdns-priority",
            "0",
            "Of several servers the one with the lowest number is asked first. A range draws one at random.",
            implemented=False,
        ),
        integer("mdns-weight", "100", "Share of the traffic among servers of equal priority.", implemented=False),
        duration("mdns-ttl", "3600", "How long others may remember the announcement.", unit="ms", implemented=False),
    ),
)

EVENT_LOGS = Section(
    "event-logs",
    "A record of registrations, calls, messages and failed log-ins, for statistics.",
    (
        boolean("enabled", "false", "Keep the record.", implemented=False),
        enum(
            "logger",
            "filesystem",
            "Where the record goes: files, an SQL database or the HTTP interface of FlexiAPI.",
            choices=("filesystem", "database", "flexiapi"),
            implemented=False,
        ),
        string(
            "filesystem-directory",
            "/var/log/flexisip",
            "Directory of the files.",
            aliases=("dir",),
            implemented=False,
        ),
        string("database-backend", "mysql", "Kind of the database.", implemented=False),
        string(
            "database-connection-string",
            "db='mydb' user='myuser' password='mypass' host='myhost.com'",
            "How the database is reached.",
            implemented=False,
        ),
        integer("database-max-queue-size", "100", "Records that may wait to be written.", implemented=False),
        integer("database-nb-threads-max", "10", "Connections to the database at most.", implemented=False),
        string("flexiapi-host", "localhost", "Host of FlexiAPI.", implemented=False),
        integer("flexiapi-port", "443", "Its port.", implemented=False),
        string("flexiapi-prefix", "/api/stats/", "Path in front of the requests to it.", implemented=False),
        string("flexiapi-api-key", "", "The key it asks for.", aliases=("flexiapi-token",), implemented=False),
    ),
)

FLEXIAPI = Section(
    "global::flexiapi",
    "The account manager FlexiAPI, asked over HTTP.",
    (
        string("url", "", "Its base address.", implemented=False),
        string("api-key", "", "The key it asks for.", implemented=False),
    ),
)

STUN_SERVER = Section(
    "stun-server",
    "A small STUN server, by which clients learn their public address.",
    (
        boolean("enabled", "false", "Run it. The SIP ports answer STUN requests anyhow."),
        string_list(
            "bind-address",
            "0.0.0.0",
            "Local addresses it listens on: `0.0.0.0` or `*` for all of IPv4, `[::]` for all of IPv6.",
        ),
        integer("port", "3478", "UDP port it listens on.", minimum=1, maximum=65535),
    ),
)

INTER_DOMAIN_CONNECTIONS = Section(
    "inter-domain-connections",
    "Connections kept up between the proxies of different domains, in either direction.",
    (
        boolean(
            "accept-domain-registrations",
            "false",
            "Let other proxies register a whole domain.",
            implemented=False,
        ),
        boolean(
            "assume-unique-domains",
            "false",
            "Take for granted that one proxy only registers a domain: a new registration replaces the old.",
            implemented=False,
        ),
        string(
            "domain-registrations",
            "/etc/flexisip/domain-registrations.conf",
            "File with the domains to register elsewhere, one a line: domain, proxy, password.",
            implemented=False,
        ),
        boolean(
            "verify-server-certs",
            "true",
            "Check the certificate of the proxy registered with.",
            implemented=False,
        ),
        duration("keepalive-interval", "30", "How often such a connection is probed.", implemented=False),
        duration(
            "ping-pong-timeout-delay",
            "0",
            "How long a probe may stay unanswered; 0 disables it.",
            implemented=False,
        ),
        duration("reconnection-delay", "5", "Pause before a lost connection is opened again.", implemented=False),
        boolean("reg-when-needed", "false", "Register only while a local device is registered.", implemented=False),
        boolean(
            "relay-reg-to-domains",
            "false",
            "Send the REGISTERs of users on to the other domain.",
            implemented=False,
        ),
        string("relay-reg-to-domains-regex", "", "The domains for which that is done.", implemented=False),
    ),
)

MONITOR = Section(
    "monitor",
    "The call monitor, which Flexisip has given up as well.",
    (
        retired("enabled", "false", "watch the server with the tools of your system"),
        retired("test-interval", "30", "see 'enabled'"),
        retired("logfile", "", "see 'enabled'"),
        retired("switch-port", "12345", "see 'enabled'"),
        retired("password-salt", "", "see 'enabled'"),
    ),
)

NETWORK_SECTIONS = (
    FLEXIAPI,
    CLUSTER,
    MDNS_REGISTER,
    EVENT_LOGS,
    STUN_SERVER,
    INTER_DOMAIN_CONNECTIONS,
    MONITOR,
)
