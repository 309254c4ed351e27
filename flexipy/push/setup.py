"""From `[module::PushNotification]` to push services. What cannot be used is noted; the rest works."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING

from flexipy.push.http import HttpClient, tls_context
from flexipy.push.provider import Provider, ProviderError
from flexipy.push.queue import Spawn
from flexipy.push.service import PushService

if TYPE_CHECKING:
    from flexipy.config.reader import SectionValues

FileOf = Callable[[str], Path]


class _Setup:
    def __init__(self, values: SectionValues, file: FileOf, state_file: FileOf) -> None:
        self._values = values
        self._file = file
        self._state_file = state_file
        self._authorities = str(file(values.string("push-ca-file"))) if values.string("push-ca-file") else ""
        self.notes: list[str] = []
        self.providers: list[Provider] = []

    def make(self) -> None:
        """Make every service that is wanted."""
        values = self._values
        if self._authorities:
            try:
                self._context()
            except OSError as error:
                self.notes.append(f"push-ca-file: {self._authorities}: {error.strerror or error}; the system's is used")
                self._authorities = ""
        for wanted, add in (
            (values.boolean("apple"), self._add_apple),
            (values.boolean("firebase"), self._add_firebase),
            (values.boolean("web-push"), self._add_web_push),
            (bool(values.string("external-push-uri")), self._add_generic),
        ):
            if wanted:
                try:
                    add()
                except ProviderError as error:
                    self.notes.append(str(error))

    def _context(self) -> SSLContext:
        return tls_context(self._authorities)

    def _add_apple(self) -> None:
        from flexipy.push.apns import Apple

        values = self._values
        directory = self._file(values.string("apple-certificate-dir"))
        servers = (values.string("apns-server"), values.string("apns-dev-server"))
        apple = Apple(directory, *servers, self._context, not values.boolean("no-badge"))
        self.notes += apple.problems
        if apple.configured:
            self.providers.append(apple)

    def _add_firebase(self) -> None:
        pairs = self._values.strings("firebase-service-accounts")
        if not pairs:
            return
        from flexipy.push.fcm import Firebase, ServiceAccount

        anticipation = self._values.seconds("firebase-token-expiration-anticipation-time")
        pause = self._values.seconds("firebase-default-refresh-interval")
        http = HttpClient(self._context())
        accounts: dict[str, ServiceAccount] = {}
        for pair in pairs:
            project, colon, name = pair.partition(":")
            try:
                if not colon or not project or not name:
                    raise ProviderError(f"firebase-service-accounts: '{pair}' is not PROJECT:FILE")
                accounts[project] = ServiceAccount(self._file(name), http, anticipation, pause)
            except ProviderError as error:
                self.notes.append(str(error))
        if accounts:
            self.providers.append(Firebase(accounts, http, self._values.string("firebase-server")))

    def _add_web_push(self) -> None:
        from flexipy.push.webpush import Vapid, WebPush

        vapid = Vapid(self._state_file("web-push-key.pem"), self._values.string("web-push-contact"))
        hosts = self._values.strings("web-push-services")
        self.providers.append(WebPush(vapid, hosts, HttpClient(self._context())))

    def _add_generic(self) -> None:
        from flexipy.push.generic import Generic

        values = self._values
        http2 = values.string("external-push-protocol") == "http2"
        if http2:
            try:
                import h2  # noqa: F401 - only to know whether it is there
            except ImportError:
                http2 = False
                self.notes.append("external-push-protocol: HTTP/1.1 is used, HTTP/2 needs the extra 'push'")
        http = HttpClient(self._context(), http2)
        self.providers.append(Generic(values.string("external-push-uri"), values.string("external-push-method"), http))


def make_service(
    values: SectionValues, file: FileOf, state_file: FileOf, spawn: Spawn, counters: MutableMapping[str, int]
) -> PushService:
    """The services that a section configures.

    Args:
        values: of `[module::PushNotification]`.
        file: the path of a file named there.
        state_file: the path of a file that this server keeps.
        spawn: runs something in the background.
        counters: numbers for operators.
    """
    setup = _Setup(values, file, state_file)
    setup.make()
    return PushService(setup.providers, values.integer("max-queue-size"), spawn, counters, setup.notes)
