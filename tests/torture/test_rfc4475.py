"""The torture test messages of RFC 4475, each sent to a proxy or, if it is a REGISTER, to a registrar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from flexipy.modules.forward import Forward
from flexipy.modules.registrar import RegistrarModule
from flexipy.modules.router import Router
from flexipy.modules.sanity_checker import SanityChecker
from flexipy.sip.message import Request, Response
from flexipy.sip.parsing import parse
from tests.harness.fake_network import FakeFlow, FakeProxy

MESSAGES = Path(__file__).parent / "messages"
ELSEWHERE = ("192.0.2.200", 5060)
NAMES = (
    "chair-dnrc.example.com",
    "company.com",
    "example.com",
    "example.net",
    "example.org",
    "registrar.example.com",
    "services.example.com",
)

FORWARDED = "forwarded"
DISCARDED = "discarded"


@dataclass(frozen=True)
class Expected:
    """What RFC 4475 asks for.

    Attributes:
        section: of the RFC.
        outcome: FORWARDED, DISCARDED (no word about it to anybody) or the status of the answer.
    """

    section: str
    outcome: str | int


EXPECTED = {
    # 3.1.1: unusual, but valid
    "wsinv": Expected("3.1.1.1", FORWARDED),
    "intmeth": Expected("3.1.1.2", FORWARDED),
    "esc01": Expected("3.1.1.3", FORWARDED),
    "escnull": Expected("3.1.1.4", 200),
    "esc02": Expected("3.1.1.5", FORWARDED),  # RE%47IST%45R is no REGISTER
    "lwsdisp": Expected("3.1.1.6", FORWARDED),
    "longreq": Expected("3.1.1.7", FORWARDED),
    "dblreq": Expected("3.1.1.8", 200),  # what follows in the datagram is not looked at
    "semiuri": Expected("3.1.1.9", FORWARDED),
    "transports": Expected("3.1.1.10", FORWARDED),
    "mpart01": Expected("3.1.1.11", FORWARDED),
    "unreason": Expected("3.1.1.12", DISCARDED),  # a good response to a request that was never sent
    "noreason": Expected("3.1.1.13", DISCARDED),  # the same
    # 3.1.2: invalid
    "badinv01": Expected("3.1.2.1", 400),
    "clerr": Expected("3.1.2.2", 400),
    "ncl": Expected("3.1.2.3", 400),
    "scalar02": Expected("3.1.2.4", 400),
    "scalarlg": Expected("3.1.2.5", DISCARDED),
    "quotbal": Expected("3.1.2.6", 400),
    "ltgtruri": Expected("3.1.2.7", 400),
    "lwsruri": Expected("3.1.2.8", 400),
    "lwsstart": Expected("3.1.2.9", 400),
    "trws": Expected("3.1.2.10", FORWARDED),  # or 400; white space at the end harms nobody
    "escruri": Expected("3.1.2.11", 400),
    "baddate": Expected("3.1.2.12", FORWARDED),  # a proxy has no use for Date and should not look at it
    "regbadct": Expected("3.1.2.13", 400),
    "badaspec": Expected("3.1.2.14", FORWARDED),  # or 400; what is meant is beyond doubt
    "baddn": Expected("3.1.2.15", 400),  # or guess what is meant
    "badvers": Expected("3.1.2.16", 505),
    "mismatch01": Expected("3.1.2.17", 400),
    "mismatch02": Expected("3.1.2.18", 400),
    "bigcode": Expected("3.1.2.19", DISCARDED),
    # 3.2: transactions
    "badbranch": Expected("3.2.1", FORWARDED),  # matched like a request of RFC 2543
    # 3.3: to be judged by the application
    "insuf": Expected("3.3.1", 400),
    "unkscm": Expected("3.3.2", 416),
    "novelsc": Expected("3.3.3", 416),
    "unksm2": Expected("3.3.4", 400),
    "bext01": Expected("3.3.5", 420),
    "invut": Expected("3.3.6", FORWARDED),  # 415 is for the callee to say
    "regaut01": Expected("3.3.7", 200),  # nobody asked for credentials
    "multi01": Expected("3.3.8", 400),
    "mcl01": Expected("3.3.9", 400),
    "bcast": Expected("3.3.10", DISCARDED),
    "zeromf": Expected("3.3.11", 483),
    "cparam01": Expected("3.3.12", 200),
    "cparam02": Expected("3.3.13", 200),
    "regescrt": Expected("3.3.14", 200),
    "sdp01": Expected("3.3.15", FORWARDED),  # 406 is for the callee to say
    # 3.4: backward compatibility
    "inv2543": Expected("3.4.1", FORWARDED),
}


class Stage:
    """A proxy, and the remote that the message comes from."""

    def __init__(self, proxy: FakeProxy, client: FakeFlow) -> None:
        self.proxy = proxy
        self.client = client

    @property
    def answers(self) -> list[Response]:
        """Everything that was sent back, but for 100 Trying; also to another port of the sender."""
        host = self.client.remote[0]
        back = [flow for flow in self.proxy.network.flows if flow.remote[0] == host]
        return [response for flow in back for response in flow.responses if response.status > 100]

    @property
    def forwarded(self) -> list[Request]:
        return [request for flow in self.proxy.network.flows for request in flow.requests]

    async def send(self, data: bytes) -> None:
        self.client.sends(data)
        await self.proxy.settle()


@pytest_asyncio.fixture
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    data = message(request.node.callspec.params["name"])
    managed = "example.com" if data.startswith(b"REGISTER") else "home.invalid"
    proxy = FakeProxy(
        [SanityChecker, RegistrarModule, Router, Forward],
        [f"module::Registrar/reg-domains={managed}"],
        hosts={name: [ELSEWHERE[0]] for name in NAMES},
        state=tmp_path,
    )
    await proxy.start()
    transport = b"TCP" if b"/TCP" in data.partition(b"\r\n\r\n")[0] else b"UDP"
    yield Stage(proxy, proxy.client("203.0.113.5", 5060, transport))
    await proxy.stop()


def message(name: str) -> bytes:
    return (MESSAGES / f"{name}.dat").read_bytes()


def names_with(*outcomes: str | int) -> list[str]:
    return [name for name, expected in EXPECTED.items() if expected.outcome in outcomes]


STATUSES = tuple({expected.outcome for expected in EXPECTED.values()} - {FORWARDED, DISCARDED})


def test_every_message_of_the_rfc_has_an_expectation() -> None:
    assert {path.stem for path in MESSAGES.glob("*.dat")} == EXPECTED.keys()
    assert len(EXPECTED) == 49


@pytest.mark.parametrize("name", names_with(FORWARDED))
async def test_request_is_forwarded_as_it_came(stage: Stage, name: str) -> None:
    original = parse(message(name))
    assert isinstance(original, Request)
    await stage.send(message(name))
    assert stage.answers == []
    (copy,) = stage.forwarded
    assert (copy.method, copy.uri_raw, copy.body) == (original.method, original.uri_raw, original.body)
    changed = (b"via", b"max-forwards", b"record-route")
    kept = [line for header, line in zip(original.names, original.lines, strict=True) if header not in changed]
    assert [line for line in copy.lines if line in kept] == kept


@pytest.mark.parametrize("name", names_with(*STATUSES))
async def test_request_is_answered(stage: Stage, name: str) -> None:
    await stage.send(message(name))
    assert stage.forwarded == []
    assert [response.status for response in stage.answers] == [EXPECTED[name].outcome]


@pytest.mark.parametrize("name", names_with(DISCARDED))
async def test_response_is_discarded(stage: Stage, name: str) -> None:
    await stage.send(message(name))
    assert [flow.sent for flow in stage.proxy.network.flows if flow.sent] == []
    counters = stage.proxy.counters
    assert counters["stray_responses"] + counters["unreadable_messages"] == 1


@pytest.mark.parametrize("name", ["bext01"])
async def test_answer_names_the_extensions_that_no_proxy_has(stage: Stage, name: str) -> None:
    await stage.send(message(name))
    (answer,) = stage.answers
    # Those of Require concern the callee only.
    assert answer.get(b"unsupported") == b"noProxiesSupportThis, norDoAnyProxiesSupportThis"


@pytest.mark.parametrize("name", ["cparam01", "cparam02"])
async def test_contact_parameter_belongs_to_header_or_uri(stage: Stage, name: str) -> None:
    await stage.send(message(name))
    (answer,) = stage.answers
    (contact,) = answer.contacts()
    assert ("unknownparam" in contact.uri.params) == (name == "cparam02")


@pytest.mark.parametrize("name", ["regescrt"])
async def test_contact_keeps_its_escaped_header_and_calls_leave_without(stage: Stage, name: str) -> None:
    await stage.send(message(name))
    (answer,) = stage.answers
    (contact,) = answer.contacts()
    assert contact.uri_raw == b"sip:user@example.com?Route=%3Csip:sip.example.com%3E"
    call = message("inv2543").replace(b"UserB@example.com", b"user@example.com")
    stage.client.sends(call.replace(b"INVITE sip:UserB@example.com", b"INVITE sip:user@example.com"))
    await stage.proxy.settle()
    assert [request.uri_raw for request in stage.forwarded] == [b"sip:user@example.com"]


@pytest.mark.parametrize("name", ["escnull"])
async def test_contacts_with_escaped_nulls_are_two(stage: Stage, name: str) -> None:
    await stage.send(message(name))
    (answer,) = stage.answers
    assert {contact.uri_raw for contact in answer.contacts()} == {
        b"sip:%00@host5.example.com",
        b"sip:%00%00@host5.example.com",
    }


@pytest.mark.parametrize("name", ["badbranch"])
async def test_retransmission_without_a_branch_is_known_again(stage: Stage, name: str) -> None:
    await stage.send(message(name))
    await stage.send(message(name))
    assert len(stage.forwarded) == 1
