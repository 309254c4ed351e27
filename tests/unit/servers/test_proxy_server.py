"""What the server makes of its own section of the configuration."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from flexipy.config.reader import read
from flexipy.servers.discovery import full_schema
from flexipy.servers.proxy import ProxyServer

ROOT = Path(__file__).resolve().parents[3]


def server_with(directory: Path, text: str) -> ProxyServer:
    path = directory / "flexipy.conf"
    path.write_text(text)
    config, problems = read(path, full_schema())
    assert problems == []
    return ProxyServer(config)


@pytest.fixture
def root_level() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)
    logging.getLogger("flexipy.transport.transports").setLevel(logging.NOTSET)


async def test_max_message_size_limits_streams(tmp_path: Path) -> None:
    server = server_with(tmp_path, "[global]\nmax-message-size=4096\n")
    assert server.transports.options.max_message_size == 4096


@pytest.mark.usefixtures("root_level")
async def test_the_log_level_follows_a_reload(tmp_path: Path) -> None:
    server = server_with(tmp_path, "[global]\nlog-level=error\n")
    (tmp_path / "flexipy.conf").write_text("[global]\nlog-level=debug\n")
    assert server.reload() == []
    assert logging.getLogger().level == logging.DEBUG


@pytest.mark.usefixtures("root_level")
async def test_the_log_level_follows_a_command(tmp_path: Path) -> None:
    server = server_with(tmp_path, "[global]\nlog-level=error\n")
    server.config.section("global").set("log-level", "message")
    server.apply("global")
    assert logging.getLogger().level == logging.INFO


def test_the_shipped_configuration_offers_md5_alone() -> None:
    """baresip 1.0 gives up at a first challenge that names an algorithm it does not know."""
    config, _ = read(ROOT / "conf" / "flexisip.conf", full_schema())
    assert config.section("module::Authentication").strings("available-algorithms") == ["MD5"]


async def test_flow_tokens_leave_a_folder_alone_that_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    server = server_with(tmp_path, f"[module::NatHelper]\nflow-token-path={tmp_path}/key\n")
    assert server.transports.options.flow_token_path == str(tmp_path / "var" / "flow-token-hash-key")


async def test_flow_tokens_take_the_file_that_is_named(tmp_path: Path) -> None:
    server = server_with(tmp_path, f"[module::NatHelper]\nflow-token-path={tmp_path}/key\n")
    assert server.transports.options.flow_token_path == str(tmp_path / "key")
