"""Secrets that survive a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from flexipy.registrar.secret_file import load_secret


def test_a_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "key"
    secret = load_secret(path)
    assert len(secret) == 32
    assert load_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_secret(tmp_path / "other") != secret


def test_a_file_without_a_secret_is_not_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="too short"):
        load_secret(path)
