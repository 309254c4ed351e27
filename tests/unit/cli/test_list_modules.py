"""`flexipy --list-modules`."""

from __future__ import annotations

import pytest

from flexipy.cli.main import main


def test_modules_known_by_name_alone_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-modules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "module::Router" in lines
    assert "module::Presence  # no effect yet" in lines
