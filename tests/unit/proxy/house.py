"""A house with phones, for tests of forking: who registers where, who rings, who answers what."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from flexipy.modules.forward import Forward
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from flexipy.sip.message import Request, Response
from tests.harness.fake_network import FakeFlow, FakeProxy, request

DOMAIN = "house.test"
_numbers = itertools.count(1)


class Phone:
    """A phone: its flow, and what it got and answers."""

    def __init__(self, proxy: FakeProxy, ip: str) -> None:
        self.flow: FakeFlow = proxy.client(ip)
        self.ip = ip

    @property
    def methods(self) -> list[str]:
        return [sent.method.decode() for sent in self.flow.requests]

    @property
    def rings(self) -> bool:
        return "INVITE" in self.methods

    def last(self, method: str) -> Request:
        return next(sent for sent in reversed(self.flow.requests) if sent.method == method.encode())

    def answers(
        self, status: int, headers: Sequence[tuple[str, str]] = (), method: str = "", tag: str = ""
    ) -> Response:
        """Answer the last request of a method, the call or message by default."""
        asked = (
            self.last(method)
            if method
            else next(sent for sent in reversed(self.flow.requests) if sent.method not in (b"ACK", b"CANCEL"))
        )
        response = Response.to_request(asked, status, "", (tag or f"of-{self.ip}").encode())
        for name, value in headers:
            response.append(name.lower().encode(), f"{name}: {value}".encode())
        self.flow.sends(response)
        return response


class House:
    """A proxy, a caller and the phones of bob.

    Args:
        proxy: started, see `open_house`.
    """

    def __init__(self, proxy: FakeProxy) -> None:
        self.proxy = proxy
        self.caller = proxy.client("203.0.113.5")
        self.invite: Request | None = None

    def phone(self, ip: str, parameters: str = "", user: str = "bob") -> Phone:
        """Register a phone."""
        phone = Phone(self.proxy, ip)
        aor = f"<sip:{user}@{DOMAIN}>"
        headers = [("Contact", f"<sip:{user}@{ip}>{parameters}"), ("Expires", "3600")]
        via = f"SIP/2.0/UDP {ip}:5060;rport"
        cseq = next(_numbers)
        phone.flow.sends(
            request("REGISTER", f"sip:{DOMAIN}", headers, via=via, sender=f"{aor};tag=1", to=aor, cseq=cseq)
        )
        assert phone.flow.last_response.status == 200
        return phone

    def calls(self, headers: Sequence[tuple[str, str]] = (), user: str = "bob", method: str = "INVITE") -> Request:
        """The caller sends an INVITE, or something else."""
        sent = request(method, f"sip:{user}@{DOMAIN}", headers)
        self.invite = sent
        self.caller.sends(sent)
        return sent

    def hangs_up(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """The caller cancels its INVITE."""
        assert self.invite is not None
        cancel = self.invite.copy()
        cancel.method = b"CANCEL"
        cancel.set(b"cseq", b"CSeq: 1 CANCEL")
        for name, value in headers:
            cancel.append(name.lower().encode(), f"{name}: {value}".encode())
        self.caller.sends(cancel)

    def heard(self, method: str = "") -> list[int]:
        """What the caller heard of its request; 100 aside, and a refusal, which is repeated until its ACK, once."""
        wanted = method or ("INVITE" if self.invite is None else self.invite.method.decode())
        found = [each.status for each in self.caller.responses if each.status > 100 and each.cseq.method == wanted]
        return [status for place, status in enumerate(found) if status < 300 or status not in found[:place]]

    @property
    def open_transactions(self) -> int:
        return len(self.proxy.agent.layer.servers) + len(self.proxy.agent.layer.clients)


async def open_house(make_proxy: Any, *settings: str) -> House:
    """A house whose proxy does what every proxy does."""
    return House(
        await make_proxy([RegistrarModule, Router, Forward], f"module::Registrar/reg-domains={DOMAIN}", *settings)
    )
