"""Router: sends a request for an address of ours to the devices registered under it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from flexipy.auth.directory import AccountDirectory
from flexipy.proxy.api import (
    BasicFork,
    CallFork,
    CallForkOptions,
    Fork,
    MessageFork,
    MessageForkOptions,
    Module,
    ModuleContext,
    ModuleError,
    RequestEvent,
    SipError,
)
from flexipy.registrar.domains import ManagedDomains
from flexipy.registrar.registrar import Registrar
from flexipy.sip import names as H
from flexipy.sip.headers import NameAddr
from flexipy.sip.message import Request
from flexipy.sip.params import encode
from flexipy.sip.uri import SipUri, unescape
from flexipy.workers.share import Share

from .allowance import Allowance
from .breadth import MAX_BREADTH, limit_breadth
from .dialogs import DialogDevices
from .late import LateDevices
from .parameters import PARAMETERS
from .pending import PendingMessage, PendingMessages
from .restoring import deliver_restored, keys_of
from .targets import Destination, TargetFinder

_X_TARGET_URIS: Final = b"x-target-uris"
_MOST_TARGETS: Final = 256  # one request must not become thousands
# Nobody is asked for a password with these, so that they must not reach many.
_WITHOUT_PASSWORD: Final = frozenset((b"ACK", b"BYE"))
_GR: Final = frozenset(("gr",))
# A message of these types is worthless once it is late.
_NOT_KEPT: Final = (b"im-iscomposing+xml", b"imdn+xml")


class Router(Module):
    """Fork requests for managed addresses."""

    name = "Router"
    help = (
        "Looks the address of a request up among the registrations and static records and sends the request to every "
        "device found: calls ring everywhere, messages reach each device, now or when it comes back."
    )
    enabled_by_default = True
    parameters = PARAMETERS

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        values = context.values
        self._calls = CallForkOptions(
            values.boolean("fork-late"),
            values.boolean("fork-no-global-decline"),
            values.boolean("treat-decline-as-urgent"),
            values.boolean("treat-all-as-urgent"),
            values.seconds("call-fork-timeout"),
            values.seconds("call-fork-urgent-timeout"),
            values.seconds("call-fork-current-branches-timeout"),
        )
        self._messages = MessageForkOptions(
            values.boolean("message-fork-late"),
            values.seconds("message-accept-timeout"),
            values.seconds("message-delivery-timeout"),
        )
        self._messages_now = MessageForkOptions(False, self._messages.accept_timeout, 0.0)
        self._pending: PendingMessages | None = None
        self._allowance = Allowance()
        self._resolve_routes = values.boolean("resolve-routes")
        self._parent_fallback = values.boolean("parent-domain-fallback")
        self._fallback_filter = values.expression("fallback-route-filter")
        self._fallback = _route("fallback-route", values.string("fallback-route"))
        self._static_targets = [
            uri for uri in (_route("static-targets", text) for text in values.strings("static-targets")) if uri
        ]

    def provide(self) -> None:
        """Tell the registrar whether domains are folded into one."""
        if self.context.values.boolean("use-global-domain"):
            self.context.require(ManagedDomains).merged = "merged"

    async def start(self) -> None:
        """Get hold of the registrar."""
        registrar = self.context.require(Registrar)
        self._domains = self.context.require(ManagedDomains)
        self._directory = self.context.optional(AccountDirectory)
        self._targets = TargetFinder(registrar, self._domains)
        self._late = LateDevices(self.context, registrar, self.context.agent.clock)
        self._dialogs = DialogDevices(self.context, registrar, self._domains)
        self._pending = self._open_pending()
        self._restore_messages()

    async def stop(self) -> None:
        """Close the database of messages."""
        if self._pending is not None:
            self._pending.close()

    def _open_pending(self) -> PendingMessages | None:
        values = self.context.values
        if not values.boolean("message-database-enabled"):
            return None
        backend = values.string("message-database-backend")
        if backend != "sqlite3":
            raise ModuleError(
                f"[module::Router] message-database-backend={backend} has no effect yet: use 'sqlite3', or "
                "message-database-enabled=false"
            )
        text = values.string("message-database-connection-string")
        given = not values.is_default("message-database-connection-string") and text.partition("db=")[2].strip("'\" ")
        path = self.context.file(given) if given else self.context.state_file("messages.sqlite3")
        try:
            return PendingMessages(path)
        except (OSError, sqlite3.Error) as error:
            raise ModuleError(f"[module::Router] messages cannot be kept in {path}: {error}") from error

    def _restore_messages(self) -> None:
        if self._pending is None:
            return
        agent = self.context.agent
        now = agent.clock()
        share = self.context.optional(Share)
        restored: list[tuple[MessageFork, PendingMessage]] = []
        for message in self._pending.load():
            if share is not None and not share.has_record(message.key):
                continue  # another worker's
            left = message.expires_at - time.time()
            options = MessageForkOptions(True, self._messages.accept_timeout, left)
            event = agent.event_for(message.request, agent.no_flow, now)
            event.cursor = agent.pipeline.cursor_after(self, message.request.method)
            keeper = self._keeper(self._pending, message.target, message.id)
            fork = MessageFork.restored(event, options, message.key, keeper, message.delivered, now)
            self._late.watch(fork, {message.key}, message.request, SipUri.parse(message.target))
            fork.finished_listeners.append(self._allowance.take(message.key, _size(message.request)))
            fork.finished_listeners.append(partial(self._pending.remove, message.id))
            restored.append((fork, message))
        if restored:
            self.context.spawn(deliver_restored(self.context, self._targets, self._late, restored))

    def _keeper(self, pending: PendingMessages, target: bytes, row: int = 0) -> Callable[[MessageFork], None]:
        """Writes a message down the first time it is called, who has it afterwards."""

        def keep(fork: MessageFork) -> None:
            nonlocal row
            try:
                if row:
                    pending.set_delivered(row, fork.delivered)
                elif fork.event is not None:
                    expires_at = time.time() + fork.options.delivery_timeout
                    row = pending.add(fork.key, target, fork.event.request, fork.delivered, expires_at)
                    fork.finished_listeners.append(partial(pending.remove, row))
            except sqlite3.Error as error:
                self.context.counters["messages_not_written"] += 1
                self.context.logger.error("a message for %s is kept in memory only: %s", fork.key, error)

        return keep

    # --- which requests are ours -------------------------------------------------------------------------

    def on_request(self, event: RequestEvent) -> Awaitable[None] | None:
        """Fork it when its address is ours; let everything else pass."""
        if self._calls.fork_late and self._route_in_dialog(event):
            return None
        request = event.request
        shape = request.shape
        if event.route_token or (shape.route >= 0 and not self._resolve_routes):
            return None
        method = request.method
        if method == b"REGISTER":
            return None
        uri = request.uri
        if not self._domains.manages(uri.host):
            return None
        if self._names_a_place(uri):
            return None
        if _X_TARGET_URIS in shape.first and method not in _WITHOUT_PASSWORD:
            return self._route_to_many(event)
        found = self._targets.find(uri, time.time(), method == b"MESSAGE")
        if isinstance(found, list):
            self._route(event, uri, found)
            return None
        return self._route_later(event, uri, found)

    def _names_a_place(self, uri: SipUri) -> bool:
        # A contact at a managed host name (sip:bob@localhost:5072) is a place of its own, not an address of ours.
        return uri.port is not None and not self.context.agent.port_is_ours(uri.port)

    async def _route_later(self, event: RequestEvent, uri: SipUri, waiting: Awaitable[list[Destination]]) -> None:
        self._route(event, uri, await waiting)

    async def _route_to_many(self, event: RequestEvent) -> None:
        found: dict[str, Destination] = {}
        targets = event.request.get_all(_X_TARGET_URIS)
        if len(targets) > _MOST_TARGETS:
            raise SipError("Max-Breadth Exceeded", 440)
        for raw in targets:
            uri = NameAddr.parse(raw).uri
            if not self._domains.manages(uri.host):
                found.setdefault(str(uri), Destination(str(uri), uri))
                continue
            result = self._targets.find(uri, time.time(), event.method == b"MESSAGE")
            for destination in result if isinstance(result, list) else await result:
                found.setdefault(destination.uid, destination)
        event.request.remove(_X_TARGET_URIS)
        self._route(event, event.request.uri, list(found.values()))

    # --- forking -----------------------------------------------------------------------------------------

    def _route(self, event: RequestEvent, uri: SipUri, destinations: list[Destination]) -> None:
        if event.finished:
            return
        if event.request.shape.route >= 0 and not destinations:
            return
        for target in self._static_targets:
            destinations.append(Destination(str(target), target))
        method = event.request.method
        if method == b"ACK":
            self._route_ack(event, destinations)
        elif not destinations and not self._may_wait(event, uri):
            self._unreachable(event, uri)
        elif len(destinations) > 1 or MAX_BREADTH in event.request:
            limit_breadth(event.request, len(destinations))
            self._fork(event, uri, destinations)
        else:
            self._fork(event, uri, destinations)

    def _fork(self, event: RequestEvent, uri: SipUri, destinations: list[Destination]) -> None:
        method = event.request.method
        if method == b"INVITE":
            self._fork_call(event, uri, destinations)
        elif method == b"MESSAGE":
            self._fork_message(event, uri, destinations)
        else:
            self._fork_basic(event, uri, destinations)

    def _fork_basic(self, event: RequestEvent, uri: SipUri, destinations: list[Destination]) -> None:
        key = self._targets.key(uri)
        # Within a call there is one device it can be for, and a push may be on its way to it.
        late = self._calls.fork_late and _waits_for(event.request, destinations)
        fork = BasicFork(event, key, late)
        if late:
            self._late.watch(fork, {destinations[0].key or key}, event.request, uri, destinations[0].uid)
        self._send_all(fork, event, destinations)

    def _route_in_dialog(self, event: RequestEvent) -> bool:
        """Whether a request within a call is for a device that has slept or moved, and has been taken care of."""
        binding = self._dialogs.find(event)
        if binding is None:
            return False
        destination = Destination.of(binding)
        original = event.request
        if event.method == b"ACK":
            if not self._dialogs.is_there(event, binding):
                event.request = destination.request_from(original)
                event.route_token = destination.flow_token
            return True
        event.route_token = b""
        self.context.counters["requests_in_dialog_forked"] += 1
        fork: CallFork | BasicFork
        if event.method == b"INVITE":
            event.agent.reply_trying(event)
            fork = CallFork(event, self._calls, binding.key)
        else:
            fork = BasicFork(event, binding.key, event.method != b"NOTIFY")  # news of a minute ago wakes nobody
        self._late.watch(fork, {binding.key}, original, original.uri.without_params(_GR), binding.unique_id)
        self._send_all(fork, event, [destination])
        return True

    def _route_ack(self, event: RequestEvent, destinations: list[Destination]) -> None:
        # An ACK for a GRUU Contact in our domain: one device, no transaction.
        if not destinations:
            event.drop()
            return
        destination = destinations[0]
        event.request = destination.request_from(event.request)
        event.route_token = destination.flow_token
        event.agent.strip_own_routes(event)

    def _fork_call(self, event: RequestEvent, uri: SipUri, destinations: list[Destination]) -> None:
        event.agent.reply_trying(event)
        key = self._targets.key(uri)
        fork = CallFork(event, self._calls, key)
        if self._calls.fork_late:
            self._late.watch(fork, keys_of(key, destinations), event.request, uri)
        self._send_all(fork, event, destinations)

    def _fork_message(self, event: RequestEvent, uri: SipUri, destinations: list[Destination]) -> None:
        key = self._targets.key(uri)
        late = self._may_be_kept(event.request, key)
        options = self._messages if late else self._messages_now
        keeper = self._keeper(self._pending, uri.raw) if late and self._pending is not None else None
        fork = MessageFork(event, options, key, keeper)
        if late:
            self._late.watch(fork, keys_of(key, destinations), event.request, uri)
            fork.finished_listeners.append(self._allowance.take(key, _size(event.request)))
        self._send_all(fork, event, destinations)

    def _may_be_kept(self, request: Request, key: str) -> bool:
        """Whether a message may wait for devices that are off."""
        if not self._messages.fork_late or _worthless_when_late(request):
            return False
        if self._allowance.admits(key, _size(request)):
            return True
        self.context.counters["messages_too_many"] += 1
        return False

    def _send_all(self, fork: Fork, event: RequestEvent, destinations: list[Destination]) -> None:
        original = event.request
        for destination in destinations:
            request = destination.request_from(original)
            branch = fork.add(request, destination.uid, destination.q, destination.flow_token)
            if branch is not None:
                branch.key = destination.key
        self.context.counters["branches"] += len(destinations)
        fork.start(event.now)

    # --- nobody there ------------------------------------------------------------------------------------

    def _may_wait(self, event: RequestEvent, uri: SipUri) -> bool:
        """Whether a request for somebody without a device may be kept until one registers."""
        if event.method == b"MESSAGE":
            late = self._may_be_kept(event.request, self._targets.key(uri))
        else:
            late = event.method == b"INVITE" and self._calls.fork_late
        return late and self._exists(uri)

    def _exists(self, uri: SipUri) -> bool:
        if self._directory is None or uri.user is None:
            return False
        return self._directory.exists(unescape(uri.user), uri.host)

    def _unreachable(self, event: RequestEvent, uri: SipUri) -> None:
        if self._fallback is not None and (self._fallback_filter is None or self._fallback_filter(event)):
            event.request.insert(1, H.ROUTE, b"Route: <" + self._fallback.with_params(lr="").raw + b">")
            return
        if self._parent_fallback and uri.host.count(".") >= 2:
            parent = uri.with_address(uri.host.partition(".")[2], uri.port)
            event.request.uri_raw = parent.raw
            return
        self.context.counters["users_not_found"] += 1
        event.reply(480 if self._exists(uri) else 404)


def _waits_for(request: Request, destinations: list[Destination]) -> bool:
    return len(destinations) == 1 and bool(request.tag(H.TO)) and b"pn-" in destinations[0].uri.raw


def _size(request: Request) -> int:
    return len(request.body) + sum(map(len, request.lines))


def _worthless_when_late(request: Request) -> bool:
    kind = request.get(H.CONTENT_TYPE) or b""
    return any(name in kind for name in _NOT_KEPT)


def _route(parameter: str, text: str) -> SipUri | None:
    if not text:
        return None
    try:
        return SipUri.parse(encode(text.strip("<>")))
    except SipError as error:
        raise ModuleError(f"[module::Router] {parameter}: '{text}' is not a SIP URI: {error}") from error
