"""Tests of pipeline modules: a real agent, a fake network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from flexipy.proxy.module import Module
from tests.harness.fake_network import FakeProxy

MakeProxy = Callable[..., Awaitable[FakeProxy]]


@pytest_asyncio.fixture
async def make_proxy(tmp_path: Path) -> AsyncIterator[MakeProxy]:
    """Makes started proxies; they are stopped after the test."""
    made: list[FakeProxy] = []

    async def make(modules: Sequence[type[Module]], *settings: str, **options: Any) -> FakeProxy:
        proxy = FakeProxy(modules, settings, state=tmp_path, **options)
        made.append(proxy)
        return await proxy.start()

    yield make
    for proxy in made:
        await proxy.stop()


@pytest.fixture(autouse=True)
def _no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks a real name server."""

    async def nothing(*_: object) -> None:
        from flexipy.transport.errors import ResolutionError

        raise ResolutionError("no such name")

    monkeypatch.setattr("flexipy.transport.resolver.Resolver._search", nothing)
