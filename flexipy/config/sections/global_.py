"""The `[global]` section: what concerns the whole server rather than one module."""

from __future__ import annotations

from ..schema import (
    Section,
    boolean,
    byte_size,
    duration,
    enum,
    expression,
    integer,
    retired,
    string,
    string_list,
)

LOG_LEVELS = ("debug", "message", "warning", "error")
SERVERS = ("proxy", "conference", "presence", "regevent", "b2bua", "voicemail", "all")

_SERVER = (
    string_list(
        "default-servers",
        "proxy",
        "The servers that start when the command line has no --server.",
        choices=SERVERS,
    ),
    string(
        "plugins-dir",
        "/lib/flexisip/plugins",
        "Directory of Flexisip's compiled plugins. flexipy's modules are Python packages: install one with pip beside "
        "flexipy and its section [module::Name] is there (see docs/writing-a-module.md).",
        implemented=False,
    ),
    string_list(
        "plugins",
        "",
        "Flexisip's compiled plugins to load; see plugins-dir.",
        implemented=False,
    ),
    string(
        "state-directory",
        "",
        "Directory for what the server itself writes and must find again: embedded databases, keys it has "
        "generated. Empty: a directory 'var' beside the configuration file. It is created when it is "
        "missing.",
    ),
    string(
        "control-socket",
        "",
        "Path of the Unix socket that flexipy-cli talks to. Empty: 'flexisip-SERVER-PID' in /tmp, where "
        "tools written for Flexisip look for it.",
    ),
    duration(
        "max-processing-delay",
        "100",
        "How long a message may have waited before the server looks at it. While it is longer, new requests are "
        "answered 503 with Retry-After; calls that stand, those being set up, and what ends them go on. With "
        "credentials they are served until the delay is three times as long. Time in which the server itself stood "
        "still does not count for two seconds, as long as the delay with it is at most 400 ms. 0 refuses none; "
        "flexipy's own parameter.",
        unit="ms",
    ),
    duration(
        "overload-retry-after",
        "5",
        "The Retry-After of those answers, in seconds; each asks for up to twice as much, so that not all come at "
        "once. flexipy's own parameter.",
    ),
    integer(
        "workers",
        "1",
        "How many processes share the work, each on a processor core of its own; flexipy's own parameter. One is "
        "enough for a house and for hundreds of calls a second. More than there are cores are of no use.",
        minimum=1,
        maximum=64,
    ),
    boolean(
        "auto-respawn",
        "true",
        "Start again after a crash. Leave this to the service manager (Restart=on-failure in systemd).",
        implemented=False,
    ),
    boolean("dump-corefiles", "false", "Let the operating system write a core file on a crash.", implemented=False),
    duration(
        "watchdog-notify-interval",
        "1s",
        "How often the service manager's watchdog is told that the server is alive.",
        unit="ms",
        implemented=False,
    ),
    boolean("enable-snmp", "false", "Offer counters and settings by SNMP.", implemented=False),
    string(
        "unique-id",
        "",
        "Sixteen hexadecimal digits that tell this server from the others of a cluster, also after a "
        "restart. Empty: new ones are drawn at each start.",
    ),
    duration(
        "memory-usage-log-interval",
        "0",
        "How often the memory in use is written to the log at level debug; 0 is never.",
        implemented=False,
    ),
    string(
        "advanced-account-data",
        "",
        "Where settings of single accounts come from: 'flexiapi' or the path of a JSON file.",
        implemented=False,
    ),
)

_LOGS = (
    string("log-directory", "/var/log/flexisip", "Directory of the log files."),
    string(
        "log-filename",
        "flexisip-{server}.log",
        "Name of the log file in log-directory. '{server}' stands for the servers that run in the process, "
        "joined by '+'.",
    ),
    enum(
        "log-level",
        "error",
        "The least important messages that are logged.",
        choices=LOG_LEVELS,
        reloadable=True,
    ),
    enum(
        "syslog-level",
        "error",
        "The least important messages that are sent to syslog when --syslog is given.",
        choices=LOG_LEVELS,
        implemented=False,
    ),
    integer(
        "sofia-level",
        "5",
        "Verbosity of the SIP stack of Flexisip, which is not used here.",
        implemented=False,
    ),
    boolean(
        "user-errors-logs",
        "false",
        "Log what users do wrong (bad passwords, calls to unknown addresses) apart from faults of the server.",
        implemented=False,
    ),
    expression(
        "contextual-log-filter",
        "",
        "Requests to log in more detail: while one for which this expression is true is handled, "
        "contextual-log-level counts instead of log-level. Empty: none.\n\n"
        "Example: from.uri.user == 'front-door' && request.method-name == 'INVITE'",
        implemented=False,
    ),
    enum(
        "contextual-log-level",
        "debug",
        "The log level for the requests that contextual-log-filter picks.",
        choices=LOG_LEVELS,
        implemented=False,
    ),
    expression(
        "show-body-for",
        "content-type == 'application/sdp'",
        "The messages whose body is logged along with their header. 'true' logs all bodies, 'false' none.",
        implemented=False,
    ),
)

_NETWORK = (
    string_list(
        "transports",
        "sip:*",
        "SIP addresses to listen on, separated by spaces. '*' is every address of the machine. Without a "
        "'transport' parameter an address is opened for UDP and TCP; 'sips:' opens TLS.\n\n"
        "The host of the address is what is announced to others (in Via and Record-Route); if the socket "
        "shall be bound to another one, add 'maddr='. For TLS, name a host that the certificate is valid "
        "for. Parameters understood: transport, maddr, network (the networks reached through this one, such "
        "as 10.0.0.0/8,192.168.0.0/16), tls-certificates-file, tls-certificates-private-key, "
        "tls-certificates-ca-file, tls-verify-incoming, tls-verify-outgoing, "
        "tls-allow-missing-client-certificate, require-peer-certificate.\n\n"
        "Example: sip:* sips:sip.example.org:5061;maddr=192.0.2.10",
    ),
    string_list(
        "aliases",
        "localhost",
        "Further host names and addresses that mean this server. A request to one of them is not sent on to "
        "another server.",
    ),
    duration("idle-timeout", "3600", "A connection on which nothing came for this long is closed.", minimum=0),
    duration(
        "connection-establishment-timeout",
        "60s",
        "How long setting up a connection may take; 0 is without limit.",
        unit="ms",
        implemented=False,
    ),
    duration(
        "keepalive-interval",
        "1800",
        "How often an empty line is sent over each connection, so that routers in between keep it open and "
        "broken ones are noticed. 0 sends none.",
    ),
    duration(
        "proxy-to-proxy-keepalive-interval",
        "0",
        "The same for connections between proxies. 0 sends none.",
        implemented=False,
    ),
    duration(
        "transaction-timeout",
        "32000",
        "After this long without a final answer a transaction has failed (64 times T1 in RFC 3261).",
        unit="ms",
        minimum=0.1,
    ),
    integer(
        "udp-mtu",
        "1460",
        "A request larger than this goes by TCP even where UDP was asked for. 65535 keeps all on UDP.",
        minimum=0,
        maximum=65535,
    ),
    byte_size(
        "tcp-max-read-size", "524288", "Bytes taken from a connection in one go.", minimum=1024, implemented=False
    ),
    byte_size(
        "max-message-size",
        "262144",
        "A message that comes over a connection and is larger than this is refused and the connection "
        "closed. A datagram holds 65535 bytes at most anyway.",
        minimum=1024,
    ),
    integer("max-connections", "10000", "Connections open at once; further ones are refused.", minimum=1),
    integer(
        "max-connections-per-ip",
        "200",
        "Connections open at once from one address; further ones are refused. Raise it when many users share a router.",
        minimum=1,
    ),
    integer(
        "tport-message-queue-size",
        "1000",
        "Messages that may wait to be sent on one connection before it counts as stuck.",
        minimum=1,
        implemented=False,
    ),
    string_list(
        "rtp-bind-address",
        "0.0.0.0 ::0",
        "Addresses that audio and video ports are opened on, one for IPv4 and one for IPv6.",
        implemented=False,
    ),
)

_TLS = (
    string(
        "tls-certificates-file",
        "",
        "Path of the server's certificate followed by those of its issuers, in PEM format.",
    ),
    string("tls-certificates-private-key", "", "Path of the certificate's private key, in PEM format."),
    string(
        "tls-certificates-ca-file",
        "",
        "Path of the certificates (PEM) of the issuers that are trusted when a peer shows its own. Empty: "
        "those of the operating system.",
    ),
    duration(
        "tls-certificates-check-interval",
        "1",
        "How often the certificate files are looked at. New ones are used for new connections at once, those "
        "that are open stay.",
        unit="min",
    ),
    string(
        "tls-ciphers",
        "HIGH:!SSLv2:!SSLv3:!TLSv1:!EXP:!ADH:!RC4:!3DES:!aNULL:!eNULL",
        "The ciphers that are allowed, in the notation of OpenSSL (see ciphers(1)).",
    ),
    boolean(
        "require-peer-certificate",
        "false",
        "Ask each TLS client for a certificate and refuse those that show none or one that is not trusted.",
    ),
)

_RETIRED = (
    retired("debug", "false", "use log-level"),
    retired("max-log-size", "100M", "rotate the log files with logrotate"),
    retired("tls-certificates-dir", "", "name the files with tls-certificates-file and -private-key"),
    retired("use-maddr", "false", "nothing replaces it"),
    retired("use-rfc2543-record-route", "false", "nothing replaces it"),
)

GLOBAL = Section(
    "global",
    "Settings of the whole server: what starts, where it listens, what it logs.",
    (*_SERVER, *_LOGS, *_NETWORK, *_TLS, *_RETIRED),
)
