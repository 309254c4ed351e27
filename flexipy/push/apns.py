"""Apple's push service by aioapns: HTTP/2 with a certificate for each app, or with signed tokens.

Sources: Apple's "Sending notification requests to APNs" and "Handling notification responses from APNs" for headers,
status codes and reasons; Flexisip's payloads, which the apps of its users read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from ssl import SSLContext, SSLError
from typing import TYPE_CHECKING, Any, Final

from flexipy.push.apns_keys import AppleKeys, Certificate
from flexipy.push.http import TIMEOUT, said
from flexipy.push.http_proxy import HttpProxy
from flexipy.push.parameters import APPLE, APPLE_SANDBOX, PushTarget
from flexipy.push.provider import MISSING_EXTRA, ProviderError
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest, PushResult, clipped

if TYPE_CHECKING:
    from aioapns import APNs, NotificationRequest
    from aioapns.common import NotificationResult

_PORT: Final = 443
_KEPT_OPEN: Final = 3600  # seconds that a connection without pushes stays: opening one takes longer than a ring
_MOST_CLIENTS: Final = 16  # a stranger's app may name any team
_CONNECTIONS: Final = 2  # for one key; each takes a thousand pushes at once
_PRIORITY: Final = {PushKind.VOIP: 10, PushKind.ALERT: 10, PushKind.BACKGROUND: 5}

# Reasons of Apple's, and what somebody who runs a server has to do about them.
_MEANINGS: Final = {
    "BadCertificate": "the certificate is not one for pushes",
    "BadCertificateEnvironment": "the certificate is for the other of production and sandbox",
    "BadDeviceToken": "Apple does not know this token: often one of a test build at the production service "
    "(pn-provider apns instead of apns.dev), or the reverse",
    "BadTopic": "the topic, made of pn-param, is not one of an app",
    "DeviceTokenNotForTopic": "the token belongs to another app than pn-param says",
    "ExpiredProviderToken": "the signed token is too old: look at this machine's clock",
    "ExpiredToken": "the device's token has expired",
    "Forbidden": "Apple does not allow it",
    "InvalidProviderToken": "Apple does not accept the signing key: are key id (file name), team id and key those of "
    "one another, and is the key not revoked?",
    "MissingTopic": "the certificate is for several apps and no topic was named",
    "PayloadTooLarge": "the push is too large",
    "TooManyProviderTokenUpdates": "the signed token was renewed too often",
    "TooManyRequests": "too many pushes for one device",
    "TopicDisallowed": "the key or certificate is not allowed to push to this app",
    "Unregistered": "the app was removed from the device, or its token replaced",
    "InternalServerError": "a fault at Apple's",
    "ServiceUnavailable": "Apple's service is overloaded",
    "Shutdown": "Apple's server is being taken down",
}
_DEAD: Final = frozenset(("Unregistered", "ExpiredToken"))


def topic(request: PushRequest) -> str:
    """Which app, and for calls which of its services, a push is for."""
    return f"{request.target.app}.voip" if request.kind is PushKind.VOIP else request.target.app


def payload(request: PushRequest, badge: bool) -> dict[str, Any]:
    """The JSON that the device gets.

    Args:
        request: the push.
        badge: put a number on the app's icon.
    """
    facts: dict[str, Any] = {
        "call-id": clipped(request.call_id),
        "uuid": clipped(request.device),
        "send-time": request.send_time,
    }
    arguments = [clipped(request.shown_name)] if request.shown_name else []
    aps: dict[str, Any]
    if request.kind is PushKind.ALERT:
        aps = {"alert": {"loc-key": request.text, "loc-args": arguments}, "mutable-content": 1}
        if request.sound:
            aps["sound"] = request.sound
        if badge:
            aps["badge"] = 1
    elif request.kind is PushKind.VOIP:
        aps = {"sound": "", "loc-key": request.text, "loc-args": arguments, **facts}
    else:
        aps = {"content-available": 1, "loc-key": request.text, "loc-args": arguments, **facts}
    return {
        "aps": aps,
        "from-uri": clipped(request.from_uri),
        "display-name": clipped(request.from_name),
        **facts,
        "pn_ttl": request.ttl or 0,
        "event": request.event.value,
        "customPayload": {},
    }


class Apple:
    """Apple's production and sandbox services.

    Args:
        keys: what is in the directory.
        directory: with the keys, for people.
        server: production service, `host` or `host:port`.
        sandbox: service for apps under development.
        context: makes what trusts the services' certificates, anew for each key.
        badge: put a number on the app's icon.
        proxy: HTTP proxy to go through.

    Attributes:
        keys: as given.

    Raises:
        ProviderError: the libraries are missing.
    """

    name = "apple"
    features = {APPLE: "", APPLE_SANDBOX: ""}

    def __init__(
        self,
        keys: AppleKeys,
        directory: Path,
        server: str,
        sandbox: str,
        context: Callable[[], SSLContext],
        badge: bool = True,
        proxy: HttpProxy | None = None,
    ) -> None:
        self.keys = keys
        if keys:
            _need_library()
        self._directory = directory
        self._servers = {False: _address(server), True: _address(sandbox)}
        self._context = context
        self._badge = badge
        self._proxy = proxy
        self._failure = ""  # of the last attempt to connect
        self._clients: dict[tuple[str, str, bool], APNs] = {}
        self._tasks: set[asyncio.Task[NotificationResult]] = set()

    def refusal(self, target: PushTarget) -> str:
        """Why it cannot reach an app; empty where it can."""
        if not target.is_apple:
            return "not an Apple device"
        sandbox = target.provider == APPLE_SANDBOX
        voip = self.keys.certificate(target.app, True, sandbox) or self.keys.certificate(target.app, False, sandbox)
        if voip is None and self.keys.signing_key(target.team) is None:
            stage = "dev" if sandbox else "prod"
            return f"no {target.app}.{stage}.pem and no signing key of team {target.team or '?'} in {self._directory}"
        return ""

    def _client(self, request: PushRequest) -> APNs | str:
        """The connections for a push's key; or why there are none."""
        target = request.target
        sandbox = target.provider == APPLE_SANDBOX
        certificate = self.keys.certificate(target.app, request.kind is PushKind.VOIP, sandbox)
        key = None if certificate is not None else self.keys.signing_key(target.team)
        name = (
            ("" if certificate is None else str(certificate.path), "", sandbox)
            if key is None
            else (key.key_id, key.team, sandbox)
        )
        client = self._clients.get(name)
        if client is not None:
            return client
        if len(self._clients) >= _MOST_CLIENTS:
            return f"more than {_MOST_CLIENTS} keys and teams are in use"
        from aioapns import APNs

        context = self._context()
        context.set_alpn_protocols(["h2"])
        # Trying again is the queue's business; a second attempt in here would send what was reported as failed.
        options: dict[str, Any] = {
            "max_connections": _CONNECTIONS,
            "max_connection_attempts": 1,
            "use_sandbox": sandbox,
            "ssl_context": context,
        }
        if key is not None:
            client = APNs(key=key.text, key_id=key.key_id, team_id=key.team, topic=target.app, **options)
        elif certificate is not None:
            try:
                with _as_file(certificate) as file:
                    client = APNs(client_cert=str(file), topic=target.app, **options)
            except (OSError, SSLError) as error:
                return f"{certificate.path}: {error.strerror or error}"
        else:
            return f"no key for {topic(request)} in {self._directory}"
        client.pool.protocol_class = _protocol_for(client.pool.protocol_class, *self._servers[sandbox])
        pool: Any = client.pool
        pool._create_connection = partial(self._open, pool)
        self._clients[name] = client
        return client

    async def _open(self, pool: Any, factory: Callable[[], asyncio.Protocol]) -> asyncio.BaseProtocol:
        """Open a connection, in the place of aioapns.

        That keeps the reason of a failure to itself; and its way through a proxy knows no passwords, and waits for
        ever where the proxy refuses.
        """
        host, port = pool.protocol_class.APNS_SERVER, pool.protocol_class.APNS_PORT
        loop = asyncio.get_running_loop()
        try:
            if self._proxy is None:
                _, protocol = await loop.create_connection(factory, host, port, ssl=pool.ssl_context)
            else:
                tunnel = await self._proxy.tunnel(host, port)
                _, protocol = await loop.create_connection(
                    factory, sock=tunnel, ssl=pool.ssl_context, server_hostname=host
                )
        except OSError as error:
            self._failure = said(error)
            raise
        self._failure = ""
        return protocol

    async def send(self, request: PushRequest) -> PushResult:
        """Send one push and wait for Apple's answer."""
        client = self._client(request)
        if isinstance(client, str):
            return PushResult(Outcome.REFUSED, "", client)
        if not request.token:
            return PushResult(Outcome.REFUSED, "", f"the app gave no token for {request.kind.value} pushes")
        notification = self._notification(request)
        result = await self._exchange(client, notification)
        if result is None:  # the connection had died while nothing was sent on it
            result = await self._exchange(client, notification)
        if result is None:
            host, port = self._servers[request.target.provider == APPLE_SANDBOX]
            reason = f"cannot be reached: {self._failure}" if self._failure else "does not answer"
            return PushResult(Outcome.LATER, "", f"{host}:{port} {reason}")
        return _result(result)

    def _notification(self, request: PushRequest) -> NotificationRequest:
        from aioapns import NotificationRequest, PushType

        collapse = "" if request.kind is PushKind.VOIP or request.event is PushEvent.MESSAGE else request.collapse_id
        return NotificationRequest(
            device_token=request.token,
            message=payload(request, self._badge),
            notification_id=request.id,
            time_to_live=request.ttl,
            priority=_PRIORITY[request.kind],
            collapse_key=collapse or None,
            push_type=PushType(request.kind.value),
            apns_topic=topic(request),
        )

    async def _exchange(self, client: APNs, notification: NotificationRequest) -> NotificationResult | None:
        """Apple's answer, None for none.

        aioapns must not be cancelled while it waits for an answer: its connection fails on a future that is done.
        One that keeps silent too long is torn down instead, and what waits for it comes to an end by that.
        """
        from aioapns.exceptions import ConnectionError as ApnsConnectionError
        from aioapns.exceptions import MaxAttemptsExceeded

        task = asyncio.ensure_future(client.pool.send_notification(notification))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=TIMEOUT)
        if not task.done():
            _tear_down(client)
            if not client.pool.connections:
                task.cancel()  # it waits for a connection to be opened
            return None
        if task.cancelled():
            return None
        try:
            return task.result()
        except (ApnsConnectionError, MaxAttemptsExceeded):
            return None

    def _ended(self, task: asyncio.Task[NotificationResult]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, or nobody waits for it any more

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            _tear_down(client)
        self._clients.clear()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1.0)
        for task in list(self._tasks):
            task.cancel()


def _tear_down(client: APNs) -> None:
    for connection in list(client.pool.connections):
        if connection.transport is not None:
            connection.transport.abort()


@contextlib.contextmanager
def _as_file(certificate: Certificate) -> Iterator[Path]:
    """Python's TLS reads keys from files only, and that of the certificate may be another by now."""
    with tempfile.TemporaryDirectory(prefix="flexipy-") as directory:
        path = Path(directory, certificate.path.name)
        path.touch(0o600)
        path.write_bytes(certificate.content)
        yield path


def _need_library() -> None:
    try:
        import aioapns  # noqa: F401 - only to know whether it is there
    except ImportError as error:
        raise ProviderError(f"pushing to Apple {MISSING_EXTRA}") from error
    # What it has to tell is told by results.
    logging.getLogger("aioapns").setLevel(logging.CRITICAL)


def _protocol_for(base: type[Any], host: str, port: int) -> type[Any]:
    return type(base.__name__, (base,), {"APNS_SERVER": host, "APNS_PORT": port, "INACTIVITY_TIME": _KEPT_OPEN})


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    with contextlib.suppress(ValueError):
        return host, int(port or _PORT)
    raise ProviderError(f"'{text}' is not a host, nor a host and a port")


def _result(answer: NotificationResult) -> PushResult:
    if answer.is_successful:
        return PushResult(Outcome.SENT, "200", "Apple took the push")
    reason = str(answer.description or "")
    said = f"{answer.status} {reason}".strip()
    meaning = _MEANINGS.get(reason, "see Apple's list of error codes")
    if reason in _DEAD:
        since = answer.timestamp
        return PushResult(
            Outcome.DEAD, said, meaning, dead_since=since / 1000 if isinstance(since, int | float) else 0.0
        )
    # 429 about signed tokens lasts: Apple allows a new one each twenty minutes
    later = answer.status in ("429", "500", "503") and reason != "TooManyProviderTokenUpdates"
    return PushResult(Outcome.LATER if later else Outcome.REFUSED, said, meaning)
