"""Writes what is generated from the declarations: conf/flexisip.conf and docs/configuration.md.

    python packaging/generate.py [--check]

With --check nothing is written; the exit status is 1 when a file is not as it would be.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flexipy.config.dump import reference_markdown, render_file
from flexipy.servers.discovery import full_schema

ROOT = Path(__file__).resolve().parent.parent

# What makes the shipped configuration a home: everything else stands there as a comment with its default.
HOME = {
    "global": {
        "transports": "sip:* sip:[::] sip:*:5066;transport=ws",
        "aliases": "localhost",
        "log-level": "warning",
        "state-directory": "../var",
        "control-socket": "../var/control.sock",
    },
    "module::Authentication": {
        "enabled": "true",
        "auth-domains": "localhost",
        "file-path": "../var/passwd",
    },
    "module::Registrar": {
        "reg-domains": "localhost",
        "static-records-file": "../static-routes/routes.conf",
    },
    "module::Router": {
        "message-database-enabled": "true",
        "message-database-backend": "sqlite3",
        "message-database-connection-string": "db=../var/messages.sqlite3",
    },
}

INTRODUCTION = """\
# flexipy's configuration: a home on this machine, everything embedded.
#
# What is set below makes `flexipy --server proxy -c conf/flexisip.conf` a working server for the domain `localhost`.
# For a domain of your own, replace `localhost` in aliases, auth-domains and reg-domains, and add accounts:
#
#     flexipy passwd var/passwd add alice@myhouse
#
# A line that begins with # is a comment: every other parameter is listed that way, with its default.
# File names are relative to the folder of this file. Check your changes with `flexipy -c FILE --check`.

"""


def generated() -> dict[Path, str]:
    """Path and content of each generated file."""
    schema = full_schema()
    values = {(section, name): value for section, names in HOME.items() for name, value in names.items()}
    return {
        ROOT / "conf" / "flexisip.conf": INTRODUCTION + render_file(schema, values),
        ROOT / "docs" / "configuration.md": reference_markdown(schema),
    }


def main() -> int:
    """Write or check."""
    check = "--check" in sys.argv[1:]
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is not up to date: run `make docs`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(generated()[path], "utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
