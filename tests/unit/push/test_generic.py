"""A push service of one's own: fields in its address, HTTP/1.1 and HTTP/2, and what strangers may not do to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import pytest_asyncio

from flexipy.push import http as http_module
from flexipy.push.generic import Generic
from flexipy.push.http import HttpClient, tls_context
from flexipy.push.http_proxy import HttpProxy
from flexipy.push.http_response import MOST_BODY
from flexipy.push.parameters import PushTarget
from flexipy.push.provider import ProviderError
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest
from tests.harness.certificates import Authority
from tests.harness.fake_apns import FakeApns
from tests.harness.https_service import HttpAnswer, HttpsService

TARGET = PushTarget("apns", "org.app", "TEAM", "a1" * 8, "b2" * 8)


def push(**more: Any) -> PushRequest:
    facts: dict[str, Any] = {
        "call_id": "c 1",
        "from_uri": "sip:door@house.test",
        "from_name": "Front & back",
        "from_tag": "t1",
        "to_uri": "sip:bob@house.test",
        "text": "IC_MSG",
        "sound": "ring.caf",
        "device": "urn:uuid:1",
    }
    return PushRequest(TARGET, PushKind.VOIP, PushEvent.CALL, **facts | more)


@pytest_asyncio.fixture
async def service(tmp_path: Path, authority: Authority) -> AsyncIterator[HttpsService]:
    async with HttpsService(tmp_path, authority, lambda _: HttpAnswer()) as made:
        yield made


@pytest_asyncio.fixture
async def http(authority: Authority) -> AsyncIterator[HttpClient]:
    client = HttpClient(tls_context(str(authority.file)))
    yield client
    await client.close()


def test_each_field_stands_for_its_fact() -> None:
    names = [
        "type",
        "event",
        "from-name",
        "from-uri",
        "from-tag",
        "callid",
        "call-id",
        "to-uri",
        "api-key",
        "msgid",
        "sound",
        "uid",
        "token",
        "app-id",
    ]
    template = "https://h.example/$type/$event?" + "&".join(f"{name}=${name}" for name in names)
    url = Generic(template, "GET", HttpClient(tls_context())).url(push())
    facts = dict(part.split("=") for part in urlsplit(url).query.split("&"))
    assert urlsplit(url).path == "/apple/call"
    assert {name: unquote(value) for name, value in facts.items()} == {
        "type": "apple",
        "event": "call",
        "from-name": "Front & back",
        "from-uri": "sip:door@house.test",
        "from-tag": "t1",
        "callid": "c 1",
        "call-id": "c 1",
        "to-uri": "sip:bob@house.test",
        "api-key": "",
        "msgid": "IC_MSG",
        "sound": "ring.caf",
        "uid": "urn:uuid:1",
        "token": "a1" * 8,
        "app-id": "org.app",
    }


@pytest.mark.parametrize("bad", ["../../admin", "a\r\nX: y", "?x=1#f", "\ud800", "http://127.0.0.1/", "ü\x00"])
def test_what_strangers_write_stays_within_its_field(bad: str) -> None:
    generic = Generic("https://h.example/push/$from-name/end", "GET", HttpClient(tls_context()))
    url = generic.url(push(from_name=bad))
    parts = urlsplit(url)
    assert (parts.netloc, parts.query, parts.fragment) == ("h.example", "", "")
    assert parts.path.count("/") == 3
    assert url.isascii()
    assert url.isprintable()


@pytest.mark.parametrize("bad", ["..", ".", "../x", "a/../b", "..\\x"])
def test_no_field_leads_to_another_path_of_the_service(bad: str) -> None:
    generic = Generic("https://h.example/push/$from-name/end", "GET", HttpClient(tls_context()))
    decoded = unquote(urlsplit(generic.url(push(from_name=bad))).path).replace("\\", "/")
    assert not {".", ".."} & set(decoded.split("/"))
    assert generic.url(push(from_name="Dr. No")) == "https://h.example/push/Dr.%20No/end"


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("ftp://h/", "does not begin with http"),
        ("http:///x", "does not begin with http"),
        ("http://$to-uri/", "the host cannot be taken"),
        ("http://h:$uid/", "the host cannot be taken"),
        ("http://h/a b", "printable"),
        ("http://h/$nonsense", "no field \\$nonsense"),
    ],
)
def test_a_template_that_is_none_is_told(template: str, complaint: str) -> None:
    with pytest.raises(ProviderError, match=complaint):
        Generic(template, "GET", HttpClient(tls_context()))


async def test_get_and_post(service: HttpsService, http: HttpClient) -> None:
    for method, body in (("GET", b""), ("POST", "Grüße".encode())):
        generic = Generic(f"{service.url}/$event", method, http)
        assert (await generic.send(push(body="Grüße"))).outcome is Outcome.SENT
        asked = service.requests.seen[-1]
        assert (asked.method, asked.target, asked.body) == (method, "/call", body)
    assert service.connections == 1


async def test_a_service_without_tls(tmp_path: Path, authority: Authority, http: HttpClient) -> None:
    async with HttpsService(tmp_path, authority, lambda _: HttpAnswer(204), tls=False) as plain:
        assert (await Generic(f"{plain.url}/", "GET", http).send(push())).outcome is Outcome.SENT


async def test_http2_where_the_service_speaks_it(apns: FakeApns, authority: Authority) -> None:
    client = HttpClient(tls_context(str(authority.file)), http2=True)
    generic = Generic(f"https://{apns.address}/3/device/$token", "POST", client)
    for _ in range(3):
        # Apple's stand-in speaks HTTP/2 and asks for a signed token, which nobody gives it here.
        assert (await generic.send(push(body="x"))).said == "403"
    assert apns.connections == 1
    assert apns.pushes.seen[0].headers[":authority"] == apns.address
    apns.hang_up()
    assert (await generic.send(push(body="x"))).said == "403"
    apns.resets = 1
    assert (await generic.send(push(body="x"))).outcome is Outcome.LATER
    await client.close()


async def test_http1_where_the_service_does_not_speak_http2(service: HttpsService, authority: Authority) -> None:
    client = HttpClient(tls_context(str(authority.file)), http2=True)
    assert (await Generic(f"{service.url}/", "GET", client).send(push())).outcome is Outcome.SENT
    await client.close()


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(201, Outcome.SENT), (302, Outcome.REFUSED), (404, Outcome.REFUSED), (429, Outcome.LATER), (500, Outcome.LATER)],
)
async def test_statuses(service: HttpsService, http: HttpClient, status: int, outcome: Outcome) -> None:
    service.answer = lambda _: HttpAnswer(status, b"", (("Location", "http://169.254.169.254/"),))
    assert (await Generic(f"{service.url}/", "GET", http).send(push())).outcome is outcome
    assert len(service.requests.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        None,
        HttpAnswer(200, b"", (("Content-Length", "99999999999"),)),
        HttpAnswer(200, b"x" * (MOST_BODY + 1), (), True),
    ],
)
async def test_an_answer_that_cannot_be_read_is_none(
    service: HttpsService, http: HttpClient, answer: HttpAnswer | None
) -> None:
    service.answer = lambda _: answer
    result = await Generic(f"{service.url}/", "GET", http).send(push())
    assert result.outcome is Outcome.LATER


async def raw_service(answer: bytes) -> asyncio.Server:
    """Says the same to everybody, again and again, as long as anybody listens."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head, _, endless = answer.partition(b"|")
        writer.write(head)
        with contextlib.suppress(ConnectionError):
            while endless:
                writer.write(endless)
                await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n|x-a: b\r\n",
        b"HTTP/1.1 200 OK\r\nx: |aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n|400\r\n" + b"x" * 0x400 + b"\r\n",
        b"|HTTP/1.1 100 Continue\r\n\r\n",
        b"|garbage",
    ],
)
async def test_an_answer_without_end_is_given_up(
    http: HttpClient, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "TIMEOUT", 0.3)
    async with await raw_service(answer) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert (await Generic(url, "GET", http).send(push())).outcome is Outcome.LATER


async def test_a_body_without_end_is_read_so_far_and_no_further(http: HttpClient) -> None:
    async with await raw_service(b"HTTP/1.1 200 OK\r\n\r\n|xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert len((await http.request("GET", url, {})).body) <= MOST_BODY


async def test_connections_to_invented_hosts_do_not_pile_up(
    service: HttpsService, http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "_MOST_ORIGINS", 1)
    async with HttpsService(Path(service.certificate).parent, service.authority, lambda _: HttpAnswer()) as other:
        for url in (service.url, other.url, service.url, other.url):
            await http.request("GET", url, {})
        assert (service.connections, other.connections) == (2, 2)
    assert len(http._idle) == 1


def test_tokens_and_passwords_do_not_get_into_logs(tmp_path: Path) -> None:
    target = PushTarget("webpush", "app", "team", "secret1", "secret2", browser_key="secret3", browser_secret="secret4")
    request = PushRequest(target, PushKind.ALERT, PushEvent.MESSAGE, body="secret5")
    assert "secret" not in repr(request)
    assert "secret" not in repr(HttpProxy("h", 1, "me", "secret"))


async def test_a_service_with_a_strange_certificate_is_not_told_anything(service: HttpsService) -> None:
    client = HttpClient(tls_context())
    result = await Generic(f"{service.url}/", "GET", client).send(push())
    assert result.outcome is Outcome.LATER
    assert "not trusted" in result.meaning
    assert service.requests.seen == []


async def test_an_address_that_would_be_too_long_is_not_asked(service: HttpsService, http: HttpClient) -> None:
    generic = Generic(f"{service.url}/$from-name", "GET", http)
    assert (await generic.send(push(from_name="x" * 9000))).outcome is Outcome.REFUSED
    assert service.requests.seen == []
