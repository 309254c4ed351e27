"""`flexipy pusher`: sends one push with the keys of a configuration, and prints the service's answer in plain words.

flexipy pusher -c flexipy.conf --contact 'sip:bob@192.0.2.7;pn-provider=fcm;pn-param=house;pn-prid=TOKEN'
flexipy pusher -c flexipy.conf --pn-provider apns --pn-param TEAMID.org.app.voip --pn-prid TOKEN
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from flexipy.config.config import Config
from flexipy.config.reader import read
from flexipy.push.parameters import Params
from flexipy.push.request import PushKind
from flexipy.push.settings import settings_of
from flexipy.push.setup import make_service
from flexipy.push.trial import Trial, try_push
from flexipy.sip.errors import SipError
from flexipy.sip.params import encode
from flexipy.sip.uri import SipUri

_DEFAULT_CONFIGURATION = "/etc/flexisip/flexisip.conf"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 where the service took the push, 1 where not, 2 for wrong usage."""
    options = _parser().parse_args(argv)
    from flexipy.servers.discovery import full_schema

    config, problems = read(Path(options.configfile), full_schema(), options.set)
    errors = [str(problem) for problem in problems if problem.is_error]
    if errors:
        return _fail("\n".join(errors))
    try:
        params = _params(options)
    except SipError as error:
        return _fail(f"not a SIP URI: {error}")
    kind = None if options.kind is None else PushKind(options.kind)
    trial = asyncio.run(_send(config, params, kind))
    print(_told(trial))
    return 0 if trial.sent else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flexipy pusher",
        description="Sends one push with the keys of a configuration and prints the service's answer.",
        epilog="The contact of a device that is registered: flexipy-cli REGISTRAR_GET sip:user@domain",
    )
    add = parser.add_argument
    add("-c", "--configfile", metavar="FILE", default=_DEFAULT_CONFIGURATION, help="configuration with the keys")
    add("-s", "--set", action="append", default=[], metavar="SECTION/PARAM=VALUE", help="override a parameter")
    add("--contact", metavar="URI", help="contact URI with push parameters")
    add("--pn-provider", metavar="NAME", help="in place of a contact: apns, apns.dev, fcm, webpush or another")
    add("--pn-param", metavar="TEXT", help="TEAMID.BUNDLE[.voip] for Apple, the project for Firebase")
    add("--pn-prid", metavar="TOKEN", help="the device's token")
    add("--kind", choices=[kind.value for kind in PushKind], help="default: as for a call")
    return parser


def _params(options: argparse.Namespace) -> Params:
    if options.contact:
        return SipUri.parse(encode(options.contact.strip("<>"))).params
    return {"pn-provider": options.pn_provider, "pn-param": options.pn_param, "pn-prid": options.pn_prid}


async def _send(config: Config, params: Params, kind: PushKind | None) -> Trial:
    from flexipy.servers.proxy import state_directory

    def file(name: str) -> Path:
        return config.directory / Path(name).expanduser()

    def state_file(name: str) -> Path:
        directory = state_directory(config)
        directory.mkdir(parents=True, exist_ok=True)
        return directory / name

    settings = settings_of(config.section("module::PushNotification"), file, state_file)
    service = make_service(settings, asyncio.ensure_future, defaultdict(int))
    for note in service.notes:
        print(f"flexipy pusher: {note}", file=sys.stderr)
    try:
        return await try_push(service, params, kind)
    finally:
        await service.close()


def _told(trial: Trial) -> str:
    if not trial.service:
        return f"not sent: {trial.result.meaning}"
    word = "taken" if trial.sent else trial.result.outcome.value
    return f"{word}: {trial.service} answered after {trial.took * 1000:.0f} ms: {trial.result}"


def _fail(text: str) -> int:
    print(f"flexipy pusher: {text}", file=sys.stderr)
    return 1
