"""A server's transports on loopback, certificates made on the spot, a DNS server in the same process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from flexipy.transport.flow import Flow
from flexipy.transport.resolver import Resolver
from flexipy.transport.specs import parse_transport
from flexipy.transport.transports import TransportOptions, Transports

from .certificates import Authority

OPTIONS = (
    b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)
OK = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"


class Server:
    """Transports that keep what they receive in a queue."""

    def __init__(self, uris: str, options: TransportOptions, resolver: Resolver) -> None:
        self.inbox: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()
        specs = [spec for uri in uris.split() for spec in parse_transport(uri)]
        self.transports = Transports(specs, options, self._received, resolver)

    def _received(self, data: bytes, flow: Flow, now: float) -> None:
        assert now > 0
        self.inbox.put_nowait((data, flow))

    async def received(self) -> tuple[bytes, Flow]:
        async with asyncio.timeout(5):
            return await self.inbox.get()

    def port(self, index: int = 0) -> int:
        return self.transports.listeners[index].port


StartServer = Callable[..., Awaitable[Server]]


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test that needs a loop runs on both kinds."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def start() -> AsyncIterator[StartServer]:
    """Start a server: `await start("sip:127.0.0.1:0", idle_timeout=1)`."""
    servers: list[Server] = []

    async def start_server(uris: str, resolver: Resolver | None = None, **settings: object) -> Server:
        options = TransportOptions(**settings)  # type: ignore[arg-type]
        server = Server(uris, options, resolver or Resolver())
        await server.transports.start()
        servers.append(server)
        return server

    yield start_server
    for server in servers:
        await server.transports.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority with its files."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server_pem(authority: Authority, tmp_path: Path) -> Path:
    """Certificate and key of "localhost" and 127.0.0.1 in one file."""
    return authority.issue(tmp_path / "server.pem", ["localhost"], ["127.0.0.1", "::1"])


async def eof(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server closes."""
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def exactly(reader: asyncio.StreamReader, data: bytes) -> None:
    """Read and compare."""
    async with asyncio.timeout(5):
        assert await reader.readexactly(len(data)) == data


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that tells nobody when it happens, such as a counter."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)
