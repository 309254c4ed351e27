"""Avahi, the multicast DNS of most Linux systems: the one that runs, or else one of the test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.harness.programs import Program, missing, need

_BUS = """\
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
</busconfig>
"""
_DAEMON = "[server]\nhost-name=avahi-of-the-tests\nuse-ipv4=yes\nuse-ipv6=yes\n[publish]\ndisable-publishing=yes\n"


@contextmanager
def avahi(place: Path) -> Iterator[Mapping[str, str]]:
    """A running Avahi; the environment in which its tools find it."""
    need("avahi-browse")
    if _answers({}):
        yield {}
        return
    daemon, bus = need("avahi-daemon"), need("dbus-daemon")
    if os.geteuid() != 0:
        missing("no Avahi runs, and only root can start one")
    socket = place / "bus"
    (place / "bus.conf").write_text(_BUS.format(socket=socket))
    (place / "avahi.conf").write_text(_DAEMON)
    environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={socket}"}
    started = [Program("dbus", (bus, f"--config-file={place}/bus.conf", "--nofork", "--print-address"), place)]
    try:
        started[0].prints_now("unix:")
        command = (daemon, "-f", f"{place}/avahi.conf", "--no-drop-root", "--no-chroot", "--no-rlimits")
        started.append(Program("avahi", command, place, environment))
        started[1].prints_now("Server startup complete")
        yield environment
    finally:
        for program in reversed(started):
            program.stop()


def browse(kind: str, place: Path, environment: Mapping[str, str]) -> Program:
    """Avahi's browser for one type of service: a line for each that comes, is resolved, or goes."""
    return Program(f"avahi-browse {kind}", (need("avahi-browse"), "-r", "-p", kind), place, environment)


def _answers(environment: Mapping[str, str]) -> bool:
    tried = subprocess.run(
        [need("avahi-browse"), "-at"], env={**os.environ, **environment}, capture_output=True, timeout=10, check=False
    )
    return tried.returncode == 0
