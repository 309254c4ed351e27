"""A random secret that stays the same over restarts: the key of temporary GRUUs, also of nonces and flow tokens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

LENGTH: Final = 32


def load_secret(path: str | os.PathLike[str]) -> bytes:
    """Read a secret; make it, readable for its owner only, where there is none.

    Args:
        path: the file; the servers of a cluster need copies of one.

    Raises:
        OSError: it can be neither read nor made.
        ValueError: what is in the file is too short to be a secret.
    """
    file = Path(path)
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        secret = file.read_bytes()
        if len(secret) < LENGTH // 2:
            raise ValueError(f"{file} is too short for a secret; remove it to have a new one made") from None
        return secret
    with os.fdopen(fd, "wb") as new:
        secret = os.urandom(LENGTH)
        new.write(secret)
        new.flush()
        os.fsync(new.fileno())
    return secret
