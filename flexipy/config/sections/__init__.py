"""The sections that belong to no implemented module, and the schema made of them and the rest."""

from __future__ import annotations

from collections.abc import Iterable

from ..schema import Schema, Section
from .former import with_former_names
from .global_ import GLOBAL
from .network import NETWORK_SECTIONS
from .servers import SERVER_SECTIONS
from .unimplemented_modules import UNIMPLEMENTED_MODULES

__all__ = ["GLOBAL", "NETWORK_SECTIONS", "SERVER_SECTIONS", "UNIMPLEMENTED_MODULES", "build_schema"]


def build_schema(declared: Iterable[Section] = ()) -> Schema:
    """Return the schema of a whole configuration.

    Args:
        declared: The sections of the modules that are installed, in pipeline order, and of servers that are
            implemented. One of the same name as a section of this package takes its place.

    Returns:
        [global] first, then the sections about networks, the modules, those known by name only, and the
        servers.

    Raises:
        ValueError: Two of the declared sections have the same name.
    """
    given = list(declared)
    names = {section.name.lower() for section in given}

    def own(sections: Iterable[Section]) -> list[Section]:
        return [section for section in sections if section.name.lower() not in names]

    modules = [*(section for section in given if section.is_module), *own(UNIMPLEMENTED_MODULES)]
    others = [section for section in given if not section.is_module]
    return Schema(
        [
            *own((GLOBAL, *NETWORK_SECTIONS)),
            *(with_former_names(section) for section in modules),
            *others,
            *own(SERVER_SECTIONS),
        ]
    )
