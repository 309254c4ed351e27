"""Authentication: who asks must prove it, by digest (RFC 3261 section 22, RFC 8760) or by a client certificate."""

from __future__ import annotations

import re
from time import monotonic, time
from typing import Final

from flexipy.auth.account import Account
from flexipy.auth.directory import AccountDirectory, AccountSecrets
from flexipy.auth.file_credentials import FileCredentials
from flexipy.auth.known_dialogs import KnownDialogs
from flexipy.auth.throttle import GuessThrottle, Limit
from flexipy.proxy.api import (
    Module,
    ModuleContext,
    ModuleError,
    Request,
    RequestEvent,
    ResponseEvent,
    boolean,
    duration,
    enum,
    integer,
    string,
    string_list,
)
from flexipy.registrar.secret_file import load_secret
from flexipy.sip import names as H
from flexipy.sip.digest import (
    ALGORITHMS,
    Authorization,
    Challenge,
    Freshness,
    NonceSource,
    parse_authorization,
    verify,
)
from flexipy.sip.digits import decimal
from flexipy.sip.errors import HeaderError, UriError
from flexipy.sip.params import decode, encode
from flexipy.workers.share import Share, Tell

_REALMS_REMEMBERED: Final = 256
# What workers tell each other.
_USED: Final = b"u"
_RIGHT: Final = b"r"
_WRONG: Final = b"w"
_NONCE_PLACE: Final = "nonce-goes-here"
_WITHIN_CALLS: Final = frozenset((b"INVITE", b"UPDATE", b"INFO", b"PRACK"))
_UNCHALLENGED: Final = frozenset((b"ACK", b"CANCEL"))


class Authentication(Module):
    """Challenge and check."""

    name = "Authentication"
    help = (
        "Lets only people with an account use the server: challenges each request and checks the answer against the "
        "password file, or accepts a TLS client certificate."
    )
    parameters = (
        string_list(
            "trusted-hosts",
            "",
            "Addresses whose requests are not challenged.",
        ),
        string_list(
            "auth-domains",
            "localhost",
            "Domains whose users are authenticated here; `*` for every domain. Requests from others are refused.",
        ),
        string_list(
            "available-algorithms",
            "MD5",
            "Digest algorithms to offer, each in a challenge of its own, where the account has a hash for it.",
            ("MD5", "SHA-256"),
        ),
        boolean("disable-qop-auth", "false", "Offer no `qop`, for clients too old to know it."),
        boolean("no-403", "false", "Answer a wrong password with a new challenge instead of 403."),
        duration("nonce-expires", "3600", "How long the answer to a challenge may be used again."),
        string("realm", "", "The realm to name in challenges; empty for the domain of the From header."),
        string(
            "realm-regex",
            "",
            "Regular expression whose first group (or whole match), found in the From domain, is the realm.",
        ),
        boolean(
            "reject-wrong-client-certificates",
            "false",
            "Refuse a client certificate that does not fit the request, instead of asking for a password.",
        ),
        string(
            "tls-client-certificate-required-subject",
            "",
            "Regular expression that a name in the client certificate must match.",
            aliases=("tls-client-certificate-required-subjects",),
        ),
        boolean(
            "trust-domain-certificates",
            "false",
            "A client certificate for a domain speaks for all users of that domain.",
        ),
        boolean(
            "new-auth-on-407",
            "false",
            "Add a challenge of our own to a 407 that comes back from another proxy.",
            implemented=False,
        ),
        enum("db-implementation", "file", "Where accounts are: `file`.", ("file",)),
        duration(
            "cache-expire",
            "1800",
            "How long accounts out of a database are remembered. A password file is looked at every second.",
            implemented=False,
        ),
        string(
            "file-path",
            "",
            "The password file; see `flexipy passwd`.",
            aliases=("datasource",),
        ),
        duration(
            "guess-period",
            "300",
            "Wrong passwords are counted over this time, for each account and each address they come from.",
        ),
        integer(
            "guess-limit",
            "10",
            "Wrong passwords that a user may send from one address in that time (and different users from one address, "
            "or addresses for one user) before more are refused unheard; 0 for no limit.",
            minimum=0,
        ),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        values = context.values
        self._domains = frozenset(name.lower() for name in values.strings("auth-domains"))
        self._any_domain = "*" in self._domains
        # Stronger first: a client takes the first one that it knows (RFC 8760 section 2.4).
        offered = {name.upper() for name in values.strings("available-algorithms")}
        self._algorithms = tuple(name for name in ("SHA-256", "MD5") if name in offered and name in ALGORITHMS)
        self._qop = () if values.boolean("disable-qop-auth") else ("auth",)
        self._no_403 = values.boolean("no-403")
        self._realm = values.string("realm")
        self._realm_regex = self._pattern("realm-regex")
        self._subject = self._pattern("tls-client-certificate-required-subject")
        self._reject_certificates = values.boolean("reject-wrong-client-certificates")
        self._trust_domains = values.boolean("trust-domain-certificates")
        self._trusted = context.host_set("trusted-hosts")
        self._trusts_hosts = bool(values.strings("trusted-hosts"))
        self._nonces = NonceSource(self._secret(), values.seconds("nonce-expires"), not_before=time())
        limit = values.integer("guess-limit")
        period = values.seconds("guess-period")
        self._throttle: GuessThrottle | None = None
        if limit:
            each = Limit(limit, period, period)
            self._throttle = GuessThrottle(each, each, each)
        name = values.string("file-path")
        if not name:
            raise ModuleError("[module::Authentication] file-path: no password file named (see 'flexipy passwd -h')")
        self._challenges: dict[tuple[str, bool], list[tuple[str, bytes, bytes]]] = {}
        self._dialogs = KnownDialogs()
        self._share: Share | None = None
        self._tell: Tell | None = None
        self._accounts = FileCredentials(context.file(name), tuple(self._domains))

    def _pattern(self, parameter: str) -> re.Pattern[str] | None:
        text = self.context.values.string(parameter)
        try:
            return re.compile(text) if text else None
        except re.error as error:
            raise ModuleError(f"[module::Authentication] {parameter}: '{text}': {error}") from error

    def _secret(self) -> bytes:
        """The key of nonces, kept over restarts: a client's next request is then stale, not wrong."""
        try:
            return load_secret(self.context.state_file("nonce-secret"))
        except (OSError, ValueError):
            return b""

    def provide(self) -> None:
        """Offer the list of who exists."""
        self.context.provide(AccountDirectory, AccountDirectory(self._exists))
        self.context.provide(AccountSecrets, AccountSecrets(self._ha1))
        if self._throttle is not None:
            self.context.provide(GuessThrottle, self._throttle)

    async def start(self) -> None:
        """Read the accounts."""
        self._look_at_file()
        share = self.context.optional(Share)
        if share is not None:
            self._share = share
            self._tell = share.subject(b"a", self._elsewhere)
        await self.context.keep_resolved(self._trusted)
        self.context.every(1.0, self._look_at_file)

    def _elsewhere(self, what: bytes) -> None:
        """Another worker accepted an answer or refused a password: neither may be tried again here."""
        kind = what[:1]
        first, _, rest = what[1:].partition(b" ")
        if kind == _USED:
            self._nonces.note(decode(rest), int(first))
        elif self._throttle is not None:
            if kind == _WRONG:
                self._throttle.failed(decode(first), decode(rest), time())
            else:
                self._throttle.succeeded(decode(first), decode(rest))

    def _tell_of(self, what: bytes, host: str, sender: str) -> None:
        assert self._tell is not None
        self._tell(b"%b%b %b" % (what, encode(host), encode(sender)))

    def reload(self) -> list[str]:
        """Read the accounts anew; a file with mistakes leaves the old ones in force."""
        return [str(problem) for problem in self._accounts.reload(monotonic(), at_once=True)]

    def _look_at_file(self) -> None:
        for problem in self._accounts.reload(monotonic()):
            self.context.logger.warning("%s", problem)

    def _ha1(self, user: str, domain: str, algorithm: str, realm: str) -> str | None:
        account = self._accounts.lookup(user, domain)
        return None if account is None else account.ha1(algorithm, realm)

    def _exists(self, user: str, domain: str) -> bool:
        return self._accounts.lookup(user, domain) is not None

    # --- requests ----------------------------------------------------------------------------------------

    def on_request(self, event: RequestEvent) -> None:
        """Let it pass, challenge it or refuse it."""
        request = event.request
        method = request.method
        registers = method == b"REGISTER"
        if not registers:
            if method == b"BYE" and request.in_dialog:
                self._dialogs.forget(request)
                return
            if method in _UNCHALLENGED:
                return
        if event.trusted:
            return
        flow = event.flow
        if self._trusts_hosts and flow.remote[0] in self._trusted:
            event.trusted = True
            return
        try:
            sender = request.from_aor
        except UriError:
            event.reply(403, "Domain forbidden")  # a tel URI or the like: nobody of ours
            return
        user, _, domain = sender.rpartition("@")
        if flow.peer_names and self._by_certificate(event, sender, domain):
            return
        served = domain in self._domains or self._any_domain
        if (
            not registers
            and method in _WITHIN_CALLS
            and not (served and self._exists(user, domain))
            and self._dialogs.includes(request)
        ):
            return  # From is the address by which he was called
        if not served:
            self.context.counters["foreign_domain_refused"] += 1
            event.reply(403, "Domain forbidden")
            return
        self._by_digest(event, sender, user, domain)

    def on_response(self, event: ResponseEvent) -> None:
        """Remember a call that begins, forget one that comes to nothing."""
        response = event.response
        if response.status == 100 or response.cseq.method != "INVITE":
            return
        if response.status < 300:
            self._dialogs.note(response)
        elif (request := event.branch.request) is not None and not request.tag(H.TO):
            self._dialogs.forget(response)

    def _by_certificate(self, event: RequestEvent, sender: str, domain: str) -> bool:
        """Whether the request was settled by the client's certificate, for better or worse."""
        names = {name.lower().removeprefix("sip:") for name in event.flow.peer_names}
        fits = sender.lower() in names or (self._trust_domains and domain in names)
        if fits and self._subject is not None:
            fits = any(self._subject.search(name) for name in event.flow.peer_names)
        if fits:
            self._identify(event, sender)
            return True
        if self._reject_certificates:
            event.reply(403, "Bad credentials")
            return True
        return False

    def _by_digest(self, event: RequestEvent, sender: str, user: str, domain: str) -> None:
        realm = self._realm or (domain if self._realm_regex is None else self._realm_for(domain))
        account = self._accounts.lookup(user, domain) if user else None
        found = self._credentials(event.request, realm)
        if found is None:
            self._challenge(event, realm, account, stale=False)
            return
        index, credentials = found
        now = time()
        throttle = self._throttle
        if self._share is not None:
            self._share.take_in()
        if throttle is not None and not throttle.quiet:
            wait = throttle.check(event.flow.remote[0], sender, now)
            if wait > 0:
                self.context.counters["guesses_refused"] += 1
                event.reply(403, "Too many wrong passwords", (("Retry-After", str(int(wait) + 1)),))
                return
        if account is not None and credentials.username not in (account.user, account.auth_id):
            account = None  # they don't speak for the sender
        known = None if account is None else account.ha1(credentials.algorithm, realm)
        if known is None or not verify(credentials, known, decode(event.request.method)):
            self._wrong(event, realm, account, credentials, sender, now)
            return
        uses = _uses(credentials)
        freshness = self._nonces.use(credentials.nonce, uses, now)
        if freshness is not Freshness.FRESH:
            self._challenge(event, realm, account, stale=freshness is Freshness.STALE)
            return
        if self._tell is not None:
            self._tell(b"%b%b %b" % (_USED, decimal(uses), encode(credentials.nonce)))
        if throttle is not None:
            if self._tell is not None and not throttle.quiet:
                self._tell_of(_RIGHT, event.flow.remote[0], sender)
            throttle.succeeded(event.flow.remote[0], sender)
        # The next hop has no use for the proof, and somebody there might (RFC 3261 section 22.3).
        event.request.remove_at(index)
        self._identify(event, sender)

    def _realm_for(self, domain: str) -> str:
        assert self._realm_regex is not None
        match = self._realm_regex.search(domain)
        if match is None:
            return domain
        return match.group(1) if match.re.groups and match.group(1) else match.group(0)

    def _credentials(self, request: Request, realm: str) -> tuple[int, Authorization] | None:
        """The credentials for our realm and where they stand; None where there are none that we can use."""
        register = request.method == b"REGISTER"
        shape = request.shape
        first = shape.authorization if register else shape.proxy_authorization
        if first < 0:
            return None
        header = H.AUTHORIZATION if register else H.PROXY_AUTHORIZATION
        names = shape.names
        for index in range(first, len(names)):
            if names[index] is not header:
                continue
            try:
                credentials = parse_authorization(request.lines[index].partition(b":")[2])
            except HeaderError:
                continue
            if credentials.realm == realm and credentials.algorithm.removesuffix("-SESS") in self._algorithms:
                return index, credentials
        return None

    def _wrong(
        self,
        event: RequestEvent,
        realm: str,
        account: Account | None,
        credentials: Authorization,
        sender: str,
        now: float,
    ) -> None:
        freshness = self._nonces.validate(credentials.nonce, now)
        if freshness is not Freshness.FRESH:
            # An old answer says nothing about the password: ask again.
            self._challenge(event, realm, account, stale=freshness is Freshness.STALE)
            return
        self.context.counters["wrong_passwords"] += 1
        if self._throttle is not None:
            self._throttle.failed(event.flow.remote[0], sender, now)
            if self._tell is not None:
                self._tell_of(_WRONG, event.flow.remote[0], sender)
        self.context.logger.info("wrong password for %r from %s", sender, event.flow.remote)
        if self._no_403:
            self._challenge(event, realm, account, stale=False)
        else:
            event.reply(403, "Forbidden")

    def _identify(self, event: RequestEvent, sender: str) -> None:
        """Note who asks; nobody registers for somebody else."""
        event.identity = sender
        request = event.request
        if request.method != b"REGISTER":
            return
        try:
            if request.to_aor != sender:
                event.reply(403, "Registration for somebody else")
        except UriError:  # only the request URI's scheme is answered 416 (RFC 4475 section 3.3.4)
            event.reply(400, "To must be a SIP address")

    def _challenge(self, event: RequestEvent, realm: str, account: Account | None, stale: bool) -> None:
        register = event.request.method == b"REGISTER"
        response = event.response(401 if register else 407)
        name, title = (
            (H.WWW_AUTHENTICATE, b"WWW-Authenticate: ") if register else (H.PROXY_AUTHENTICATE, b"Proxy-Authenticate: ")
        )
        nonce = self._nonces.make(time()).encode()
        for algorithm, before, behind in self._templates(realm, stale):
            # An account that does not exist gets every challenge, as one with a clear-text password does.
            if account is None or account.ha1(algorithm, realm) is not None:
                response.append(name, title + before + nonce + behind)
        event.send_stateless(response)

    def _templates(self, realm: str, stale: bool) -> list[tuple[str, bytes, bytes]]:
        """Algorithm and what stands before and behind the nonce, for each challenge to a realm."""
        found = self._challenges.get((realm, stale))
        if found is None:
            if len(self._challenges) >= _REALMS_REMEMBERED:
                self._challenges.clear()
            found = self._challenges[realm, stale] = []
            for algorithm in self._algorithms:
                text = bytes(Challenge(realm, _NONCE_PLACE, algorithm, self._qop, stale))
                before, _, behind = text.rpartition(_NONCE_PLACE.encode())
                found.append((algorithm, before, behind))
        return found


def _uses(credentials: Authorization) -> int:
    """How often the nonce has been used, this time included; 0 from clients without qop, -1 for no number.

    One more than `nc` says: some clients count from 0, and these counts must not come again either.
    """
    if not credentials.qop:
        return 0
    count = credentials.nonce_count
    return count + 1 if count >= 0 else -1
