"""`flexipy`: starts a server, or one of the tools (`flexipy passwd`, `flexipy certificate`, `flexipy pusher`)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from flexipy import __version__
from flexipy.compilation import describe

_DEFAULT_CONFIGURATION = "/etc/flexisip/flexisip.conf"
_TOOLS = {
    "passwd": "flexipy.cli.passwd",
    "certificate": "flexipy.cli.certificate",
    "pusher": "flexipy.cli.pusher",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flexipy",
        description="A SIP proxy, registrar and conference server.",
        epilog="Tools: 'flexipy passwd --help' manages the password file, "
        "'flexipy certificate --help' makes a certificate for TLS, 'flexipy pusher --help' sends one push.",
    )
    add = parser.add_argument
    add("--server", default=None, metavar="ROLE", help="which server to run: proxy (default: global/default-servers)")
    add("-c", "--configfile", metavar="FILE", help=f"configuration (default: {_DEFAULT_CONFIGURATION} if it exists)")
    add("-t", "--transports", metavar="'URI ...'", help="listen here instead of on global/transports")
    add("-s", "--set", action="append", default=[], metavar="SECTION/PARAM=VALUE", help="override a parameter")
    add("--hosts", action="append", default=[], metavar="NAME=IP[,IP]", help="an address asked before DNS")
    add("-d", "--debug", action="store_true", help="log everything, to the terminal")
    add("--syslog", action="store_true", help="log to syslog")
    add("--daemon", action="store_true", help="run in the background")
    add("-p", "--pidfile", metavar="FILE", help="write the process id here")
    add("--check", action="store_true", help="report every mistake of the configuration and leave")
    add("--dump-default", metavar="SECTION|all", help="print a section's defaults, explained")
    add("--dump-all-default", action="store_true", help="print all defaults, explained")
    add("--dump-format", default="file", metavar="FORMAT", help="file, markdown or json")
    add("--list-modules", action="store_true", help="list the modules, installed or known by name")
    add("--list-sections", action="store_true", help="list the sections a configuration may have")
    add("--list-overrides", action="store_true", help="list what differs from the defaults")
    add("--rewrite-config", action="store_true", help="print the configuration anew, your values kept")
    add("-v", "--version", action="version", version=f"flexipy {__version__}, {describe()}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in _TOOLS:
        import importlib

        tool = importlib.import_module(_TOOLS[arguments[0]])
        return int(tool.main(arguments[1:]))
    options = _parser().parse_args(arguments)
    path = _configuration(options.configfile)
    status = _inspect(options, path)
    if status is not None:
        return status
    from flexipy.cli.run import run

    return run(options, path)


def _configuration(given: str | None) -> Path | None:
    if given is not None:
        return Path(given)
    default = Path(_DEFAULT_CONFIGURATION)
    return default if default.exists() else None


def _inspect(options: argparse.Namespace, path: Path | None) -> int | None:
    """The options that look at a configuration instead of running; None where none of them is given."""
    wanted = (
        options.check,
        options.dump_default,
        options.dump_all_default,
        options.list_modules,
        options.list_sections,
        options.list_overrides,
        options.rewrite_config,
    )
    if not any(wanted):
        return None
    from flexipy.cli import config_tools
    from flexipy.config.reader import read
    from flexipy.servers.discovery import full_schema

    schema = full_schema()
    if options.check:
        from flexipy.servers.dry_run import problems_of

        return config_tools.check(path, schema, options.set, problems_of)
    if options.list_modules:
        return config_tools.list_modules(schema)
    if options.list_sections:
        return config_tools.list_sections(schema)
    if options.dump_default or options.dump_all_default:
        return config_tools.dump_default(schema, options.dump_default or "all", options.dump_format)
    if options.rewrite_config:
        if path is None:
            print("flexipy: --rewrite-config needs a file: -c FILE", file=sys.stderr)
            return 1
        return config_tools.rewrite_config(path, schema)
    config, problems = read(path, schema, options.set)
    for problem in problems:
        print(problem, file=sys.stderr)
    return config_tools.list_overrides(config)


if __name__ == "__main__":
    sys.exit(main())
