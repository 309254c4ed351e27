"""The built-in relay: the packets are `flexipy.media`'s, here each session description is made to name it."""

from __future__ import annotations

import asyncio
import socket
import time
from functools import partial
from typing import Final

from flexipy.media.relay import Leg, MediaRelay, RelayedCall, RelayError, RelayOptions
from flexipy.modules.media_relay.calls import Call, CallTable, Exchange, RelayBranch, Side, forks
from flexipy.modules.media_relay.forms import keep_simplest_of, may_renumber, name_simplest_first, renumbering
from flexipy.modules.media_relay.less import LessMedia
from flexipy.modules.media_relay.orphans import DialogSides, byes_of
from flexipy.modules.media_relay.rewriting import (
    agrees_on_keys,
    concluded_elsewhere,
    description,
    expected_of,
    leg_index,
    redirect,
    redirect_session,
    relayed,
)
from flexipy.proxy.api import ModuleContext, Request, RequestEvent, Response, ResponseEvent, SipError
from flexipy.sip import names as H
from flexipy.sip.message import Message
from flexipy.sip.sdp import Media, Sdp, is_address
from flexipy.transport.flow import Flow

_MARKED: Final = b"yes"
_CHALLENGED: Final = (401, 407)
_MAKES_OFFERS: Final = (b"INVITE", b"UPDATE")  # ACK and PRACK answer one, as far as phones go


class InternalRelay:
    """Relays in this process, and copies the caller's media to every branch that has described its own."""

    def __init__(self, context: ModuleContext) -> None:
        self.context = context
        values = context.values
        mark = values.string("nortpproxy")
        self._mark = b"" if mark == "disable" else mark.encode()
        first, last = values.range("sdp-port-range")
        options = RelayOptions(
            first,
            last,
            values.integer("max-calls"),
            values.seconds("inactivity-period"),
            values.boolean("early-media-relay-single"),
            values.integer("max-early-media-per-call"),
        )
        self._relay = MediaRelay(options, self._on_inactive)
        self._calls = CallTable()
        self._sides: dict[Call, DialogSides] = {}
        self._by_relay: dict[RelayedCall, Call] = {}
        self._less = LessMedia.of(context)
        self._bye_orphans = values.boolean("bye-orphan-dialogs")
        self._relay_without_ice = values.boolean("force-relay-for-non-ice-targets")
        self._prevent_loops = values.boolean("prevent-loops")
        self._force_public = values.boolean("force-public-ip-for-sdp-masquerading")
        self._public: dict[str, str] = {}

    def provide(self) -> None:
        """Offer the relay, for its figures."""
        self.context.provide(MediaRelay, self._relay)

    async def start(self) -> None:
        """Start the clock."""
        self.context.every(1.0, self.sweep)
        if self._force_public:
            for listener in self.context.transports.listeners:
                await self._look_up(listener.spec.host)

    async def stop(self) -> None:
        """Free every port."""
        for call in list(self._calls.by_transaction.values()):
            self._close(call)
        self._relay.close()

    async def _look_up(self, name: str) -> None:
        if name == "*" or is_address(name):
            return
        try:
            found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_DGRAM)
        except OSError as error:
            self.context.logger.warning("no address for '%s' to announce in session descriptions: %s", name, error)
            return
        self._public[name] = str(found[0][4][0])

    def sweep(self) -> None:
        """What is due each second: calls without media, and those that nobody took."""
        self._relay.tick(time.monotonic())
        for call in list(self._calls.by_transaction.values()):
            if call.winner is None and not call.branches and call.server and call.server.answered:
                self._close(call)  # nobody took it, and nobody will

    # --- requests ----------------------------------------------------------------------------------------

    def on_request(self, event: RequestEvent) -> None:
        """Make the description in it name the relay."""
        request = event.request
        found = self._calls.find(request)
        if found is not None:
            self._within_dialog(event, *found)
        elif request.method == b"INVITE" and not request.tag(H.TO):
            self._first_invite(event)

    def _first_invite(self, event: RequestEvent) -> None:
        request = event.request
        sdp = description(request)
        if sdp is not None and not self._is_ours_to_relay(event, sdp):
            return
        if sdp is None and request.body:
            return  # something else than a description is on offer
        call = self._calls.by_transaction.get(event.key)
        try:
            if call is None:
                call = self._open(event)
            if sdp is not None:
                for place, media in relayed(sdp):
                    leg = call.caller_leg(leg_index(sdp, place))
                    leg.expect(expected_of(media, call.caller.signalling))
                    leg.thin(self._less.toward(media, self._sides[call].behind_proxy(caller=True)))
        except RelayError as error:
            self._refuse(event, error)
            return
        if sdp is not None and forks(event) and not agrees_on_keys(sdp):
            keep_simplest_of(sdp, secure=True)
        branch = RelayBranch(request.uri_raw)
        call.branches[event] = branch
        self._calls.expect_response(event, Exchange(call, branch, from_caller=True, initial=True, offer=sdp))
        if sdp is not None:
            edit = partial(self._offer_to_branch, call, branch, sdp)
            event.before_send = [*(event.before_send or ()), edit]

    def _is_ours_to_relay(self, event: RequestEvent, sdp: Sdp) -> bool:
        offered = relayed(sdp)
        if not offered:
            return False
        if self._prevent_loops and any(self._relay.owns(media.address or "", media.port) for _, media in offered):
            return False
        if self._mark and sdp.attribute(self._mark) == _MARKED:
            return forks(event)
        return self._relay_without_ice or any(media.uses_ice for _, media in offered)

    def _open(self, event: RequestEvent) -> Call:
        flow = event.flow
        relay = self._relay.open(event.request.label)
        side = Side(flow.local[0], self._announced(flow), flow.remote[0])
        call = Call(event.key, event.server_transaction(), relay, side)
        self._by_relay[relay] = call
        self._sides[call] = DialogSides.of_invite(event.request)
        self._calls.add(call)
        self.context.counters["relayed_calls"] += 1
        return call

    def _refuse(self, event: RequestEvent, error: RelayError) -> None:
        self.context.counters["relay_refused"] += 1
        self.context.logger.warning("%s: not relayed: %s", event.request.label, error)
        event.reply(503, "Media Relay Exhausted")

    def _offer_to_branch(self, call: Call, branch: RelayBranch, sdp: Sdp, request: Request, flow: Flow) -> None:
        """Run as the INVITE leaves: only then is known by which address."""
        if call.closed:
            return
        branch.side = Side(flow.local[0], self._announced(flow), flow.remote[0])
        edited = sdp.copy()
        try:
            for place, media in relayed(edited):
                redirect(media, call.branch_leg(branch, leg_index(sdp, place)), branch.side.announced)
        except RelayError as error:
            self.context.counters["relay_refused"] += 1
            self.context.logger.warning("%s: not relayed: %s", call.relay.name, error)
            raise SipError("Media Relay Exhausted", 503) from error
        self._finish(edited, branch.side, request)

    def _within_dialog(self, event: RequestEvent, call: Call, branch: RelayBranch, from_caller: bool) -> None:
        request = event.request
        ends = request.method == b"BYE"
        exchange = Exchange(call, branch, from_caller, ends_call=ends)
        sdp = description(request)
        if sdp is not None:
            self._pass_through(exchange, sdp, request, from_caller)
            if request.method not in _MAKES_OFFERS:
                exchange.agree()
        if request.method != b"ACK":
            self._calls.expect_response(event, exchange)

    # --- responses ---------------------------------------------------------------------------------------

    def on_response(self, event: ResponseEvent) -> None:
        """Make the description in it name the relay; a final answer settles who is relayed."""
        request_event = event.branch.event
        exchange = self._calls.exchange(request_event)
        if exchange is None or request_event is None:
            return
        response = event.response
        status = response.status
        branch = exchange.branch
        if exchange.initial and not branch.described:
            branch.simplified = status < 200 and forks(request_event)
        if exchange.initial and event.flow is not None and not branch.side.bind:
            flow = event.flow
            branch.side = Side(flow.local[0], self._announced(flow), flow.remote[0])
        if status < 300:
            if status >= 200 or response.body:
                exchange.agree()
            if exchange.initial:
                self._sides[exchange.call].answered(response, self._is_own)
            described = self._answer_through(exchange, response)
            if exchange.initial:
                self._progress(exchange, response, described)
        if status >= 200:
            self._final(request_event, exchange, status)

    def _answer_through(self, exchange: Exchange, response: Message) -> Sdp | None:
        """What a response describes; a description that can't be read goes on as it is."""
        try:
            sdp = description(response)
            if sdp is not None:
                self._pass_through(exchange, sdp, response, not exchange.from_caller)
                exchange.agree()
        except SipError as error:
            self.context.counters["relay_bad_answers"] += 1
            self.context.logger.warning("%s: answer not relayed: %s", exchange.call.relay.name, error)
            return None
        return sdp

    def _progress(self, exchange: Exchange, response: Response, described: Sdp | None) -> None:
        call, branch = exchange.call, exchange.branch
        self._calls.enter_dialog(call, branch, response)
        if described is None:
            return
        branch.described = True
        call.relay.answered(branch)
        # Callers keep the first fingerprint that they see (liblinphone 5.1 does), and whose keys the caller shall agree
        # on is settled by the answer only. An answer that is acknowledged by PRACK will not be repeated: it stays.
        early = response.status < 200 and H.RSEQ not in response.names
        if early and call.relay.partner is not branch and agrees_on_keys(described):
            response.set_body(b"")
            response.remove(H.CONTENT_TYPE)

    def _final(self, event: RequestEvent, exchange: Exchange, status: int) -> None:
        call, branch = exchange.call, exchange.branch
        if exchange.initial:
            if status < 300:
                self._won(call, branch, event)
                return  # its 200 may come again
            call.branches.pop(event, None)
            call.relay.drop(branch)
        self._calls.settle(event, exchange)
        if exchange.ends_call and status not in _CHALLENGED:
            self._close(call)

    def _won(self, call: Call, branch: RelayBranch, event: RequestEvent) -> None:
        if call.winner is None:
            call.winner = branch
            call.relay.win(branch)
            for other in [other for other in call.branches if other is not event]:
                exchange = self._calls.exchange(other)
                if exchange is not None:
                    self._calls.settle(other, exchange)
                del call.branches[other]

    # --- descriptions ------------------------------------------------------------------------------------

    def _pass_through(self, exchange: Exchange, sdp: Sdp, message: Message, from_caller: bool) -> None:
        """Take note of what one side says and tell the other the relay's addresses instead.

        Raises:
            SipError: 503, no port is free for a stream that was added.
        """
        call, branch = exchange.call, exchange.branch
        sender, reader = (call.caller, branch.side) if from_caller else (branch.side, call.caller)
        original = sdp.copy()
        if from_caller:
            exchange.offer = original
        try:
            for place, media in relayed(sdp):
                if concluded_elsewhere(media):
                    continue
                index = leg_index(original, place)
                caller_leg, branch_leg = call.caller_leg(index), call.branch_leg(branch, index)
                near, far = (caller_leg, branch_leg) if from_caller else (branch_leg, caller_leg)
                if index == place:
                    said = original.media[place]
                    thinner = self._less.toward(said, self._sides[call].behind_proxy(from_caller))
                    exchange.pending.append((near, expected_of(said, sender.signalling), thinner))
                redirect(media, far, reader.announced)
                if not from_caller:
                    self._settle_forms(exchange, place, media, branch_leg)
        except RelayError as error:
            raise SipError("Media Relay Exhausted", 503) from error
        if sdp.media and any(not concluded_elsewhere(media) for media in original.media):
            self._finish(sdp, reader, message)

    def _settle_forms(self, exchange: Exchange, place: int, media: Media, leg: Leg) -> None:
        """Let a branch have what the caller sends by the payload types that it names."""
        numbers = exchange.numbers.setdefault(leg, {})
        offer = exchange.offer if exchange.from_caller else None
        if offer is None or place >= len(offer.media):
            return  # it is the branch that offers, and the caller will send what is on offer
        offered = offer.media[place]
        if may_renumber(offered) and may_renumber(media):
            numbers.update(renumbering(offered, media))
            if exchange.branch.simplified and (exchange.initial or exchange.call.winner is None):
                name_simplest_first(offered, media)

    def _is_own(self, uri: bytes) -> bool:
        return self.context.agent.is_own(uri)[0]

    def _finish(self, sdp: Sdp, reader: Side, message: Message) -> None:
        redirect_session(sdp, reader.announced)
        if self._mark:
            sdp.set_attribute(self._mark, _MARKED)
        message.set_body(bytes(sdp))

    def _announced(self, flow: Flow) -> str:
        """The address to tell somebody whom a flow reaches."""
        local = flow.local[0]
        if flow.listener is None:
            return local
        host = flow.listener.spec.host
        if not is_address(host):
            host = self._public.get(host, local)
        return host if (":" in host) == (":" in local) else local

    # --- the end -----------------------------------------------------------------------------------------

    def _close(self, call: Call) -> None:
        self._by_relay.pop(call.relay, None)
        self._sides.pop(call, None)
        self._calls.forget(call)

    def _on_inactive(self, relay: RelayedCall) -> None:
        call = self._by_relay.get(relay)
        if call is None:
            return
        self.context.logger.info("%s: no media any more, the relay lets go", call.relay.name)
        sides = self._sides.get(call)
        if self._bye_orphans and call.winner is not None and sides is not None:
            for bye in byes_of(sides):
                self.context.spawn(self._send_bye(bye))
        self._close(call)

    async def _send_bye(self, bye: Request) -> None:
        await self.context.send(bye)
