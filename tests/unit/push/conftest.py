"""Keys and services that the tests of pushes share."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from flexipy.push.apns import Apple
from flexipy.push.apns_keys import load_keys
from tests.harness.certificates import Authority
from tests.harness.fake_apns import FakeApns


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest_asyncio.fixture
async def apns(tmp_path: Path, authority: Authority) -> AsyncIterator[FakeApns]:
    async with FakeApns(tmp_path, authority) as service:
        yield service


@pytest_asyncio.fixture
async def apple(tmp_path: Path, authority: Authority, apns: FakeApns) -> AsyncIterator[Apple]:
    """Reaches the fake service with whatever keys lie in `tmp_path / "keys"`."""

    def context() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=authority.file)

    keys = tmp_path / "keys"
    made = Apple(load_keys(keys), keys, apns.address, apns.address, context)
    yield made
    await made.close()
