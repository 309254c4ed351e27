"""`flexipy-cli`: talks to the control socket of a running server."""

from __future__ import annotations

import argparse
import glob
import json
import os
import shlex
import socket
import sys
from collections.abc import Sequence

_PATTERN = "/tmp/flexisip-{server}-{pid}"  # noqa: S108 - where Flexisip's own tools look
_PATIENCE = 30.0  # seconds; PUSH_TEST waits for a service far away
# Where the systemd unit and `make run` have the socket.
_PLACES = ("/run/flexipy/{server}.sock", "var/control.sock")


def main(argv: Sequence[str] | None = None) -> int:
    """Send one command, print the answer; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="flexipy-cli",
        description="Sends a command to a running flexipy server.",
        epilog="Commands: REGISTRAR_GET AOR, REGISTRAR_DUMP, REGISTRAR_CLEAR AOR, REGISTRAR_DELETE AOR ID, "
        "REGISTRAR_UPSERT AOR CONTACT SECONDS [ID], CONFIG_GET S/P, CONFIG_SET S/P VALUE, CONFIG_LIST [S], COUNTERS, "
        "RELAY_LIST, BANS, UNBAN KEY, PUSH_TEST AOR [voip|alert|background], RELOAD",
    )
    parser.add_argument("-p", "--pid", help="process id of the server; needed only where several run")
    parser.add_argument("-s", "--server", default="proxy", help="which server (default: proxy)")
    parser.add_argument("--socket", help="path of the control socket")
    parser.add_argument("--table", action="store_true", help="print a table instead of JSON")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(argv)
    path = options.socket
    try:
        path = path or _find(options.server, options.pid)
        reply = _ask(path, options.command)
    except OSError as error:
        place = f"{path}: " if error.errno and path else ""
        print(f"flexipy-cli: {place}{error.strerror or error}", file=sys.stderr)
        return 1
    if reply.startswith("Error"):
        print(reply, file=sys.stderr)
        return 1
    print(_table(reply) if options.table else reply)
    return 0


def _find(server: str, pid: str | None) -> str:
    places = sorted(glob.glob(_PATTERN.format(server=server, pid=pid or "*")))
    if pid is None:
        places += [path for place in _PLACES if os.path.exists(path := place.format(server=server))]
    found = [path for path in places if _answers(path)]
    if not found:
        raise OSError(_not_found(places))
    if len(found) > 1:
        raise OSError(f"several servers run, choose with --socket: {', '.join(found)}")
    return found[0]


def _answers(path: str) -> bool:
    """Whether a server listens: one that was killed leaves its socket behind."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except PermissionError:
            return True  # it is there, and the caller shall hear that it is not theirs
        except OSError:
            return False
    return True


def _not_found(places: list[str]) -> str:
    if places:
        return f"no server listens on {', '.join(places)}"
    return "no control socket found; is the server running as you, or --socket PATH needed?"


def _ask(path: str, words: list[str]) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        connection.connect(path)
        connection.sendall(shlex.join(words).encode() + b"\n")
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks).decode("utf-8", "replace").rstrip("\n")


def _table(reply: str) -> str:
    try:
        data = json.loads(reply)
    except ValueError:
        return reply
    rows = _rows(data)
    if not rows:
        return "(none)"
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _rows(data: object) -> list[list[str]]:
    if isinstance(data, dict) and isinstance(data.get("contacts"), list):
        columns = ["unique-id", "contact", "expires-in", "q", "user-agent"]
        return [[name.upper() for name in columns]] + [
            [_cell(contact.get(name)) for name in columns] for contact in data["contacts"]
        ]
    if isinstance(data, dict) and isinstance(data.get("aors"), list):
        return [[str(aor)] for aor in data["aors"]]
    if isinstance(data, dict) and data and all(isinstance(value, dict) for value in data.values()):
        return [[f"{part}/{name}", _cell(value)] for part, values in data.items() for name, value in values.items()]
    if isinstance(data, dict):
        return [[str(name), _cell(value)] for name, value in data.items()]
    if isinstance(data, list):
        return [[_cell(value) for value in item.values()] if isinstance(item, dict) else [str(item)] for item in data]
    return [[str(data)]]


def _cell(value: object) -> str:
    return "" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
