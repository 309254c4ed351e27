"""The log level, at the start and whenever the configuration changes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flexipy.config.config import Config

_LEVELS = {
    "debug": logging.DEBUG,
    "message": logging.INFO,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def set_log_level(config: Config) -> None:
    """Log what `log-level` asks for."""
    level = _LEVELS.get(config.section("global").string("log-level"), logging.ERROR)
    logging.getLogger().setLevel(level)
    # Whatever the level, an operator sees where the server listens.
    logging.getLogger("flexipy.transport.transports").setLevel(min(level, logging.INFO))
