"""From settings to push services. What cannot be used is noted; the rest works.

The same again when the server is told to read its files anew: in the place of a file that has become unusable stays
what was read from it before.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from pathlib import Path
from ssl import SSLContext

from flexipy.push.http import HttpClient, tls_context
from flexipy.push.http_proxy import HttpProxy
from flexipy.push.provider import Provider, ProviderError
from flexipy.push.queue import Spawn
from flexipy.push.service import PushService
from flexipy.push.settings import PushSettings


class Setup:
    """Makes the services.

    Args:
        settings: which, and where their keys lie.
        known: services made earlier from the same settings.

    Attributes:
        notes: what cannot be used, a line each.
        providers: the services.
    """

    def __init__(self, settings: PushSettings, known: Iterable[Provider] = ()) -> None:
        self._settings = settings
        self._known = {provider.name: provider for provider in known}
        self._authorities = settings.authorities
        self._proxy: HttpProxy | None = None
        self.notes: list[str] = []
        self.providers: list[Provider] = []

    def make(self) -> None:
        """Make every service that is wanted."""
        settings = self._settings
        if settings.proxy_host:
            account = (settings.proxy_username, settings.proxy_password)
            self._proxy = HttpProxy(settings.proxy_host, settings.proxy_port, *account)
        if self._authorities:
            try:
                self._context()
            except OSError as error:
                self.notes.append(f"push-ca-file: {self._authorities}: {error.strerror or error}; the system's is used")
                self._authorities = ""
        for name, wanted, add in (
            ("apple", settings.apple_directory, self._add_apple),
            ("firebase", settings.firebase_accounts, self._add_firebase),
            ("webpush", settings.web_push_key, self._add_web_push),
            ("external", settings.external_uri, self._add_generic),
        ):
            if wanted:
                try:
                    add()
                except ProviderError as error:
                    self._failed(name, error)

    def _failed(self, name: str, error: ProviderError) -> None:
        known = self._known.get(name)
        if known is None:
            self.notes.append(str(error))
        else:
            self.notes.append(f"{error}; the old one is used")
            self.providers.append(known)

    def _context(self) -> SSLContext:
        return tls_context(self._authorities)

    def _client(self, http2: bool = False) -> HttpClient:
        return HttpClient(self._context(), http2, self._proxy)

    def _add_apple(self) -> None:
        from flexipy.push.apns import Apple
        from flexipy.push.apns_keys import load_keys

        settings = self._settings
        directory = Path(settings.apple_directory)
        known = self._known.get(Apple.name)
        keys = load_keys(directory, known.keys if isinstance(known, Apple) else None)
        self.notes += keys.problems
        if keys:
            servers = (settings.apns_server, settings.apns_sandbox)
            self.providers.append(Apple(keys, directory, *servers, self._context, settings.badge, self._proxy))

    def _add_firebase(self) -> None:
        from flexipy.push.fcm import Firebase, ServiceAccount, read_account

        settings = self._settings
        http = self._client()
        known = self._known.get(Firebase.name)
        former = known.accounts if isinstance(known, Firebase) else {}
        accounts: dict[str, ServiceAccount] = {}
        for pair in settings.firebase_accounts:
            project, colon, name = pair.partition(":")
            try:
                if not colon or not project or not name:
                    raise ProviderError(f"firebase-service-accounts: '{pair}' is not PROJECT:FILE")
                key = read_account(Path(name))
            except ProviderError as error:
                if project not in former:
                    self.notes.append(str(error))
                    continue
                self.notes.append(f"{error}; the old one is used")
                key = former[project].key
            accounts[project] = ServiceAccount(key, http, settings.firebase_anticipation, settings.firebase_pause)
        if accounts:
            self.providers.append(Firebase(accounts, http, settings.firebase_server))

    def _add_web_push(self) -> None:
        from flexipy.push.webpush import Vapid, WebPush

        settings = self._settings
        vapid = Vapid(Path(settings.web_push_key), settings.web_push_contact)
        self.providers.append(WebPush(vapid, settings.web_push_hosts, self._client()))

    def _add_generic(self) -> None:
        from flexipy.push.generic import Generic

        settings = self._settings
        http2 = settings.external_http2
        if http2:
            try:
                import h2  # noqa: F401 - only to know whether it is there
            except ImportError:
                http2 = False
                self.notes.append("external-push-protocol: HTTP/1.1 is used, HTTP/2 needs the extra 'push'")
        self.providers.append(Generic(settings.external_uri, settings.external_method, self._client(http2)))


def make_service(settings: PushSettings, spawn: Spawn, counters: MutableMapping[str, int]) -> PushService:
    """The services of some settings.

    Args:
        settings: which, and where their keys lie.
        spawn: runs something in the background.
        counters: numbers for operators.
    """
    setup = Setup(settings)
    setup.make()
    return PushService(setup.providers, settings.limit, spawn, counters, setup.notes)
