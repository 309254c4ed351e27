"""Browsers are telephones too: over WebSocket, with JsSIP and with SIP.js, talking and seeing each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.harness.browser import KINDS, Browser, BrowserPhone
from tests.harness.server import Server

pytestmark = pytest.mark.timeout(180)  # the first time the libraries are fetched

BOTH_WAYS = [("jssip", "sipjs"), ("sipjs", "jssip")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for all stories; each opens pages of its own."""
    running = Browser()
    yield running
    running.stop()


@pytest.mark.parametrize("transport", ["ws", "wss"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_page_registers_and_leaves(server: Server, browser: Browser, kind: str, transport: str) -> None:
    async with BrowserPhone(browser, server, "alice", kind, transport) as alice:
        (contact,) = json.loads(server.cli(f"REGISTRAR_GET {alice.uri}"))["contacts"]
        # It cannot know its own address (RFC 7118 section 5): we have put in where it came from.
        assert "@127.0.0.1:" in contact["contact"]
        assert ";transport=ws" in contact["contact"]
        await alice.command("unregister")
        await alice.event("unregistered")
        assert json.loads(server.cli("REGISTRAR_DUMP")) == {"aors": []}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_page_with_a_wrong_password_is_refused(server: Server, browser: Browser, kind: str) -> None:
    alice = await BrowserPhone(browser, server, "alice", kind, password="wrong").start()
    await alice.event("refused")
    assert not alice.has_told("registered")
    await alice.stop()


@pytest.mark.parametrize(("calling", "called"), BOTH_WAYS)
@pytest.mark.parametrize(("callers", "callees"), [("ws", "wss"), ("wss", "ws"), ("ws", "ws"), ("wss", "wss")])
async def test_pages_talk_and_see_each_other(
    server: Server, browser: Browser, calling: str, called: str, callers: str, callees: str
) -> None:
    alice = BrowserPhone(browser, server, "alice", calling, callers)
    bob = BrowserPhone(browser, server, "bob", called, callees)
    async with alice, bob:
        await alice.call(bob.uri)
        assert (await bob.event("incoming"))["from"] == alice.uri
        await bob.answer()
        await asyncio.gather(alice.event("established"), bob.event("established"))
        await asyncio.gather(alice.receives("audio", "video"), bob.receives("audio", "video"))
        hanging_up, other = (alice, bob) if callers == "ws" else (bob, alice)
        await hanging_up.hang_up()
        await asyncio.gather(other.event("ended"), hanging_up.event("ended"))


@pytest.mark.parametrize(("calling", "called"), BOTH_WAYS)
async def test_pages_that_cannot_reach_each_other_talk_through_the_relay(
    server: Server, browser: Browser, calling: str, called: str
) -> None:
    alice = BrowserPhone(browser, server, "alice", calling, "wss")
    bob = BrowserPhone(browser, server, "bob", called, "wss")
    async with alice, bob:
        await asyncio.gather(alice.command("takeRelayedPathsOnly"), bob.command("takeRelayedPathsOnly"))
        await alice.call(bob.uri)
        await bob.event("incoming")
        await bob.answer()
        await asyncio.gather(alice.event("established"), bob.event("established"))
        await asyncio.gather(alice.receives("audio", "video"), bob.receives("audio", "video"))
        await alice.hang_up()
        await bob.event("ended")
        assert json.loads(server.cli("RELAY_LIST")) == {"calls": []}


@pytest.mark.parametrize(("calling", "called"), BOTH_WAYS)
async def test_a_page_declines_a_call(server: Server, browser: Browser, calling: str, called: str) -> None:
    alice = BrowserPhone(browser, server, "alice", calling, "wss")
    bob = BrowserPhone(browser, server, "bob", called)
    async with alice, bob:
        await alice.call(bob.uri)
        await bob.event("incoming")
        await bob.hang_up()
        await alice.event("failed")


@pytest.mark.parametrize(("calling", "called"), BOTH_WAYS)
async def test_a_caller_gives_up(server: Server, browser: Browser, calling: str, called: str) -> None:
    alice = BrowserPhone(browser, server, "alice", calling)
    bob = BrowserPhone(browser, server, "bob", called, "wss")
    async with alice, bob:
        await alice.call(bob.uri)
        await bob.event("incoming")
        await alice.hang_up()
        await bob.event("failed" if called == "jssip" else "ended")


@pytest.mark.parametrize(("sending", "receiving"), BOTH_WAYS)
async def test_pages_send_each_other_texts(server: Server, browser: Browser, sending: str, receiving: str) -> None:
    alice = BrowserPhone(browser, server, "alice", sending)
    bob = BrowserPhone(browser, server, "bob", receiving, "wss")
    async with alice, bob:
        assert await alice.message(bob.uri, "Grüße, 你好!") == 200
        message = await bob.event("message")
        assert message["text"] == "Grüße, 你好!"
        assert message["from"] == alice.uri


async def test_a_closed_page_is_not_available(server: Server, browser: Browser) -> None:
    alice = BrowserPhone(browser, server, "alice", "jssip")
    async with alice:
        assert json.loads(server.cli(f"REGISTRAR_GET {alice.uri}"))["contacts"]
    async with BrowserPhone(browser, server, "bob", "sipjs", "wss") as bob:
        await bob.call(alice.uri)
        assert (await bob.event("failed"))["status"] == 480
