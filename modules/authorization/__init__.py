"""Authorization: whose requests are served at all, and who may reach whom.

What a request's sender is called was settled by Authentication; here it is decided what he may do. Whom a request is
for is looked at twice: by its address when it comes, and where it goes past the addresses (to a device's own URI, by a
Route) by the device that it is about to be sent to.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from flexipy.auth.call_rules import CallRules, Verdict
from flexipy.proxy.api import (
    Module,
    ModuleContext,
    ModuleError,
    Request,
    RequestEvent,
    SipError,
    SipUri,
    duration,
    enum,
    integer,
    string,
    string_list,
)
from flexipy.registrar.domains import ManagedDomains
from flexipy.registrar.registrar import Registrar
from flexipy.sip import names as H
from flexipy.sip.errors import UriError
from flexipy.sip.headers import NameAddr
from flexipy.sip.message import unfold
from flexipy.sip.params import decode
from flexipy.transport.flow import Flow

from .devices import DeviceOwners, place_of
from .dialogs import JudgedCalls

_NOT_LOOKED_AT: Final = frozenset((b"ACK", b"CANCEL"))
_BEGINS_DIALOG: Final = frozenset((b"INVITE", b"SUBSCRIBE", b"REFER"))
_X_TARGET_URIS: Final = b"x-target-uris"

Stamp = tuple[int, int, int]


class Authorization(Module):
    """Check domains and rules."""

    name = "Authorization"
    help = (
        "Decides what those who were authenticated may do: their domain must be one that is served here, and rules in "
        "a file say who may reach whom."
    )
    parameters = (
        enum(
            "auth-domains-mode",
            "legacy",
            "Where the domains come from; `legacy` and `static` both stand for `auth-domains`.",
            choices=("legacy", "static", "flexiapi"),
        ),
        string_list(
            "auth-domains",
            "localhost",
            "Domains whose users are served; `*` for every domain. Requests of others are refused, but for those of "
            "trusted hosts.",
        ),
        string(
            "rules-file",
            "",
            "A file with a rule on each line, `allow INVITE, MESSAGE from @family to door@myhouse`; the first rule "
            "that fits decides. It is read again when it changes.",
        ),
        string("account-manager-host", "", "Host of the account manager.", implemented=False),
        integer("account-manager-port", "443", "Its port.", implemented=False),
        string("account-manager-api-key", "", "The key it asks for.", implemented=False),
        duration(
            "accounts-refresh-delay", "5", "How often the domains are asked for again.", unit="min", implemented=False
        ),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        values = context.values
        if values.string("auth-domains-mode") == "flexiapi":
            raise ModuleError("[module::Authorization] auth-domains-mode=flexiapi has no effect yet: use 'static'")
        self._domains = frozenset(name.lower() for name in values.strings("auth-domains"))
        self._any_domain = "*" in self._domains
        name = values.string("rules-file")
        self._file: Path | None = context.file(name) if name else None
        self._stamp: Stamp | None = None
        self._rules = CallRules()
        self._calls = JudgedCalls()
        self._authenticated = context.section("module::Authentication").boolean("enabled")
        self._managed: ManagedDomains | None = None
        self._registrar: Registrar | None = None
        self._owners = DeviceOwners(None, lambda _: None)

    # --- life --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the rules; without them the server does not start, for what they forbid would be allowed."""
        problems = self._load()
        if problems:
            raise ModuleError("\n".join(problems))
        self._warn_of_shut_out_domains()
        self._managed = self.context.optional(ManagedDomains)
        self._registrar = self.context.optional(Registrar)
        self._owners = DeviceOwners(self._registrar, self.context.transports.flow_from_token)
        if self._file is not None:
            self.context.every(1.0, self._look_at_file)

    def reload(self) -> list[str]:
        """Read the rules anew; with mistakes in them the old ones stay."""
        return self._load()

    def _warn_of_shut_out_domains(self) -> None:
        if self._any_domain or not self._authenticated:
            return
        served = {name.lower() for name in self.context.section("module::Authentication").strings("auth-domains")}
        for domain in sorted(served - self._domains - {"*"}):
            self.context.logger.warning(
                "[module::Authorization] auth-domains does not hold '%s', which [module::Authentication] has: "
                "requests of its users are refused",
                domain,
            )

    def _load(self) -> list[str]:
        if self._file is None:
            return []
        from flexipy.auth.rules_file import parse_rules  # only those who have rules need it

        try:
            stamp = self._stamp_now(self._file)
            text = self._file.read_text("utf-8")
        except (OSError, UnicodeError) as error:
            return [f"{self._file}: cannot read the rules: {error}"]
        self._stamp = stamp
        rules, problems = parse_rules(text, str(self._file))
        if not problems:
            self._rules = rules
        return [str(problem) for problem in problems]

    @staticmethod
    def _stamp_now(path: Path) -> Stamp:
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _look_at_file(self) -> None:
        assert self._file is not None
        try:
            stamp = self._stamp_now(self._file)
        except OSError as error:
            if self._stamp is not None:
                self._stamp = None  # told once
                self.context.logger.warning("%s: %s; the old rules stay", self._file, error.strerror)
            return
        if stamp == self._stamp:
            return
        self._stamp = stamp
        problems = self._load()
        for problem in problems:
            self.context.logger.warning("%s; the old rules stay", problem)
        if not problems:
            self.context.logger.info("%s: %d rules", self._file, len(self._rules))

    # --- requests ----------------------------------------------------------------------------------------

    def on_request(self, event: RequestEvent) -> None:
        """Refuse what the sender's domain or a rule forbids."""
        request = event.request
        method = request.method
        if method in _NOT_LOOKED_AT or (method == b"BYE" and request.in_dialog):
            return
        sender = self._sender(event)
        target = self._target(request)
        # A MESSAGE is judged by itself also within a dialog: it needs none, so that a dialog says nothing about it.
        within = request.in_dialog and method != b"MESSAGE"
        knows = self._calls.knows
        if within and knows(request.call_id, sender, target):
            return
        if not (self._domain_is_served(event, sender) or (within and knows(request.call_id, sender, ""))):
            self.context.counters["foreign_domain_refused"] += 1
            event.reply(403, "Domain forbidden")
            return
        if method == b"REGISTER":
            return
        looked_up = self._is_looked_up(event)
        if (looked_up or not within) and self._refused(event, sender, target):
            return
        begins = method in _BEGINS_DIALOG and not within
        if begins:
            self._note_call(request, sender, target)
        if self._file is not None and (begins or not looked_up):
            leaving = partial(self._on_leaving, event.flow, sender, target, None if looked_up else within)
            event.before_send = [*(event.before_send or ()), leaving]

    def _refused(self, event: RequestEvent, sender: str, target: str) -> bool:
        """Whether a rule forbids the request; it is answered then."""
        request = event.request
        for each in (target, *self._further_targets(request)):
            verdict = self._rules.verdict(decode(request.method), sender, each)
            if not verdict.allowed:
                self._log_refusal(request, event.flow, sender, each, verdict)
                event.reply(403)
                return True
        return False

    def _sender(self, event: RequestEvent) -> str:
        """Who asks: as proved, or as claimed where nobody has to prove it; empty for somebody unknown."""
        if event.identity:
            return event.identity
        if self._authenticated and not event.trusted:
            return ""
        try:
            return event.request.from_aor
        except UriError:
            return ""

    def _domain_is_served(self, event: RequestEvent, sender: str) -> bool:
        if self._any_domain or event.trusted:
            return True
        if not sender:
            try:
                sender = event.request.from_aor
            except UriError:
                return False
        return sender.rpartition("@")[2].lower() in self._domains

    def _target(self, request: Request) -> str:
        """The address that a request is for. A GRUU of an address is that address."""
        try:
            return self._address(request.uri)
        except SipError:  # of another scheme: whoever can do something with it may, under rules for *
            return ""

    def _address(self, uri: SipUri) -> str:
        owner = self._registrar.owner_of_temporary(uri) if self._registrar is not None else None
        return uri.aor if owner is None else owner

    def _further_targets(self, request: Request) -> list[str]:
        """Whom else the Router would send it to."""
        if _X_TARGET_URIS not in request.names:
            return []
        return [self._address(NameAddr.parse(unfold(raw)).uri) for raw in request.get_all(_X_TARGET_URIS)]

    def _is_looked_up(self, event: RequestEvent) -> bool:
        """Whether the request goes where its address is registered, and nowhere else."""
        names = event.request.names
        if event.route_token or H.ROUTE in names or _X_TARGET_URIS in names or self._managed is None:
            return False
        try:
            uri = event.request.uri
        except SipError:
            return False
        ours = uri.port is None or self.context.agent.port_is_ours(uri.port)
        return ours and self._managed.manages(uri.host)

    # --- within a call -----------------------------------------------------------------------------------

    def _note_call(self, request: Request, sender: str, target: str) -> None:
        """The two who may from now on send each other requests of this call."""
        note = partial(self._calls.note, request.call_id)
        note(sender, target)
        note(target, sender)
        note(sender, "")
        note(target, "")
        try:
            called = request.to_aor  # what the one called will say he is (RFC 3261 section 12.2.1.1)
        except UriError:
            return
        if called != target:
            note(called, sender)
            note(called, "")

    def _on_leaving(
        self, source: Flow, sender: str, target: str, within: bool | None, request: Request, flow: Flow
    ) -> None:
        """A request is about to go to a device: judge it by whose that is, where its address did not tell.

        Args:
            source: where it came from.
            sender: who asks.
            target: the address it was for.
            within: whether it belongs to a dialog; None for a new one that went where its address is registered.
            request: as it leaves.
            flow: toward the device.

        Raises:
            SipError: 403, a rule forbids it.
        """
        if within is not None:
            self._judge_by_device(source, sender, target, within, request, flow)
        if request.method in _BEGINS_DIALOG and not within:
            self._calls.note(request.call_id, sender, flow.remote)

    def _judge_by_device(
        self, source: Flow, sender: str, target: str, within: bool, request: Request, flow: Flow
    ) -> None:
        owners = self._owners_at(request, flow)
        if target in owners and not within:
            return  # allowed when it came
        if within:
            call_id, knows = request.call_id, self._calls.knows
            if knows(call_id, sender, flow.remote) or any(knows(call_id, sender, owner) for owner in owners):
                return
            if not owners and knows(call_id, sender, ""):
                return
        for owner in sorted(owners) or [target]:
            verdict = self._rules.verdict(decode(request.method), sender, owner)
            if not verdict.allowed:
                self._log_refusal(request, source, sender, owner, verdict)
                raise SipError("not allowed by a rule", 403)

    def _owners_at(self, request: Request, flow: Flow) -> frozenset[str]:
        """Whose device gets a request: by where it is sent, and by the URI, for a device behind another proxy."""
        now = self.context.agent.clock()
        owners = self._owners.at(flow.remote, now)
        try:
            place = place_of(request.uri)
        except SipError:
            return owners
        return owners if place is None or place == flow.remote else owners | self._owners.at(place, now)

    def _log_refusal(self, request: Request, source: Flow, sender: str, target: str, verdict: Verdict) -> None:
        self.context.counters["refused_by_rule"] += 1
        self.context.logger.info(
            "%s: %s from %r (%s) to %r refused: %s",
            decode(request.call_id),
            decode(request.method),
            sender or decode(request.from_.uri_raw),
            source.remote[0],
            target,
            verdict.place,
        )
