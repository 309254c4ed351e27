"""Commands of the control socket where several workers are one server: who carries them out, and what is answered.

The first worker has the socket.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Callable
from typing import Any, Final

from flexipy.servers.control import Commands
from flexipy.workers.worker import Worker


def _sum(results: list[Any]) -> Any:
    total: dict[str, int] = {}
    for result in results:
        for name, value in result.items():
            total[name] = total.get(name, 0) + value
    return total


def _once_each(results: list[Any]) -> Any:
    """Bans: workers tell each other of wrong passwords, so that most are known to all."""
    return list({entry["key"]: entry for result in results for entry in result}.values())


def _concatenate_each(results: list[Any]) -> Any:
    return {name: [entry for result in results for entry in result[name]] for name in results[0]}


# Those about which each worker knows something; what they say is put together.
_TOGETHER: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "COUNTERS": _sum,
    "BANS": _once_each,
    "RELAY_LIST": _concatenate_each,
}
# Those that each worker must carry out; all but UNBAN succeed everywhere or nowhere.
_EVERYWHERE: Final = frozenset(("CONFIG_SET", "RELOAD", "UNBAN"))


class WorkerCommands:
    """Carries commands out with the other workers.

    Args:
        commands: this worker's own.
        worker: the way to the others.
    """

    def __init__(self, commands: Commands, worker: Worker) -> None:
        self._commands = commands
        self._worker = worker

    async def run(self, line: str) -> str:
        """Carry a command out; the answer, JSON or a line that begins with `Error`."""
        try:
            words = shlex.split(line)
        except ValueError:
            words = []
        name = words[0].upper().replace("-", "_") if words else ""
        try:
            if name in _TOGETHER:
                return self._together(await self._everywhere(line), _TOGETHER[name])
            if name in _EVERYWHERE:
                return self._best(await self._everywhere(line))
        except TimeoutError:
            return "Error: a worker does not answer"
        return await self._commands.run(line)

    async def _ask(self, number: int, line: str) -> str:
        if number == self._worker.index:
            return await self._commands.run(line)
        return await self._worker.ask(number, line)

    async def _everywhere(self, line: str) -> list[str]:
        return await asyncio.gather(*(self._ask(number, line) for number in range(self._worker.count)))

    @staticmethod
    def _together(answers: list[str], put_together: Callable[[list[Any]], Any]) -> str:
        for answer in answers:
            if answer.startswith("Error"):
                return answer
        return json.dumps(put_together([json.loads(answer) for answer in answers]), indent=1)

    @staticmethod
    def _best(answers: list[str]) -> str:
        """What the first one says that could do it."""
        return next((answer for answer in answers if not answer.startswith("Error")), answers[0])
