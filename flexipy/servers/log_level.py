"""How much is logged: `[global] log-level`, which can be changed while a server runs."""

from __future__ import annotations

import logging
from typing import Final

from flexipy.config.config import Config

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "message": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def apply_log_level(config: Config) -> None:
    """Make the configured level effective."""
    level = _LEVELS[config.section("global").string("log-level")]
    logging.getLogger().setLevel(level)
    # Whatever the level, an operator sees where the server listens.
    logging.getLogger("flexipy.transport.transports").setLevel(min(level, logging.INFO))
