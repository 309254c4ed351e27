"""Forward: the last step, which sends a request on its way.

The next hop is the topmost Route, else the routes file's, else the request URI.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flexipy.config.errors import ConfigError
from flexipy.config.expression import FLAGS, compile_filter
from flexipy.proxy.api import Module, ModuleContext, ModuleError, RequestEvent, boolean, enum, string, string_list
from flexipy.sip import names as H
from flexipy.sip.errors import SipError
from flexipy.sip.headers import NameAddr, replace_uri
from flexipy.sip.message import unfold
from flexipy.sip.octets import SEMICOLON
from flexipy.sip.params import encode
from flexipy.sip.searching import has_parameter
from flexipy.sip.uri import SipUri, parse_host_port, scheme_of

if TYPE_CHECKING:
    from flexipy.config.subject import Filter

_CONDITIONS: Final = frozenset((*FLAGS, "true", "false"))  # single words that are no domain


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """One line of the routes file: requests to a domain, or that fit a condition, go to a next hop.

    Attributes:
        pattern: a domain, `*.domain` for those below it, or `*`.
        next_hop: where to; None leaves the request URI in charge.
        condition: a filter expression in the place of a domain; None for none.
    """

    pattern: str
    next_hop: SipUri | None
    condition: Filter | None = None

    def matches(self, event: RequestEvent, host: str) -> bool:
        """Whether a request for this host takes the route."""
        if self.condition is not None:
            return self.condition(event)
        if self.pattern == "*":
            return True
        if self.pattern.startswith("*."):
            return host.endswith(self.pattern[1:])
        return host == self.pattern


def parse_routes(text: str, filename: str) -> tuple[list[StaticRoute], list[str]]:
    """Read a routes file: `<sip:next-hop> domain` or `<sip:next-hop> filter expression`; the first that fits counts.

    `#` begins a comment. A line that begins with a space or tab goes on with the one before.

    Returns:
        The routes of the good lines, and a line for each mistake.
    """
    routes: list[StaticRoute] = []
    problems: list[str] = []
    for number, line in _joined(text):
        target, _, wanted = line.partition(" ")
        where = f"{filename}:{number}"
        if not wanted:
            problems.append(f"{where}: expected '<sip:next-hop> domain-or-condition', found '{line[:60]}'")
            continue
        try:
            routes.append(_route(target, wanted))
        except (SipError, ConfigError) as error:
            problems.append(f"{where}: {error} in '{line[:60]}'")
    return routes, problems


def _joined(text: str) -> list[tuple[int, str]]:
    """Number and text of each line, its continuations put behind it, comments and superfluous space taken off."""
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = " ".join(line.partition("#")[0].split())
        if not words:
            continue
        if line[:1] in (" ", "\t") and lines:
            first, before = lines[-1]
            lines[-1] = (first, f"{before} {words}")
        else:
            lines.append((number, words))
    return lines


def _route(target: str, wanted: str) -> StaticRoute:
    next_hop = _next_hop(target)
    if " " in wanted or "(" in wanted or wanted.lstrip("!") in _CONDITIONS:
        return StaticRoute("", next_hop, compile_filter(wanted))
    return StaticRoute(_pattern(wanted), next_hop)


def _pattern(text: str) -> str:
    if text in ("*", "default"):
        return "*"
    host, _ = parse_host_port(text.removeprefix("*."))
    return f"*.{host}" if text.startswith("*.") else host


def _next_hop(text: str) -> SipUri | None:
    text = text.removeprefix("<").removesuffix(">")
    return None if text == "*" else SipUri.parse(encode(text))


class Forward(Module):
    """Send requests on."""

    name = "Forward"
    help = (
        "Sends each request that no module answered to its next hop: the topmost Route header, a route of the routes "
        "file, or the address in the request line."
    )
    enabled_by_default = True
    parameters = (
        string(
            "routes-config-path",
            "",
            "A file with a route on each line, `<sip:next-hop> domain`: requests for the domain (`*.domain` for those "
            "below it, `*` for all) go to the next hop. In the place of the domain a filter expression may stand, as "
            "in `<sip:192.0.2.7> request.method == 'MESSAGE'`. The first line that fits counts.",
            aliases=("route", "routes"),
        ),
        boolean("add-path", "true", "Put a Path header on REGISTER requests that are sent on (RFC 3327)."),
        enum(
            "default-transport",
            "udp",
            "Transport toward addresses that name none and are found without DNS records telling better.",
            ("udp", "tcp", "tls"),
        ),
        string_list(
            "params-to-remove",
            "pn-tok pn-type app-id pn-msg-str pn-call-str pn-call-snd pn-msg-snd pn-timeout pn-silent "
            "pn-provider pn-prid pn-param pn-groupchat-str pn-missed-str pn-p256dh pn-auth",
            "Parameters taken off the request URI and Contact before the request leaves: what a device told this "
            "server alone, push tokens first of all.",
        ),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        values = context.values
        self._unwanted = frozenset(name.lower() for name in values.strings("params-to-remove"))
        # One look for `pn-` does for all push parameters.
        self._markers = tuple({b"pn-" if name.startswith("pn-") else encode(name) for name in self._unwanted})
        self._add_path = values.boolean("add-path")
        transport = values.string("default-transport")
        self._default_transport = "" if transport == "udp" else transport
        self._routes: list[StaticRoute] = []
        name = values.string("routes-config-path")
        self._routes_file = context.file(name) if name else None

    async def start(self) -> None:
        """Read the routes file."""
        problems = self.reload()
        if problems:
            raise ModuleError("\n".join(problems))

    def reload(self) -> list[str]:
        """Read the routes file anew; with mistakes in it the old routes stay."""
        if self._routes_file is None:
            return []
        try:
            text = Path(self._routes_file).read_text("utf-8")
        except (OSError, UnicodeError) as error:
            return [f"{self._routes_file}: cannot read the routes: {error}"]
        routes, problems = parse_routes(text, str(self._routes_file))
        if not problems:
            self._routes = routes
        return problems

    def on_request(self, event: RequestEvent) -> None:
        """Send it on."""
        request = event.request
        if self._unwanted:
            self._remove_params(event)
        if request.method == b"REGISTER" and self._add_path:
            self._put_path(event)
        if request.shape.route >= 0 or event.route_token or not (self._routes or self._default_transport):
            event.forward()
            return
        event.forward(self._static_next_hop(event))

    def _static_next_hop(self, event: RequestEvent) -> SipUri:
        uri = event.request.uri
        for route in self._routes:
            if route.matches(event, uri.host):
                return route.next_hop or uri
        if self._default_transport and "transport" not in uri.params and not uri.secure:
            return uri.with_params(transport=self._default_transport)
        return uri

    def _remove_params(self, event: RequestEvent) -> None:
        request = event.request
        raw = request.uri_raw
        if SEMICOLON in raw and has_parameter(raw, self._markers) and scheme_of(raw) in ("sip", "sips"):
            request.uri_raw = request.uri.without_params(self._unwanted).raw
        index = request.shape.contact
        if index < 0:
            return
        line = request.lines[index]
        if not has_parameter(line, self._markers) or request.method == b"REGISTER":
            return
        values = request.get_all(H.CONTACT)
        for place, raw in enumerate(values):
            if raw != b"*" and scheme_of((contact := NameAddr.parse(unfold(raw))).uri_raw) in ("sip", "sips"):
                stripped = contact.uri.without_params(self._unwanted).raw
                values[place] = replace_uri(raw, contact.uri_raw, stripped)
        request.set_values(H.CONTACT, b"Contact", values)

    def _put_path(self, event: RequestEvent) -> None:
        flow = event.flow
        token = event.incoming_token
        scheme, _, rest = flow.record_route_uri.partition(b":")
        uri = scheme + b":" + (token + b"@" if token else b"") + rest + (b";ob" if token else b"")
        request = event.request
        index = request.shape.at(H.PATH)
        request.insert(index if index >= 0 else len(request.lines), H.PATH, b"Path: <" + uri + b">")
