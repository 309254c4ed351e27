"""An rtpengine relays: each description is handed to it, and what it gives back goes on.

Each branch of a fork is a call of its own to the engine, so that its answers don't meet; the caller follows the
description it got last. A call stays with the engine that took its first offer.

Its copies keep their payload types, so that all devices are offered one form of H.264 alone (`forms.py`); but for
encrypted media, of which there are no copies.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Final

from flexipy.modules.media_relay.calls import Dialog, dialog_of, forks
from flexipy.modules.media_relay.copies import Copies
from flexipy.modules.media_relay.forms import keep_simplest_of
from flexipy.modules.media_relay.ng import Engine, EngineError, Engines
from flexipy.modules.media_relay.rewriting import description
from flexipy.proxy.api import ModuleContext, ModuleError, RequestEvent, Response, ResponseEvent, SipError
from flexipy.sip import names as H
from flexipy.sip.message import Message
from flexipy.sip.params import decode
from flexipy.sip.sdp import Sdp
from flexipy.sip.uri import parse_host_port

_CHALLENGED: Final = (401, 407)
_REPLACE: Final = (b"origin", b"session-connection")
_numbers = itertools.count(1)


@dataclass(slots=True, eq=False)
class Session:
    """One branch of a call, as the engine knows it.

    Attributes:
        name: the engine's call-id.
        caller_tag: From tag of the INVITE.
        copies: of the caller's media, shared by all branches of the INVITE.
        engine: the one that took it; None until an offer was made.
        offered_by: tag of who made the offer that is not answered yet, empty for none.
    """

    name: str
    caller_tag: bytes
    copies: Copies
    engine: Engine | None = None
    offered_by: bytes = b""
    dialogs: set[Dialog] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Exchange:
    """A request under way: whose it is, and whether it made an offer, which its responses then answer."""

    session: Session
    initial: bool
    offered: bool


class ExternalRelay:
    """Drives rtpengine."""

    def __init__(self, context: ModuleContext) -> None:
        self.context = context
        engines = [_engine(text) for text in context.values.strings("rtpengine-servers")]
        if not engines:
            raise ModuleError("[module::MediaRelay] rtpengine-servers: none is named")
        self._engines = Engines(engines)
        mark = context.values.string("nortpproxy")
        self._mark = b"" if mark == "disable" else mark.encode()
        self._limit = context.values.integer("max-calls")
        self._exchanges: dict[RequestEvent, Exchange] = {}
        self._by_dialog: dict[Dialog, Session] = {}
        self._copies: dict[bytes, Copies] = {}
        self._living = 0

    def provide(self) -> None:
        """Nothing for others."""

    async def start(self) -> None:
        """Say which engines answer; those that don't are asked again when needed."""
        for engine in self._engines.candidates():
            try:
                await engine.ask("ping")
            except EngineError as error:
                self.context.logger.warning("%s", error)

    async def stop(self) -> None:
        """Leave the engines."""
        self._engines.close()

    # --- requests ----------------------------------------------------------------------------------------

    def on_request(self, event: RequestEvent) -> Awaitable[None] | None:
        """Have the description in it replaced."""
        request = event.request
        dialog = dialog_of(request)
        if dialog is not None:
            return self._within_dialog(event, dialog)
        if request.method != b"INVITE" or request.tag(H.TO):
            return None
        sdp = description(request)
        if sdp is None and request.body:
            return None
        if sdp is not None and self._mark and sdp.attribute(self._mark) == b"yes" and not forks(event):
            return None
        if self._limit and self._living >= self._limit:
            self.context.counters["relay_refused"] += 1
            event.reply(503, "Media Relay Exhausted")
            return None
        if sdp is not None and forks(event) and keep_simplest_of(sdp, secure=False):
            request.set_body(bytes(sdp))
        copies = self._copies.setdefault(event.key, Copies())
        copies.members += 1
        session = Session(f"{decode(request.call_id)};{next(_numbers)}", request.tag(H.FROM), copies)
        event.awaits_repetitions = True
        self._exchanges[event] = Exchange(session, initial=True, offered=sdp is not None)
        self._living += 1
        return None if sdp is None else self._offer_or_refuse(event, session)

    async def _offer_or_refuse(self, event: RequestEvent, session: Session) -> None:
        try:
            await self._offer(session, event.request, session.caller_tag)
        except EngineError as error:
            self.context.counters["relay_refused"] += 1
            self.context.logger.warning("%s: not relayed: %s", session.name, error)
            self._leave(event, session)
            self._forget(event, session)
            raise SipError("Media Relay Exhausted", 503) from error

    def _within_dialog(self, event: RequestEvent, dialog: Dialog) -> Awaitable[None] | None:
        call_id, ours, theirs = dialog
        session = self._by_dialog.get(dialog) or self._by_dialog.get((call_id, theirs, ours))
        if session is None:
            return None
        described = description(event.request) is not None
        answers = described and session.offered_by not in (b"", ours)
        if event.request.method != b"ACK":
            event.awaits_repetitions = True
            self._exchanges[event] = Exchange(session, initial=False, offered=described and not answers)
        return self._describe_within(session, event.request, ours, answers) if described else None

    async def _describe_within(self, session: Session, message: Message, sender: bytes, answers: bool) -> None:
        try:
            if answers:
                await self._answer(session, message, session.offered_by, sender)
            else:
                await self._offer(session, message, sender)
        except EngineError as error:
            raise SipError("Media Relay Exhausted", 503) from error

    # --- responses ---------------------------------------------------------------------------------------

    def on_response(self, event: ResponseEvent) -> Awaitable[None] | None:
        """Have the description in it replaced; a final answer may end the session."""
        request_event = event.branch.event
        exchange = None if request_event is None else self._exchanges.get(request_event)
        if request_event is None or exchange is None:
            return None
        response = event.response
        if response.status < 300 and exchange.initial:
            self._enter_dialog(exchange.session, response)
        if response.status >= 200:
            self._final(request_event, exchange, response.status)
        if response.status >= 300 or not response.body:
            return None
        return self._describe_response(exchange, response)

    async def _describe_response(self, exchange: Exchange, response: Response) -> None:
        asker, sender = response.tag(H.FROM), response.tag(H.TO)
        session, body = exchange.session, response.body
        try:
            if description(response) is None:
                return
            if exchange.offered:
                await self._answer(session, response, asker, sender)
                if exchange.initial and response.status < 200:
                    self.context.spawn(session.copies.lead(session, body))
            else:
                await self._offer(session, response, sender)
        except (EngineError, SipError) as error:
            self.context.logger.warning("%s: answer not relayed: %s", exchange.session.name, error)

    def _enter_dialog(self, session: Session, response: Message) -> None:
        dialog = dialog_of(response)
        if dialog is not None:
            session.dialogs.add(dialog)
            self._by_dialog[dialog] = session

    def _final(self, event: RequestEvent, exchange: Exchange, status: int) -> None:
        session = exchange.session
        if exchange.initial:
            if status >= 300:
                self.context.spawn(session.copies.leave(session))
                self._forget(event, session)
            else:
                self.context.spawn(session.copies.settle())
            self._leave(event, session)
            return  # an answered INVITE's 200 may come again
        self._exchanges.pop(event, None)
        if event.request.method == b"BYE" and status not in _CHALLENGED:
            self._forget(None, session)

    def _leave(self, event: RequestEvent, session: Session) -> None:
        """A branch of an INVITE has had its final response; the last one closes the door."""
        session.copies.members -= 1
        if session.copies.members <= 0:
            self._copies.pop(event.key, None)

    # --- the engine --------------------------------------------------------------------------------------

    async def _offer(self, session: Session, message: Message, sender: bytes) -> None:
        """Give an offer to the engine and put its own in place.

        Raises:
            EngineError: no engine takes it.
        """
        session.offered_by = sender
        self._put(message, await self._ask(session, "offer", message.body, from_tag=sender))

    async def _answer(self, session: Session, message: Message, asker: bytes, sender: bytes) -> None:
        """The same for an answer; it may come again, as a 200 repeats what the 183 said."""
        session.offered_by = b""
        self._put(message, await self._ask(session, "answer", message.body, from_tag=asker, to_tag=sender))

    def _put(self, message: Message, body: bytes) -> None:
        if self._mark:
            described = Sdp.parse(body)
            described.set_attribute(self._mark, b"yes")
            body = bytes(described)
        message.set_body(body)

    async def _ask(self, session: Session, command: str, sdp: bytes, **tags: bytes) -> bytes:
        candidates = [session.engine] if session.engine is not None else self._engines.candidates()
        last = EngineError("no engine")
        for engine in candidates:
            try:
                answer = await engine.ask(command, call_id=session.name, sdp=sdp, replace=_REPLACE, **tags)
            except EngineError as error:
                self.context.logger.warning("%s: %s", session.name, error)
                last = error
                continue
            session.engine = engine
            body = answer.get("sdp")
            if isinstance(body, bytes):
                return body
            last = EngineError(f"{engine}: an answer without a description")
        raise last

    def _forget(self, event: RequestEvent | None, session: Session) -> None:
        if event is not None:
            self._exchanges.pop(event, None)
        for other in [other for other, exchange in self._exchanges.items() if exchange.session is session]:
            del self._exchanges[other]
        for dialog in session.dialogs:
            self._by_dialog.pop(dialog, None)
        self._living -= 1
        if session.engine is not None:
            self.context.spawn(self._delete(session, session.engine))
            session.engine = None

    async def _delete(self, session: Session, engine: Engine) -> None:
        try:
            await engine.ask("delete", call_id=session.name, from_tag=session.caller_tag, delete_delay=0)
        except EngineError as error:
            self.context.logger.info("%s: %s", session.name, error)  # it ends it by its own timeout


def _engine(text: str) -> Engine:
    try:
        host, port = parse_host_port(text)
    except SipError as error:
        raise ModuleError(f"[module::MediaRelay] rtpengine-servers: '{text}': {error}") from error
    if port is None:
        raise ModuleError(f"[module::MediaRelay] rtpengine-servers: '{text}' names no port, such as {text}:2223")
    return Engine(host, port)
