"""AuthTrustedHosts: requests from hosts that the operator trusts need no authentication."""

from __future__ import annotations

from flexipy.proxy.api import Module, ModuleContext, ModuleError, RequestEvent, SipError, SipUri, string_list
from flexipy.sip.params import encode


class AuthTrustedHosts(Module):
    """Mark requests as trusted."""

    name = "AuthTrustedHosts"
    help = (
        "Marks requests that come from trusted hosts, which are then neither challenged nor refused for want of an "
        "account. The nodes of the cluster and the presence server are trusted where those are enabled."
    )
    parameters = (
        string_list(
            "trusted-hosts",
            "",
            "The trusted hosts: addresses, networks such as `192.0.2.0/24`, host names, or `${section/parameter}` for "
            "all that another parameter lists.",
        ),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        self._hosts = context.host_set("trusted-hosts", *self._implied())

    def _implied(self) -> list[str]:
        hosts: list[str] = []
        cluster = self.context.section("cluster")
        if cluster.boolean("enabled"):
            hosts += cluster.strings("nodes")
        presence = self.context.section("module::Presence")
        if presence.boolean("enabled"):
            text = presence.string("presence-server")
            try:
                hosts.append(SipUri.parse(encode(text.strip("<>"))).host)
            except SipError as error:
                raise ModuleError(f"[module::Presence] presence-server: '{text}': {error}") from error
        return hosts

    async def start(self) -> None:
        """Look the names up."""
        await self.context.keep_resolved(self._hosts)

    def on_request(self, event: RequestEvent) -> None:
        """Mark it when it comes from a trusted address."""
        if event.flow.remote[0] in self._hosts:
            event.trusted = True
