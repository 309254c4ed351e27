"""What `[module::PushNotification]` says about push services, as plain values that can go to another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flexipy.config.reader import SectionValues

FileOf = Callable[[str], Path]


@dataclass(frozen=True, slots=True)
class PushSettings:
    """The section's parameters; paths are absolute, empty where there is none. Seconds.

    Attributes:
        limit: pushes that may wait for each service.
        authorities: file with certificates to trust in place of the system's.
        apple_directory: with Apple's keys; empty where Apple is not wanted.
        firebase_accounts: `PROJECT:FILE` pairs, the file's path absolute.
        web_push_key: file of the key for browsers; empty where they are not wanted.
        external_uri: address of a service of one's own, or empty.
        proxy_host: HTTP proxy to go through, or empty.
    """

    limit: int
    authorities: str
    apple_directory: str
    apns_server: str
    apns_sandbox: str
    badge: bool
    firebase_accounts: tuple[str, ...]
    firebase_server: str
    firebase_anticipation: float
    firebase_pause: float
    web_push_key: str
    web_push_hosts: tuple[str, ...]
    web_push_contact: str
    external_uri: str
    external_method: str
    external_http2: bool
    proxy_host: str
    proxy_port: int
    proxy_username: str
    proxy_password: str

    @property
    def may_push(self) -> bool:
        """Whether any service could come of it: without one, no process is started for it."""
        apple = bool(self.apple_directory) and Path(self.apple_directory).exists()
        return apple or bool(self.firebase_accounts or self.web_push_key or self.external_uri)


def settings_of(values: SectionValues, file: FileOf, state_file: FileOf) -> PushSettings:
    """The settings of a section.

    Args:
        values: of `[module::PushNotification]`.
        file: the path of a file named there.
        state_file: the path of a file that this server keeps.
    """

    def path(name: str) -> str:
        return str(file(name).absolute()) if name else ""

    def account(pair: str) -> str:
        project, colon, name = pair.partition(":")
        return f"{project}:{path(name)}" if colon else pair

    accounts = values.strings("firebase-service-accounts") if values.boolean("firebase") else []
    web_push = values.boolean("web-push")
    return PushSettings(
        limit=values.integer("max-queue-size"),
        authorities=path(values.string("push-ca-file")),
        apple_directory=path(values.string("apple-certificate-dir")) if values.boolean("apple") else "",
        apns_server=values.string("apns-server"),
        apns_sandbox=values.string("apns-dev-server"),
        badge=not values.boolean("no-badge"),
        firebase_accounts=tuple(account(pair) for pair in accounts),
        firebase_server=values.string("firebase-server"),
        firebase_anticipation=values.seconds("firebase-token-expiration-anticipation-time"),
        firebase_pause=values.seconds("firebase-default-refresh-interval"),
        web_push_key=str(state_file("web-push-key.pem").absolute()) if web_push else "",
        web_push_hosts=tuple(values.strings("web-push-services")),
        web_push_contact=values.string("web-push-contact"),
        external_uri=values.string("external-push-uri"),
        external_method=values.string("external-push-method"),
        external_http2=values.string("external-push-protocol") == "http2",
        proxy_host=values.string("https-proxy-host"),
        proxy_port=values.integer("https-proxy-port"),
        proxy_username=values.string("https-proxy-username"),
        proxy_password=values.string("https-proxy-password"),
    )
