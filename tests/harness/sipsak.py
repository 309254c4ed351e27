"""sipsak, the Swiss army knife of those who run SIP servers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.harness.programs import Program, need


async def sipsak(directory: Path, *arguments: str) -> str:
    """Run it to its end, which must be a good one; what it printed."""
    need("sipsak")
    program = Program("sipsak", ["sipsak", *arguments], directory)
    status = await asyncio.to_thread(program.finish)
    output = "\n".join(program.output.seen)
    assert status == 0, f"sipsak left with {status}: {output}"
    return output
