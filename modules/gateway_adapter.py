"""GatewayAdapter: makes users known to a gateway, such as one to the telephone network, and the gateway to users.

A REGISTER that passes adds the gateway to the user's devices, so that calls are offered to it too, and is repeated
toward the gateway with this server's address, so that the gateway's calls come here.
"""

from __future__ import annotations

import secrets
import time

from flexipy.auth.directory import AccountSecrets
from flexipy.proxy.api import (
    Module,
    ModuleContext,
    ModuleError,
    Request,
    RequestEvent,
    Response,
    SipError,
    SipUri,
    boolean,
    integer,
    string,
)
from flexipy.sip import names as H
from flexipy.sip.digest import ALGORITHMS, Challenge, answer, parse_challenge
from flexipy.sip.headers import NameAddr, parse_seconds, replace_uri
from flexipy.sip.message import unfold
from flexipy.sip.params import decode, encode
from flexipy.sip.uri import scheme_of, unescape
from flexipy.transport.flow import Flow

_FOREVER = 2**31 - 1  # seconds; the registrar clamps it to its longest
_DEFAULT_EXPIRES = 3600
_LOOSE = frozenset(("lr",))


class GatewayAdapter(Module):
    """Register users on a gateway, and the gateway as a device of theirs."""

    name = "GatewayAdapter"
    help = (
        "Ties a gateway to the users of this server: their calls are offered to the gateway as to one more device, and "
        "they are registered on the gateway under this server's address. Where the gateway asks for a password, the "
        "one of the user's account here is used."
    )
    parameters = (
        integer(
            "forced-expire",
            "-1",
            "Seconds for which users are registered on the gateway; -1 for as long as they register here.",
        ),
        string("gateway", "", "SIP address of the gateway: `sip:gateway.example.net`."),
        string("gateway-domain", "", "Domain of the users on the gateway, if it is another than here."),
        boolean("fork-to-gateway", "true", "Offer users' calls to the gateway as well."),
        boolean("register-on-gateway", "true", "Register users on the gateway."),
        string(
            "routing-param",
            "routing-domain",
            "URI parameter with the user's domain here, given to the gateway and found again in its calls.",
        ),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        values = context.values
        self._gateway = self._uri("gateway")
        domain = values.string("gateway-domain")
        self._domain = self._uri("gateway-domain", "" if ":" in domain else "sip:").host if domain else ""
        self._forced_expire = values.integer("forced-expire")
        self._fork = values.boolean("fork-to-gateway")
        self._register = values.boolean("register-on-gateway")
        self._param = values.string("routing-param").lower()
        self._mark = b";" + encode(self._param) + b"="
        self._secrets: AccountSecrets | None = None
        self._cseq = 0

    def _uri(self, parameter: str, prefix: str = "") -> SipUri:
        text = self.context.values.string(parameter)
        try:
            return SipUri.parse(encode(prefix + text.strip("<>")))
        except SipError as error:
            raise ModuleError(f"[module::GatewayAdapter] {parameter}: '{text}': {error}") from error

    async def start(self) -> None:
        """Find out who knows the users' passwords."""
        self._secrets = self.context.optional(AccountSecrets)

    def on_request(self, event: RequestEvent) -> None:
        """Tie the user to the gateway, or lead the gateway's call back to the user."""
        request = event.request
        if request.method == b"REGISTER" and H.CONTACT in request.names:
            self._on_register(event)
        elif self._mark in request.uri_raw.lower():
            self._lead_back(request)

    # --- REGISTER ----------------------------------------------------------------------------------------

    def _on_register(self, event: RequestEvent) -> None:
        request = event.request
        contacts = request.contacts()
        if not contacts or H.ROUTE in request.names:
            return
        sender, target = request.from_, request.to
        if any(scheme_of(each.uri_raw) not in ("sip", "sips") for each in (contacts[0], sender, target)):
            return
        aor = sender.uri
        target.uri  # noqa: B018 - one that cannot be read is refused here and now
        user = contacts[0].uri.user
        if user is None:
            return
        expires = self._expires(request, contacts[0])
        if expires == 0:
            return  # another device of the user may be left; what the gateway knows will lapse
        if self._register:
            self.context.spawn(self._register_on_gateway(aor, sender, target, user, expires))
        if self._fork:
            place = SipUri("sip", user, self._gateway.host, self._gateway.port).raw
            line = b"Contact: <%b>;expires=%d" % (place, _FOREVER)
            request.insert(request.names.index(H.CONTACT), H.CONTACT, line)
            self.context.counters["gateway_forks"] += 1

    @staticmethod
    def _expires(request: Request, contact: NameAddr) -> int:
        text = contact.params.get("expires") or request.get_text(H.EXPIRES)
        return parse_seconds(encode(text)) if text else _DEFAULT_EXPIRES

    def _registration(self, sender: NameAddr, target: NameAddr) -> Request:
        """The REGISTER for the gateway, but for the Contact."""
        if self._domain:
            sender.uri_raw = _moved(sender.uri, self._domain)
            target.uri_raw = _moved(target.uri, self._domain)
        sender.params = {"tag": secrets.token_hex(8)}
        target.params = {}
        host = target.uri.host
        return Request.build(
            "REGISTER",
            f"sip:{host}",
            [
                ("Max-Forwards", "70"),
                ("From", decode(bytes(sender))),
                ("To", decode(bytes(target))),
                ("Call-ID", f"{secrets.token_hex(8)}@{host}"),
                ("CSeq", f"{self._next_cseq()} REGISTER"),
            ],
        )

    def _next_cseq(self) -> int:
        # Grows also over a restart, without being kept.
        self._cseq = max(self._cseq + 1, int(time.time()) & 0x7FFFFFFF)
        return self._cseq

    async def _register_on_gateway(
        self, aor: SipUri, sender: NameAddr, target: NameAddr, user: str, expires: int
    ) -> None:
        if self._forced_expire != -1:
            expires = self._forced_expire
        register = self._registration(sender, target)

        def add_contact(request: Request, flow: Flow) -> None:
            own = SipUri.parse(flow.record_route_uri).without_params(_LOOSE)
            params = {**own.params, self._param: aor.host}
            back = SipUri("sip", user, own.host, own.port, params)
            request.append(H.CONTACT, b"Contact: <%b>;expires=%d" % (back.raw, expires))

        counters = self.context.counters
        counters["gateway_registrations"] += 1
        response = await self.context.send(register, self._gateway, add_contact)
        if response.status in (401, 407):
            proof = self._proof(register, response, aor)
            if proof is not None:
                register.append(*proof)
                register.set(H.CSEQ, b"CSeq: %d REGISTER" % self._next_cseq())
                response = await self.context.send(register, self._gateway, add_contact)
        if response.status >= 300:
            counters["gateway_registrations_failed"] += 1
            self.context.logger.warning("%s not registered on the gateway: %r", aor, response)

    def _proof(self, register: Request, response: Response, aor: SipUri) -> tuple[bytes, bytes] | None:
        """The header line that answers the gateway's challenge, and its name."""
        if self._secrets is None or aor.user is None:
            return None
        if response.status == 401:
            asked, name, title = H.WWW_AUTHENTICATE, H.AUTHORIZATION, b"Authorization: "
        else:
            asked, name, title = H.PROXY_AUTHENTICATE, H.PROXY_AUTHORIZATION, b"Proxy-Authorization: "
        user = unescape(aor.user)
        for challenge in _challenges(response, asked):
            ha1 = self._secrets.ha1(user, aor.host, challenge.algorithm, challenge.realm)
            if ha1 is not None:
                uri = decode(register.uri_raw)
                return name, title + answer(challenge, user, ha1, "REGISTER", uri, secrets.token_hex(8))
        return None

    # --- calls from the gateway --------------------------------------------------------------------------

    def _lead_back(self, request: Request) -> None:
        """Put the user's domain here in the request URI and To."""
        uri = request.uri
        domain = uri.param(self._param)
        if not domain:
            return
        params = {name: value for name, value in uri.params.items() if name != self._param}
        moved = SipUri(uri.scheme, uri.user, domain.lower(), None, params, uri.headers, uri.password)
        request.uri_raw = SipUri.parse(moved.raw).raw  # the gateway's text may be no host name
        to = request.to
        if scheme_of(to.uri_raw) in ("sip", "sips"):
            value = unfold(request.require(H.TO))
            request.set(H.TO, b"To: " + replace_uri(value, to.uri_raw, _moved(to.uri, moved.host)))
        self.context.counters["gateway_domain_rewrites"] += 1


def _moved(uri: SipUri, domain: str) -> bytes:
    return uri.with_address(domain, uri.port).raw


def _challenges(response: Response, asked: bytes) -> list[Challenge]:
    """Those that we can answer, in the server's order."""
    found: list[Challenge] = []
    for name, line in zip(response.names, response.lines, strict=True):
        if name == asked:
            try:
                challenge = parse_challenge(line.partition(b":")[2])
            except SipError:
                continue
            if challenge.algorithm.removesuffix("-SESS") in ALGORITHMS:
                found.append(challenge)
    return found
