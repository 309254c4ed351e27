"""The parameters of [module::Router]."""

from __future__ import annotations

from flexipy.proxy.api import boolean, duration, enum, expression, integer, string, string_list

PARAMETERS = (
    boolean(
        "use-global-domain",
        "false",
        "Treat all managed domains as one: a user registered in any of them is reachable in each.",
    ),
    boolean(
        "fork-late",
        "false",
        "Keep a call ringing for `call-fork-timeout`, so that devices which register meanwhile ring too.",
        aliases=("fork",),
    ),
    boolean(
        "fork-no-global-decline",
        "false",
        "A device that declines (6xx) speaks for itself only; the others go on ringing.",
    ),
    boolean("treat-decline-as-urgent", "false", "Answer the caller soon when a device declines (603)."),
    boolean("treat-all-as-urgent", "false", "Answer the caller soon whatever a device answers."),
    duration("call-fork-timeout", "90", "How long a call rings."),
    duration(
        "call-fork-urgent-timeout",
        "5",
        "How long the caller waits for others after an urgent answer, such as a request for credentials.",
    ),
    duration(
        "call-fork-current-branches-timeout",
        "10",
        "How long the devices of one priority (q) ring before those of the next join in.",
    ),
    boolean("message-fork-late", "true", "Keep messages for devices that are off until they register."),
    duration("message-delivery-timeout", "604800", "How long a message is kept."),
    duration(
        "message-accept-timeout", "5", "How long the sender of a message waits for a device before it gets a 202."
    ),
    boolean(
        "message-database-enabled",
        "false",
        "Keep waiting messages in a database, so that a restart loses none.",
    ),
    enum(
        "message-database-backend",
        "mysql",
        "Kind of database: `sqlite3`, a file of its own in the state directory or where the connection string says "
        "`db=FILE`. Others have no effect yet.",
        ("mysql", "sqlite3", "postgresql"),
    ),
    string(
        "message-database-connection-string",
        "db='mydb' user='myuser' password='mypass' host='myhost.com'",
        "How to reach the database; for `sqlite3`, `db=FILE`.",
    ),
    integer("message-database-pool-size", "100", "Connections to the database.", implemented=False),
    string("fallback-route", "", "SIP URI where requests go whose user is not reachable, or empty for 404."),
    boolean(
        "allow-target-factorization",
        "false",
        "Send one request with an X-Target-Uris header for several targets behind the same next proxy.",
        implemented=False,
    ),
    boolean(
        "permit-self-generated-provisional-response",
        "true",
        "Tell the caller with `110 Push sent`, and 180 where the push itself rings, that a device is being woken.",
    ),
    boolean("resolve-routes", "false", "Look the next hop of the Route header up among the registrations too."),
    boolean(
        "parent-domain-fallback",
        "false",
        "Send a request for a user who is not reachable at `a.b.c` to `b.c`, where there is no fallback route.",
    ),
    expression("fallback-route-filter", "true", "Which requests take the fallback route."),
    duration(
        "max-request-retention-time",
        "30",
        "How long a request other than INVITE and MESSAGE is kept for late devices.",
        implemented=False,
    ),
    string_list("static-targets", "", "URIs that get every request for a managed domain, besides the devices."),
)
