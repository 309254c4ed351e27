"""What all stories share: a house with its server, and the logs of everybody in it when one goes wrong."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.harness import programs
from tests.harness.server import Server

_SHOWN = 150  # lines of each program's output in the report of a failure


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that all stories of a module visit in turn; each finds it empty."""
    server = Server(tmp_path_factory.mktemp("house")).start()
    yield server
    server.stop()


@pytest.fixture
def server(house: Server) -> Iterator[Server]:
    """The house's server with nobody registered, and nothing to complain of in its log afterwards."""
    yield house
    house.check_log()
    for aor in json.loads(house.cli("REGISTRAR_DUMP"))["aors"]:
        house.cli(f"REGISTRAR_CLEAR sip:{aor}")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory for the clients of one story."""
    return tmp_path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Forget what ended before this test, and remember where the output of the others stood."""
    programs.running[:] = [program for program in programs.running if program.alive]
    item.stash[_begun] = {id(program): len(program.output.seen) for program in programs.running}
    return (yield)


def pytest_sessionfinish() -> None:
    """Leave nothing running, however the tests ended."""
    for program in programs.running:
        program.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the output of each program that ran into the report of a failure."""
    report = yield
    if report.failed:
        begun = item.stash.get(_begun, {})
        for program in programs.running:
            told = program.told(begun.get(id(program), 0), _SHOWN)
            report.sections.append((f"output of {program.name}", told))
    return report


_begun = pytest.StashKey[dict[int, int]]()
