"""Messages that were accepted for devices which are off, kept in SQLite so that a restart loses none."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from flexipy.sip.errors import SipError
from flexipy.sip.message import Request
from flexipy.sip.parsing import parse


@dataclass(slots=True)
class PendingMessage:
    """One message and who has it already.

    Attributes:
        id: its row.
        key: of the address it is for, in the registrar.
        target: the URI it was sent to.
        expires_at: wall clock seconds.
    """

    id: int
    key: str
    target: bytes
    request: Request
    delivered: set[str]
    expires_at: float


class PendingMessages:
    """The table of messages.

    Args:
        path: the database file; made where it doesn't exist, readable for its owner only.

    Raises:
        sqlite3.Error: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        path.touch(0o600, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        # WAL: a write is one append, safe against the process's death; only a power cut may lose the last second.
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, key TEXT NOT NULL, target BLOB NOT NULL, "
            "request BLOB NOT NULL, delivered TEXT NOT NULL, expires_at REAL NOT NULL)"
        )

    def add(self, key: str, target: bytes, request: Request, delivered: set[str], expires_at: float) -> int:
        """Keep a message; returns its row."""
        cursor = self._database.execute(
            "INSERT INTO messages (key, target, request, delivered, expires_at) VALUES (?, ?, ?, ?, ?)",
            (key, target, bytes(request), json.dumps(sorted(delivered)), expires_at),
        )
        row = cursor.lastrowid
        assert row is not None
        return row

    def set_delivered(self, row: int, delivered: set[str]) -> None:
        """Note which devices have it."""
        self._database.execute("UPDATE messages SET delivered = ? WHERE id = ?", (json.dumps(sorted(delivered)), row))

    def remove(self, row: int) -> None:
        """Forget a message that every device has, or that is too old."""
        self._database.execute("DELETE FROM messages WHERE id = ?", (row,))

    def load(self) -> list[PendingMessage]:
        """What is to be delivered; what is too old is forgotten."""
        self._database.execute("DELETE FROM messages WHERE expires_at <= ?", (time.time(),))
        found: list[PendingMessage] = []
        for row, key, target, raw, delivered, expires_at in self._database.execute("SELECT * FROM messages"):
            try:
                request = parse(raw)
                devices = set(json.loads(delivered))
            except (SipError, ValueError):
                continue
            if isinstance(request, Request):
                found.append(PendingMessage(row, key, target, request, devices, expires_at))
        return found

    def close(self) -> None:
        """Close the file."""
        self._database.close()
