"""Names that other Flexisip versions have in the sections of modules which flexipy implements.

A module declares what it understands; what is listed here and not declared there is known without effect, so
that a file written for an older or newer Flexisip loads with a warning instead of an error.
"""

from __future__ import annotations

from functools import partial

from .. import schema
from ..schema import Parameter, Section, retired

boolean = partial(schema.boolean, implemented=False)
duration = partial(schema.duration, implemented=False)
integer = partial(schema.integer, implemented=False)
string = partial(schema.string, implemented=False)
string_list = partial(schema.string_list, implemented=False)

_EVERY_MODULE = (
    retired("from-domains", "*", "use filter = from.uri.domain in '...'"),
    retired("to-domains", "*", "use filter = to.uri.domain in '...'"),
)

_FORMER: dict[str, tuple[Parameter, ...]] = {
    "module::Authentication": (
        retired("datasource", "", "use file-path"),
        retired("hashed-passwords", "false", "the password file says how each password is stored"),
        retired("enable-test-accounts-creation", "false", "nothing replaces it"),
        retired("trusted-client-certificates", "", "use trust-domain-certificates"),
        string("soci-backend", "mysql", "Kind of the database of accounts."),
        string(
            "soci-connection-string",
            "db=mydb user=myuser password='mypass' host=myhost.com",
            "How the database of accounts is reached.",
        ),
        string("soci-password-request", "", "SQL query of a password."),
        integer("soci-max-queue-size", "1000", "Queries that may wait."),
        integer("soci-poolsize", "100", "Connections to the database."),
        string("soci-user-with-phone-request", "", "SQL query of the user of a telephone number."),
        string("soci-users-with-phones-request", "", "SQL query of the users of several telephone numbers."),
    ),
    "module::Forward": (
        retired("route", "", "use routes-config-path"),
        retired("rewrite-req-uri", "false", "nothing replaces it"),
    ),
    "module::NatHelper": (retired("contact-verified-param", "verified", "use contact-correction-param"),),
    "module::Registrar": (
        retired("redis-record-serializer", "protobuf", "nothing replaces it"),
        retired("name-message-expires", "message-expires", "use message-expires-param-name"),
        string("redis-connection", "tcp", "tcp or tls."),
        string("redis-tls-certificate", "", "Path of the certificate shown to Redis."),
        string("redis-tls-key", "", "Path of its private key."),
        string("redis-tls-cafile", "", "Path of the certificates trusted for Redis."),
        duration("redis-server-timeout", "1500", "How long Redis may take to answer.", unit="ms"),
    ),
    "module::Router": (
        retired("stateful", "true", "the proxy is always stateful"),
        retired("fork", "true", "the proxy always forks"),
        retired("remove-to-tag", "false", "nothing replaces it"),
        retired("preroute", "", "use static-targets"),
        retired("generated-contact-route", "", "use fallback-route"),
        retired("generated-contact-expected-realm", "", "use fallback-route-filter"),
        retired("generate-contact-even-on-filled-aor", "false", "use static-targets"),
        retired("call-push-response-timeout", "0", "nothing replaces it"),
        string("voicemail-server", "", "Where calls go that nobody answers."),
        string_list("forwarding-status-codes", "408 486 603", "Final answers on which a call is diverted."),
        boolean("enable-call-diversions", "false", "Divert calls as the user's account says."),
        integer("max-call-diversions", "10", "Diversions of one call at most."),
    ),
}


def with_former_names(section: Section) -> Section:
    """Return the section with the former names added that it does not declare itself."""
    if not section.is_module:
        return section
    declared = {name for parameter in section.parameters for name in (parameter.name, *parameter.aliases)}
    former = (*_FORMER.get(section.name, ()), *_EVERY_MODULE)
    missing = tuple(parameter for parameter in former if parameter.name not in declared)
    return Section(section.name, section.help, section.parameters + missing)
