"""Modules of Flexisip that flexipy knows by name only, so that a file that configures them loads."""

from __future__ import annotations

from functools import partial

from .. import schema
from ..schema import Section, module_section

boolean = partial(schema.boolean, implemented=False)
duration = partial(schema.duration, implemented=False)
enum = partial(schema.enum, implemented=False)
integer = partial(schema.integer, implemented=False)
integer_range = partial(schema.integer_range, implemented=False)
string = partial(schema.string, implemented=False)
string_list = partial(schema.string_list, implemented=False)
expression = partial(schema.expression, implemented=False)

REG_EVENT = module_section(
    "RegEvent",
    "Sends subscriptions to registration events to the server for them.",
    False,
    parameters=(string("regevent-server", "sip:127.0.0.1:6065;transport=tcp", "Where that server listens."),),
    implemented=False,
)

PRESENCE = module_section(
    "Presence",
    "Sends PUBLISH, SUBSCRIBE and NOTIFY requests to the presence server.",
    False,
    "is_request && (request.method-name == 'PUBLISH' || request.method-name == 'NOTIFY' || "
    "request.method-name == 'SUBSCRIBE')",
    parameters=(
        string("presence-server", "sip:127.0.0.1:5065;transport=tcp", "Where that server listens."),
        expression("only-list-subscription", "false", "Subscriptions of which only those to lists are sent there."),
        boolean("check-domain-in-presence-results", "false", "Withhold users of other domains."),
    ),
    implemented=False,
)

TRANSCODER = module_section(
    "Transcoder",
    "Translates between audio codecs.",
    False,
    parameters=(
        duration("jb-nom-size", "0", "Size of the jitter buffer.", unit="ms"),
        string_list("rc-user-agents", "", "User agents whose bit rate is adapted."),
        string_list(
            "audio-codecs",
            "speex/8000 amr/8000 iLBC/8000 gsm/8000 pcmu/8000 pcma/8000 telephone-event/8000",
            "Codecs offered, in order of preference.",
        ),
        boolean("remove-bw-limits", "false", "Remove bandwidth limits from SDP."),
        boolean("block-retransmissions", "false", "Keep repeated INVITEs back."),
    ),
    implemented=False,
)

AUTH_OPENID_CONNECT = module_section(
    "AuthOpenIDConnect",
    "Checks users by tokens of an OpenID Connect server.",
    False,
    parameters=(
        string("authorization-server", "", "Address of that server."),
        string("public-key-type", "well-known", "Where the key of the tokens' signatures is found."),
        string("public-key-location", "", "Path or address of the key."),
        string("realm", "", "Realm of the challenge."),
        string("audience", "", "Audience a token must be for."),
        string("sip-id-claim", "", "Claim that holds the SIP address."),
        string_list("scope", "", "Scopes asked for."),
        duration("jwks-refresh-delay", "15", "How often the keys are fetched again.", unit="min"),
        duration("well-known-refresh-delay", "1440", "How often the server's description is fetched.", unit="min"),
    ),
    implemented=False,
)

B2BUA = module_section(
    "B2bua",
    "Sends calls through the back-to-back user agent.",
    False,
    parameters=(string("b2bua-server", "sip:127.0.0.1:6067;transport=tcp", "Where that server listens."),),
    implemented=False,
)

DATE_HANDLER = module_section(
    "DateHandler",
    "Puts a Date header into requests.",
    False,
    parameters=(string("assign-date-command", "", "Program that prints the date."),),
    implemented=False,
)

EXTERNAL_AUTHENTICATION = module_section(
    "ExternalAuthentication",
    "Checks users by asking an HTTP server.",
    False,
    parameters=(
        string_list("trusted-hosts", "", "Addresses that are not challenged."),
        string_list("auth-domains", "localhost", "Domains whose users are challenged."),
        string_list("available-algorithms", "MD5", "Digest algorithms."),
        boolean("disable-qop-auth", "false", "Challenge without qop."),
        expression("no-403", "false", "Requests that are challenged again after a wrong password."),
        duration("nonce-expires", "3600", "Lifetime of a nonce."),
        string("realm", "", "Realm of the challenge."),
        string("realm-regex", "", "Pattern that takes the realm from the address."),
        string("remote-auth-uri", "", "Address of the HTTP server."),
    ),
    implemented=False,
)

UNIMPLEMENTED_MODULES: tuple[Section, ...] = (
    AUTH_OPENID_CONNECT,
    EXTERNAL_AUTHENTICATION,
    DATE_HANDLER,
    REG_EVENT,
    PRESENCE,
    B2BUA,
    TRANSCODER,
)
