"""Push services behind an HTTP proxy."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from flexipy.push import apns as apns_module
from flexipy.push import http as http_module
from flexipy.push.apns import Apple
from flexipy.push.apns_keys import load_keys
from flexipy.push.http import HttpClient, HttpError, tls_context
from flexipy.push.http_proxy import HttpProxy
from flexipy.push.request import Outcome
from tests.harness.certificates import Authority
from tests.harness.connect_proxy import ConnectProxy
from tests.harness.fake_apns import FakeApns
from tests.harness.https_service import HttpAnswer, HttpsService
from tests.harness.push_keys import signing_key
from tests.unit.push.test_apns import KEY, TEAM, push


def client(authority: Authority, proxy: ConnectProxy, *account: str) -> HttpClient:
    context = tls_context(str(authority.file))
    return HttpClient(context, proxy=HttpProxy("127.0.0.1", proxy.port, *account))


@pytest.mark.parametrize("tls", [True, False])
async def test_a_service_is_reached_through_the_proxy(tmp_path: Path, authority: Authority, tls: bool) -> None:
    async with HttpsService(tmp_path, authority, lambda _: HttpAnswer(200, b"hello"), tls) as service:
        async with ConnectProxy("me", "secret") as proxy:
            http = client(authority, proxy, "me", "secret")
            assert (await http.request("POST", f"{service.url}/x", {}, b"body")).body == b"hello"
            assert (await http.request("GET", f"{service.url}/y", {})).body == b"hello"
            assert proxy.asked == [f"localhost:{service.port}"], "one connection serves both"
            await http.close()
        assert service.requests.seen[0].body == b"body"


async def test_the_certificate_is_that_of_the_service(tmp_path: Path, authority: Authority) -> None:
    stranger = Authority(tmp_path)
    async with HttpsService(tmp_path, stranger, lambda _: HttpAnswer(200)) as service, ConnectProxy() as proxy:
        http = client(authority, proxy)
        with pytest.raises(HttpError, match="not trusted"):
            await http.request("GET", service.url, {})
        assert not service.requests.seen


@pytest.mark.parametrize(
    ("refusal", "account", "said"),
    [
        ("403 Forbidden", ("me", "secret"), "does not let us through"),
        ("", ("me", "wrong"), "another user name or password"),
        ("", (), "another user name or password"),
    ],
)
async def test_what_the_proxy_says_is_understood(
    authority: Authority, refusal: str, account: tuple[str, ...], said: str
) -> None:
    async with ConnectProxy("me", "secret") as proxy:
        proxy.refusal = refusal
        with pytest.raises(HttpError, match=said) as caught:
            await client(authority, proxy, *account).request("GET", "https://localhost:1/", {})
        assert "wrong" not in str(caught.value)


async def test_a_proxy_that_cannot_be_reached_is_named(authority: Authority) -> None:
    async with ConnectProxy() as proxy:
        http = client(authority, proxy)
    with pytest.raises(HttpError, match=f"proxy 127.0.0.1:{proxy.port} cannot be reached"):
        await http.request("GET", "https://localhost:1/", {})


async def test_what_is_no_proxy_is_not_waited_for(authority: Authority) -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 100_000)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(chatter, "127.0.0.1", 0)
    async with server:
        http = HttpClient(tls_context(), proxy=HttpProxy("127.0.0.1", server.sockets[0].getsockname()[1]))
        with pytest.raises(HttpError, match="did not answer as an HTTP proxy"):
            await http.request("GET", "https://localhost:1/", {})


async def test_a_silent_proxy_is_given_up(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "TIMEOUT", 0.2)
    async with ConnectProxy() as proxy:
        proxy.silent = True
        with pytest.raises(HttpError, match="did not answer within"):
            await client(authority, proxy).request("GET", "https://localhost:1/", {})


@pytest.fixture
def open_apple(tmp_path: Path, authority: Authority, apns: FakeApns) -> Any:
    keys = tmp_path / "keys"
    apns.trust(KEY, TEAM, signing_key(keys, KEY))

    def make(proxy: ConnectProxy) -> Apple:
        def context() -> ssl.SSLContext:
            return tls_context(str(authority.file))

        way = HttpProxy("127.0.0.1", proxy.port)
        return Apple(load_keys(keys), keys, apns.address, apns.address, context, proxy=way)

    return make


async def test_apple_is_reached_through_the_proxy(open_apple: Any, apns: FakeApns) -> None:
    async with ConnectProxy() as proxy:
        apple = open_apple(proxy)
        assert (await apple.send(push())).outcome is Outcome.SENT
        assert proxy.asked == [apns.address]
        await apple.close()


async def test_a_proxy_that_refuses_apple_is_named(open_apple: Any) -> None:
    async with ConnectProxy() as proxy:
        proxy.refusal = "403 Forbidden"
        apple = open_apple(proxy)
        result = await apple.send(push())
        assert result.outcome is Outcome.LATER
        assert f"the proxy 127.0.0.1:{proxy.port} does not let us through (403)" in result.meaning
        await apple.close()


async def test_a_proxy_that_is_silent_about_apple_is_given_up(open_apple: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apns_module, "TIMEOUT", 0.2)
    async with ConnectProxy() as proxy:
        proxy.silent = True
        apple = open_apple(proxy)
        assert (await apple.send(push())).outcome is Outcome.LATER
        await apple.close()
