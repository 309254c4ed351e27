"""Finds the pipeline modules that are installed, ours and strangers' alike, by entry point."""

from __future__ import annotations

import logging
from importlib.metadata import entry_points

from flexipy.config.schema import Schema
from flexipy.config.sections import build_schema
from flexipy.proxy.module import Module, section_of
from flexipy.proxy.order import in_order

logger = logging.getLogger(__name__)

GROUP = "flexipy.modules"


def module_classes() -> list[type[Module]]:
    """Every installed module's class, in pipeline order. One that cannot be imported is reported and left out."""
    found: list[type[Module]] = []
    for entry in entry_points(group=GROUP):
        try:
            module = entry.load()
        except Exception as error:
            logger.error("module %s (%s) cannot be loaded: %s", entry.name, entry.value, error)
            continue
        if isinstance(module, type) and issubclass(module, Module) and module.name:
            found.append(module)
        else:
            logger.error("module %s (%s) is not a flexipy module", entry.name, entry.value)
    return in_order(found)


def full_schema() -> Schema:
    """Everything a configuration may contain, installed modules included."""
    return build_schema(section_of(module) for module in module_classes())
