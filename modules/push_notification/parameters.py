"""The parameters of [module::PushNotification]."""

from __future__ import annotations

from flexipy.config.schema import retired
from flexipy.proxy.api import boolean, duration, enum, expression, integer, string, string_list

PARAMETERS = (
    duration("timeout", "0", "How long a device may answer before the push is sent."),
    duration(
        "message-time-to-live",
        "0",
        "How long the push service may keep a push about a message; 0 leaves it to the service.",
        aliases=("time-to-live",),
    ),
    integer(
        "max-queue-size", "100", "Pushes that may wait to be sent to one service; one more drops the oldest.", minimum=1
    ),
    integer(
        "retransmission-count",
        "0",
        "How often a push is repeated while the device shows no life.",
        minimum=0,
        maximum=20,
    ),
    duration("retransmission-interval", "5", "Pause between the repetitions.", minimum=1),
    duration(
        "call-remote-push-interval",
        "0",
        "Pause between the notifications while a call rings on an Apple device whose app takes no VoIP pushes; 0 sends "
        "one.",
    ),
    boolean("display-from-uri", "false", "Show the caller's address instead of the name."),
    expression("add-to-tag-filter", "", "The calls whose `110 Push sent` gets a To tag."),
    boolean("apple", "true", "Push to Apple devices."),
    string(
        "apple-certificate-dir",
        "/etc/flexisip/apn",
        "Directory of the keys: `BUNDLE.prod.pem` and `BUNDLE.dev.pem`, for calls `BUNDLE.voip.prod.pem`, each a "
        "certificate with its private key; or a signing key, `AuthKey_KEYID.p8` (`TEAMID.AuthKey_KEYID.p8` where there "
        "are several teams).",
    ),
    string("apns-server", "api.push.apple.com", "Apple's service, a host or `host:port`."),
    string("apns-dev-server", "api.sandbox.push.apple.com", "Apple's service for apps under development."),
    boolean("no-badge", "false", "Send no number to show on the icon."),
    boolean("firebase", "true", "Push to Android devices.", aliases=("google",)),
    string_list(
        "firebase-projects-api-keys",
        "",
        "PROJECT:KEY pairs for an interface that Google has shut down: use `firebase-service-accounts`.",
        aliases=("google-projects-api-keys",),
        implemented=False,
    ),
    string_list("firebase-service-accounts", "", "PROJECT:FILE pairs; the file is the service account's JSON key."),
    string("firebase-server", "fcm.googleapis.com", "Google's service, a host or `host:port`."),
    duration("firebase-token-expiration-anticipation-time", "300", "How early a token is renewed."),
    duration("firebase-default-refresh-interval", "60", "Pause after a token could not be renewed."),
    boolean("web-push", "false", "Push to browsers; the server's key is made at the first start."),
    string_list(
        "web-push-services",
        "fcm.googleapis.com updates.push.services.mozilla.com *.push.apple.com *.notify.windows.com",
        "Hosts that browsers' subscriptions may name, `*.` for all below; no other is ever asked.",
    ),
    string(
        "web-push-contact", "", "`mailto:` or `https:` address of whoever runs this server, told to those services."
    ),
    boolean(
        "external-push-flexiapi",
        "false",
        "Push through FlexiAPI, the account server of Flexisip's makers, which flexipy does not speak to.",
        implemented=False,
    ),
    string(
        "external-push-uri",
        "",
        "HTTP address of a push service of your own, for apps that no other service reaches. These stand for facts of "
        "the push: `$type` `$token` `$app-id` `$from-name` `$from-uri` `$from-tag` `$callid` `$to-uri` `$event` "
        "`$sound` `$msgid` `$uid`.",
    ),
    enum(
        "external-push-method", "GET", "How it is asked; a POST carries the text of a message.", choices=("GET", "POST")
    ),
    enum(
        "external-push-protocol",
        "http2",
        "HTTP version; `http2` for https addresses only, and only where the service speaks it.",
        choices=("http2", "http"),
    ),
    duration(
        "register-wakeup-interval",
        "0",
        "How often apps about to lapse are looked for and woken; 0 is never.",
        unit="min",
    ),
    integer(
        "register-wakeup-threshold",
        "50",
        "Percentage of its registration's lifetime after which an app is woken.",
        minimum=1,
        maximum=99,
    ),
    boolean(
        "refuse-unsupported-push",
        "false",
        "Answer `555 Push Notification Service Not Supported` to a registration that names a push service which is not "
        "configured, as RFC 8599 has it. Otherwise it is accepted without pushes, as Flexisip does: many apps register "
        "with the service of their maker whether or not the server can use it.",
    ),
    boolean("enable-message-summaries-pn", "true", "Push when there is voicemail."),
    string("push-ca-file", "", "Certificates to trust in push services in place of the system's."),
    string(
        "https-proxy-host",
        "",
        "HTTP proxy through which push services are reached, by CONNECT; empty for none.",
    ),
    integer("https-proxy-port", "3128", "Its port.", minimum=1, maximum=65535),
    string("https-proxy-username", "", "User name at the HTTP proxy; empty where it wants none."),
    string("https-proxy-password", "", "Password at the HTTP proxy."),
    retired("windowsphone", "true", "the service is gone"),
    retired("windowsphone-package-sid", "", "the service is gone"),
    retired("windowsphone-application-secret", "", "the service is gone"),
)
