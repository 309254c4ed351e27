"""Sections of the servers beside the proxy: conference, presence, registration events, back-to-back agent,
voicemail.

A server that comes to life declares its section beside its code; the one here then makes way (see
`build_schema`).
"""

from __future__ import annotations

from functools import partial

from .. import schema
from ..schema import Section

boolean = partial(schema.boolean, implemented=False)
duration = partial(schema.duration, implemented=False)
enum = partial(schema.enum, implemented=False)
integer = partial(schema.integer, implemented=False)
integer_range = partial(schema.integer_range, implemented=False)
string = partial(schema.string, implemented=False)
string_list = partial(schema.string_list, implemented=False)

CONFERENCE_SERVER = Section(
    "conference-server",
    "The server of audio and video conferences and of chat rooms.",
    (
        boolean("enabled", "true", "Run it when the conference server is started."),
        string(
            "transport",
            "sip:127.0.0.1:6064;transport=tcp",
            "SIP address it listens on; only the proxy need reach it.",
        ),
        string_list(
            "conference-factory-uris",
            "",
            "Addresses that people call to create a conference.",
            aliases=("conference-factory-uri",),
        ),
        string_list("conference-focus-uris", "", "Addresses from which those of the conferences are made."),
        string("outbound-proxy", "sip:127.0.0.1:5060;transport=tcp", "The proxy that its requests go through."),
        string_list("local-domains", "", "Domains whose users may be members."),
        integer_range("audio-port", "0", "UDP port or ports for audio; 0 lets the system choose."),
        integer_range("video-port", "0", "UDP port or ports for video; 0 lets the system choose."),
        string("database-backend", "mysql", "Kind of the database of conferences and chat rooms."),
        string(
            "database-connection-string",
            "db='mydb' user='myuser' password='mypass' host='myhost.com'",
            "How the database is reached.",
        ),
        boolean("check-capabilities", "true", "Invite only devices that say they can take part."),
        string_list("supported-media-types", "text", "What is offered.", choices=("audio", "video", "text")),
        enum(
            "audio-engine-mode",
            "mixer",
            "Mix the voices or pass them on as they are.",
            choices=("mixer", "sfu"),
        ),
        enum(
            "video-engine-mode",
            "semi-sfu",
            "Show the speaker to all ('mixer'), pass on the pictures that are asked for ('semi-sfu') or all ('sfu').",
            choices=("mixer", "semi-sfu", "sfu"),
        ),
        enum(
            "encryption",
            "none",
            "Encryption of audio and video.",
            choices=("none", "sdes", "zrtp", "dtls-srtp"),
        ),
        string_list("nat-addresses", "", "Public addresses to announce when the server is behind a router."),
        boolean("empty-chat-room-deletion", "true", "Delete a chat room when its last member has left."),
        string("state-directory", "/var/lib/flexisip", "Directory for what it must find again after a restart."),
        duration("subscription-refresh-delay", "10min", "How often subscriptions of members are renewed."),
        duration("call-timeout", "0", "Longest duration of a conference; 0 is without limit."),
        duration("no-rtp-timeout", "30", "A member whose media stop for this long is removed."),
        boolean("cleanup-expired-conferences", "true", "Delete conferences whose time is over."),
        duration("conferences-availability-before-start", "100y", "How early a planned conference may be entered."),
        duration("conferences-expiry-time", "30d", "How long a conference outlives its end."),
        boolean("enable-one-to-one-chat-room", "true", "Find the old chat room again when two people talk."),
    ),
)

PRESENCE_SERVER = Section(
    "presence-server",
    "The server that keeps who is available and tells those who have subscribed.",
    (
        boolean("enabled", "true", "Run it when the presence server is started."),
        string_list("transports", "sip:127.0.0.1:5065;transport=tcp", "SIP addresses it listens on."),
        duration("expires", "600", "How long a PUBLISH counts that names no time."),
        integer("notify-limit", "200", "People in one NOTIFY at most."),
        boolean(
            "long-term-enabled",
            "false",
            "Show those who are registered as reachable though they publish nothing.",
        ),
        string(
            "rls-database-connection",
            "",
            "Database with the contact lists.",
            aliases=("soci-connection-string",),
        ),
        string(
            "rls-database-request",
            "",
            "SQL query of the members of a list; :from and :to stand for the subscriber and the list.",
            aliases=("external-list-subscription-request",),
        ),
        integer("rls-database-max-thread", "50", "Queries at once.", aliases=("max-thread",)),
        integer(
            "rls-database-max-thread-queue-size",
            "50",
            "Queries that may wait.",
            aliases=("max-thread-queue-size",),
        ),
        string("soci-user-with-phone-request", "", "SQL query of the user of a telephone number, :phone."),
        string(
            "soci-users-with-phones-request",
            "",
            "SQL query of the users of several telephone numbers, :phones.",
        ),
        integer("max-presence-elements", "10", "States kept for one user at most, one for each device."),
        string("bypass-condition", "false", "User agents that see more than others."),
        boolean("leak-detector", "false", "For developers of Flexisip."),
        duration(
            "last-activity-retention-time",
            "86400000",
            "How long the time of last activity is kept.",
            unit="ms",
        ),
        boolean("support-legacy-client", "true", "Put up with Linphone before 5.4."),
    ),
)

REGEVENT_SERVER = Section(
    "regevent-server",
    "The server that tells which devices of a user are registered (RFC 3680).",
    (string("transport", "sip:127.0.0.1:6065;transport=tcp", "SIP address it listens on."),),
)

B2BUA_SERVER = Section(
    "b2bua-server",
    "The back-to-back user agent: it answers a call and makes another, to change encryption or to reach a provider.",
    (
        enum(
            "application",
            "trenscrypter",
            "What it does with calls: change their encryption, or bridge them to accounts at providers.",
            choices=("trenscrypter", "sip-bridge"),
        ),
        string("transport", "sip:127.0.0.1:6067;transport=tcp", "SIP address it listens on."),
        boolean("enable-keepalive", "true", "Keep its connections open by empty lines."),
        integer_range("audio-port", "0", "UDP port or ports for audio; 0 lets the system choose."),
        integer_range("video-port", "0", "UDP port or ports for video; 0 lets the system choose."),
        string("user-agent", "Flexisip-B2BUA/{version}", "Its User-Agent header."),
        string("outbound-proxy", "sip:127.0.0.1:5060;transport=tcp", "The proxy that its requests go through."),
        boolean("enable-ice", "true", "Use ICE on both sides."),
        string_list("nat-addresses", "", "Public addresses to announce when the server is behind a router."),
        integer("max-calls", "500", "Calls at once; 0 is without limit."),
        duration("no-rtp-timeout", "30", "A call whose media stop for this long is ended."),
        duration("max-call-duration", "0", "Longest duration of a call; 0 is without limit."),
        string("audio-codec", "", "The one audio codec to use; empty leaves it to the devices."),
        string("video-codec", "", "The one video codec to use; empty leaves it to the devices."),
        boolean("one-connection-per-account", "false", "Give each account at a provider a connection of its own."),
    ),
)

B2BUA_TRENSCRYPTER = Section(
    "b2bua-server::trenscrypter",
    "Encryption of the second half of a call by callee.",
    (
        string_list("outgoing-enc-regex", "", "Pairs of an encryption and a pattern of the callee's address."),
        string_list("outgoing-srtp-regex", "", "Pairs of SRTP suites and a pattern of the callee's address."),
    ),
)

B2BUA_SIP_BRIDGE = Section(
    "b2bua-server::sip-bridge",
    "Accounts at providers that calls are bridged to.",
    (string("providers", "", "JSON file with the accounts."),),
)

VOICEMAIL_SERVER = Section(
    "voicemail-server",
    "The answering machine.",
    (
        string("transport", "sip:127.0.0.1:6066;transport=tcp", "SIP address it listens on."),
        integer_range("audio-port", "0", "UDP port or ports for audio; 0 lets the system choose."),
        boolean("enable-ice", "true", "Use ICE."),
        integer("max-calls", "1000", "Calls at once."),
        string("voicemail-announcement-path", "", "Sound file of the announcement."),
        string("voicemail-storage-path", "", "Directory of the recordings."),
        duration("max-voicemail-duration", "120s", "Longest recording."),
    ),
)

SERVER_SECTIONS = (
    CONFERENCE_SERVER,
    PRESENCE_SERVER,
    REGEVENT_SERVER,
    B2BUA_SERVER,
    B2BUA_TRENSCRYPTER,
    B2BUA_SIP_BRIDGE,
    VOICEMAIL_SERVER,
)
