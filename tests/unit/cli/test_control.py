"""How `flexipy-cli` finds the server it talks to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flexipy.cli import control


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(control, "_PATTERN", str(tmp_path / "flexisip-{server}-{pid}"))
    monkeypatch.setattr(control, "_PLACES", ("{server}.sock", "var/control.sock"))


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    """A server that answers `pong` to every command."""
    path = tmp_path / "var" / "control.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    if connection.recv(100):
                        connection.sendall(b"pong\n")

        threading.Thread(target=serve, daemon=True).start()
        yield path
        listener.shutdown(socket.SHUT_RDWR)


def leave_a_dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def test_the_socket_of_make_run_is_found(listening: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert control.main(["COUNTERS"]) == 0
    assert capsys.readouterr().out == "pong\n"


def test_sockets_of_killed_servers_are_passed_over(
    listening: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_a_dead_socket(tmp_path / "flexisip-proxy-1")
    assert control.main(["COUNTERS"]) == 0
    assert capsys.readouterr().out == "pong\n"


def test_only_dead_sockets_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_a_dead_socket(tmp_path / "flexisip-proxy-1")
    assert control.main(["COUNTERS"]) == 1
    assert f"no server listens on {tmp_path}/flexisip-proxy-1" in capsys.readouterr().err


def test_a_socket_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert control.main(["--socket", "elsewhere", "COUNTERS"]) == 1
    assert capsys.readouterr().err == "flexipy-cli: elsewhere: No such file or directory\n"
