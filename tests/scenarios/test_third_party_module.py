"""A module that a stranger's package brings: installed beside flexipy, it is found, configured and at work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.harness.server import DOMAIN, Server, python_path
from tests.harness.sip_phone import SipPhone

EXAMPLE = Path(__file__).parents[2] / "examples" / "hello-module"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example installed; on PYTHONPATH it stands for an environment that has it."""
    folder = tmp_path_factory.mktemp("site")
    source = folder / "source"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    target = folder / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--target", str(target), str(source)], check=True, timeout=120)
    return target


def flexipy(site: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "flexipy.cli.main", *arguments]
    environment = {**os.environ, "PYTHONPATH": python_path([site])}
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment, check=True).stdout


def test_installed_module_is_listed_and_explained(site: Path) -> None:
    assert "module::QuietHours" in flexipy(site, "--list-modules").split()
    assert "hours=22-7" in flexipy(site, "--dump-default", "module::QuietHours")


async def test_installed_module_decides_about_calls(site: Path, tmp_path: Path) -> None:
    now = datetime.now().hour
    hours = f"{now}-{(now + 2) % 24}"
    settings = {"module::QuietHours": {"enabled": "true", "hours": hours, "exempt": f"sip:carol@{DOMAIN}"}}
    server = Server(tmp_path, settings, [("udp", "127.0.0.1")])
    server.packages.append(site)
    server.start()
    try:
        async with SipPhone(server, "alice") as alice, SipPhone(server, "carol") as carol:
            refused = await (await alice.invite(f"sip:bob@{DOMAIN}")).final()
            exempt = await (await carol.invite(f"sip:bob@{DOMAIN}")).final()
    finally:
        server.stop()
    assert (refused.status, refused.reason) == (480, b"Quiet hours")
    assert exempt.reason != b"Quiet hours"
