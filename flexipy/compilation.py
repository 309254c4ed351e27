"""Whether the hot rooms run compiled; packaging/compiling.py compiles them."""

from __future__ import annotations

from pathlib import Path

from flexipy.sip import message

_HERE = Path(__file__).parent
COMPILED = not message.__file__.endswith(".py")


def describe() -> str:
    """`compiled`, or `interpreted` with the reason in brackets."""
    if COMPILED:
        return "compiled"
    if any(_HERE.glob("sip/message.*.so")):
        return "interpreted (compiled for another Python)"
    note = _HERE / "interpreted.txt"
    reason = note.read_text().strip() if note.exists() else "run from source"
    return f"interpreted ({reason})"
