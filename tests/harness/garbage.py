"""What is left to the collector of reference cycles, which a server runs rarely: memory grows until it does."""

from __future__ import annotations

import gc
from collections.abc import Callable


def cycles_of(story: Callable[[], object], package: str = "flexipy") -> set[str]:
    """The kinds of objects that a story leaves behind in cycles.

    Args:
        story: called once, with the collector off.
        package: whose classes are looked at.

    Returns:
        Names of classes.
    """
    gc.collect()
    gc.disable()
    try:
        story()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return {type(item).__name__ for item in gc.garbage if type(item).__module__.startswith(package)}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
