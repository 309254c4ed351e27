"""The `flexipy` command: what it says about itself and a configuration, and what a reload does."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flexipy import __version__
from flexipy.compilation import describe
from tests.harness.events import until
from tests.harness.server import DOMAIN, Server, password_file, run_flexipy
from tests.harness.sip_phone import SipPhone

_MISTAKES = """\
[global]
transprots=sip:127.0.0.1
log-level=verbose
idle-timeout=soon

[module::Registar]
reg-domains=example.org

[module::Registrar]
max-contacts-by-aor=many
"""


@pytest.fixture
def small(place: Path) -> Iterator[Server]:
    """A server of the test's own, with a routes file and a pid file."""
    server = Server(
        place / "house",
        {"module::Registrar": {"static-records-file": "routes.conf"}},
        [("udp", "127.0.0.1"), ("tcp", "127.0.0.1")],
    )
    (server.directory / "routes.conf").write_text(f"<sip:boss@{DOMAIN}> <sip:alice@{DOMAIN}>\n")
    server.arguments += ["--pidfile", "pid"]
    yield server.start()
    server.stop()


# --- looking at a configuration ------------------------------------------------------------------------------


def test_help_names_each_option(place: Path) -> None:
    status, text = run_flexipy("--help", directory=place)
    assert status == 0
    for option in ("--check", "--set", "--pidfile", "--dump-default", "--transports", "--daemon", "passwd"):
        assert option in text


def test_version(place: Path) -> None:
    assert run_flexipy("--version", directory=place) == (0, f"flexipy {__version__}, {describe()}")


def test_an_unknown_option_is_refused(place: Path) -> None:
    status, text = run_flexipy("--chekc", directory=place)
    assert status == 2
    assert "--chekc" in text


def test_check_names_every_mistake_at_once(place: Path) -> None:
    (place / "bad.conf").write_text(_MISTAKES)
    status, text = run_flexipy("--check", "-c", "bad.conf", "--set", "global/alaises=x", directory=place)
    assert status == 1
    lines = text.splitlines()
    for number, *words in (
        (2, "'transprots'", "did you mean 'transports'"),
        (3, "'log-level'", "debug", "'verbose'"),
        (4, "'idle-timeout'", "'soon'"),
        (6, "[module::Registar]", "did you mean [module::Registrar]"),
        (10, "'max-contacts-by-aor'", "'many'"),
    ):
        (line,) = [line for line in lines if line.startswith(f"bad.conf:{number}: error: ")]
        assert all(word in line for word in words), line
    (line,) = [line for line in lines if line.startswith("--set global/alaises: error: ")]
    assert "did you mean 'aliases'" in line
    assert lines[-1] == "bad.conf: 6 errors"


def test_check_reads_the_files_that_the_configuration_names(place: Path) -> None:
    (place / "some.conf").write_text(
        "[global]\ntransports=sips:127.0.0.1:0;tls-certificates-file=no.pem;tls-certificates-private-key=no.pem\n"
        "[module::Authentication]\nenabled=true\nauth-domains=*\nfile-path=passwords\n"
        "[module::Forward]\nroutes-config-path=routes\n[module::Registrar]\nstatic-records-file=static\n"
    )
    (place / "passwords").write_text("version:1\nalice@home clrtxt:secret ;\nbob\n")
    (place / "routes").write_text("<sip:192.0.2.1> home\n<sip:192.0.2.2\n")
    (place / "static").write_text("nobody\n")
    before = sorted(place.iterdir())
    status, text = run_flexipy("--check", "-c", "some.conf", directory=place)
    assert status == 1
    for where in ("passwords:3: ", "routes:2: ", "static:1: ", "no.pem: "):
        assert len([line for line in text.splitlines() if where in line]) == 1, text
    assert text.splitlines()[-1] == "some.conf: 4 errors"
    assert sorted(place.iterdir()) == before


def test_check_refuses_what_a_start_refuses(place: Path) -> None:
    (place / "some.conf").write_text("[module::Registrar]\ndb-implementation=redis\n")
    status, text = run_flexipy("--check", "-c", "some.conf", directory=place)
    assert status == 1
    assert "db-implementation=redis" in text


def test_a_server_with_such_a_configuration_does_not_start(place: Path) -> None:
    (place / "bad.conf").write_text(_MISTAKES)
    status, text = run_flexipy("-c", "bad.conf", directory=place)
    assert status == 1
    assert "bad.conf:2: error: " in text
    assert "listening" not in text


def test_all_defaults_are_a_good_configuration(place: Path) -> None:
    status, text = run_flexipy("--dump-default", "all", directory=place)
    assert status == 0
    (place / "all.conf").write_text(text)
    assert run_flexipy("--check", "-c", "all.conf", directory=place) == (0, "all.conf: OK")
    # Commented in they are good as well.
    (place / "explicit.conf").write_text(re.sub(r"^#(?=[\w-]+=)", "", text, flags=re.MULTILINE))
    assert run_flexipy("--check", "-c", "explicit.conf", directory=place) == (0, "explicit.conf: OK")
    assert run_flexipy("--list-overrides", "-c", "explicit.conf", directory=place) == (0, "")


def test_the_defaults_of_one_section(place: Path) -> None:
    status, text = run_flexipy("--dump-default", "module::Registrar", directory=place)
    assert status == 0
    assert re.findall(r"^\[(.+)\]$", text, re.MULTILINE) == ["module::Registrar"]
    assert "#max-contacts-by-aor=12" in text
    status, text = run_flexipy("--dump-default", "module::Registar", directory=place)
    assert status == 1
    assert "did you mean" in text


def test_set_goes_before_the_file(place: Path) -> None:
    (place / "some.conf").write_text("[global]\nlog-level=message\n")
    arguments = ("-c", "some.conf", "--set", "global/log-level=debug", "--set", "module::Registrar/max-expires=60")
    status, text = run_flexipy("--list-overrides", *arguments, directory=place)
    assert status == 0
    assert text.splitlines() == ["global/log-level=debug  # --set", "module::Registrar/max-expires=60  # --set"]


def test_a_password_file_is_made_with_the_tool(place: Path) -> None:
    status, text = run_flexipy("passwd", "--help", directory=place)
    assert status == 0
    assert "add" in text


# --- running -------------------------------------------------------------------------------------------------


def test_the_pid_file_comes_and_goes(small: Server) -> None:
    assert small.program is not None
    file = small.directory / "pid"
    assert int(file.read_text()) == small.program.process.pid
    small.stop()
    assert not file.exists()
    small.start()


def test_a_port_in_use_is_a_clear_message(small: Server) -> None:
    other = small.directory.parent / "other"
    other.mkdir()
    arguments = ("-t", small.uri("udp"), "--set", "global/state-directory=state", "--set", "global/control-socket=c")
    status, text = run_flexipy(*arguments, directory=other)
    assert status == 1
    assert f"127.0.0.1:{small.port('udp')}" in text
    assert "Traceback" not in text


def test_a_hangup_while_it_starts_does_not_end_it(small: Server) -> None:
    small.stop()
    small.launch()
    assert small.program is not None
    small.program.prints_now("listening on udp")
    small.program.process.send_signal(signal.SIGHUP)
    small.program.prints_now("INFO flexipy: reloaded")
    assert small.program.alive


async def test_a_good_reload_takes_effect_at_once(small: Server) -> None:
    async with SipPhone(small, "alice") as alice, SipPhone(small, "grace") as grace, SipPhone(small, "bob") as bob:
        await alice.register()
        small.write_configuration({"module::Registrar": {"filter": "from.uri.user != 'bob'"}})
        small.passwords.write_text(password_file(("alice", "bob", "grace")))
        (small.directory / "routes.conf").write_text(f"<sip:office@{DOMAIN}> <sip:alice@{DOMAIN}>\n")
        assert await small.reload() == []
        assert (await bob.register()).status != 200
        assert (await grace.register()).status == 200
        call = await bob.invite(f"sip:office@{DOMAIN}")
        (await alice.incoming("INVITE")).answer(486)
        assert (await call.final()).status == 486
        assert (await (await bob.invite(f"sip:boss@{DOMAIN}")).final()).status == 404


async def test_each_of_two_reloads_in_a_row_takes_effect(small: Server) -> None:
    async with SipPhone(small, "grace") as grace, SipPhone(small, "heidi") as heidi:
        for phone in (grace, heidi):
            small.passwords.write_text(password_file((phone.user,)))
            assert await small.reload() == []
            assert (await phone.register()).status == 200


@pytest.mark.parametrize(
    ("name", "text", "place_of_mistake"),
    [
        ("flexipy.conf", "[global]\nlog-levle=debug\n", "flexipy.conf:2"),
        ("passwd", f"version:1\nalice@{DOMAIN} clrtxt:other ;\nnonsense\n", "passwd:3"),
        ("routes.conf", f"<sip:boss@{DOMAIN}> <sip:dave@{DOMAIN}>\nnonsense\n", "routes.conf:2"),
    ],
)
async def test_a_bad_reload_changes_nothing_and_says_why(
    small: Server, name: str, text: str, place_of_mistake: str
) -> None:
    async with SipPhone(small, "alice") as alice, SipPhone(small, "bob") as bob:
        await alice.register()
        before = json.loads(small.cli("CONFIG_LIST"))
        (small.directory / name).write_text(text)
        told = [problem for problem in await small.reload() if place_of_mistake in problem]
        assert len(told) == 1, told
        assert json.loads(small.cli("CONFIG_LIST")) == before
        # Accounts, routes and registrations are as they were.
        assert (await alice.register()).status == 200
        call = await bob.invite(f"sip:boss@{DOMAIN}")
        (await alice.incoming("INVITE")).answer(486)
        assert (await call.final()).status == 486


async def test_what_needs_a_restart_is_named(small: Server) -> None:
    small.write_configuration({"global": {"udp-mtu": "1300"}})
    (problem,) = await small.reload()
    assert "udp-mtu takes effect at the next start" in problem


async def test_the_log_level_follows_the_configuration(small: Server) -> None:
    assert small.program is not None
    small.write_configuration({"global": {"log-level": "warning"}})
    small.program.process.send_signal(signal.SIGHUP)
    await until(lambda: "warning" in small.cli("CONFIG_GET global/log-level"), "the new level")
    small.passwords.write_text("nonsense\n")
    await small.logs("WARNING .*passwd:1")
    before = len(small.program.output.seen)
    async with SipPhone(small, "alice", "tcp") as alice:
        assert (await alice.register()).status == 200
    assert small.cli("CONFIG_SET global/log-level debug") == "global/log-level : debug"
    async with SipPhone(small, "alice", "tcp") as alice:
        assert (await alice.register()).status == 200
    await small.logs("DEBUG .* opened")
    opened = [line for line in small.program.output.seen[before:] if "opened" in line]
    assert len(opened) == 1
