"""When Python's collector of cycles runs, so that nobody waits for it.

A full collection looks at every object there is: with 200 000 bindings a sixth of a second in which no call is
answered. Nearly nothing of what a server keeps for long is part of a cycle that ends. So the young are looked at often
and in small numbers, and what has survived that twice is set aside, which costs nothing, and never looked at again.
Reference counts free it as ever.
"""

from __future__ import annotations

import gc
from typing import Final

_YOUNG: Final = 2000  # objects made and not freed since the last look: two milliseconds at most
_SURVIVED: Final = 1
_LONG_LIVED: Final = 1  # the generation of those that were looked at twice
_USUAL: Final = gc.get_threshold()


def begin_collection() -> None:
    """Set aside what start-up made, and do so with what lives long from now on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _SURVIVED, 1000)
    if _set_aside not in gc.callbacks:
        gc.callbacks.append(_set_aside)


def end_collection() -> None:
    """Go back to the interpreter's own ways."""
    if _set_aside in gc.callbacks:
        gc.callbacks.remove(_set_aside)
    gc.set_threshold(*_USUAL)
    gc.unfreeze()


def _set_aside(phase: str, facts: dict[str, int]) -> None:
    if phase == "stop" and facts["generation"] >= _LONG_LIVED:
        gc.freeze()
