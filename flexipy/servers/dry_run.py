"""What would keep a server from starting, or which of its files have mistakes, without starting it (`--check`)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flexipy.servers.proxy import ProxyServer, StartError

if TYPE_CHECKING:
    from flexipy.config.config import Config


def problems_of(config: Config) -> list[str]:
    """Make the server, read its files, and throw it away; nothing is bound, and nothing is left on disk.

    Args:
        config: without errors; its paths for state are changed.

    Returns:
        What a start or a reload would complain of, a line each.
    """
    with tempfile.TemporaryDirectory(prefix="flexipy-check-") as scratch:
        config.section("global").set("state-directory", scratch)
        config.section("module::NatHelper").set("flow-token-path", str(Path(scratch, "flow-token-key")))
        try:
            server = ProxyServer(config)
        except StartError as error:
            return str(error).splitlines()
        found = [problem for module in server.modules for problem in module.reload()]
        return found + server.transports.certificate_problems()
