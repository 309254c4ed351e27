"""The build backend: setuptools, and the hot rooms compiled by mypyc where a C compiler is at hand.

What cannot be compiled is installed as it is; the same code then runs interpreted, and `flexipy --version` says so.
FLEXIPY_COMPILE=0 leaves compiling out, FLEXIPY_COMPILE=1 lets an installation fail that is not compiled. An editable
installation is never compiled: no compiled file lies beside source that may change. `make build/compiled` is for that.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import sysconfig
import tempfile
from collections import Counter
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from setuptools import Extension, build_meta
from setuptools.build_meta import (  # noqa: F401 - the hooks that stay as they are
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

MYPY = "mypy>=2.4,<3"  # brings mypyc; needed while building only
_WITH_MYPY = {"x86_64", "amd64", "aarch64", "arm64"}  # machines for which there are wheels of it
REASON = "flexipy/interpreted.txt"  # read by flexipy/compilation.py

# Libraries, which are compiled side by side.
HOT = {
    "flexipy_core": [
        "flexipy/modules/authentication.py",
        "flexipy/modules/forward.py",
        "flexipy/modules/nat_helper.py",
        "flexipy/modules/registrar.py",
        "flexipy/modules/router/__init__.py",
        "flexipy/modules/router/allowance.py",
        "flexipy/modules/router/breadth.py",
        "flexipy/modules/router/late.py",
        "flexipy/modules/router/targets.py",
        "flexipy/modules/sanity_checker.py",
        "flexipy/proxy/agent.py",
        "flexipy/proxy/egress.py",
        "flexipy/proxy/events.py",
        "flexipy/proxy/fork/basic.py",
        "flexipy/proxy/fork/branch.py",
        "flexipy/proxy/fork/call.py",
        "flexipy/proxy/fork/context.py",
        "flexipy/proxy/fork/message.py",
        "flexipy/proxy/module.py",
        "flexipy/proxy/pipeline.py",
        "flexipy/proxy/refusals.py",
        "flexipy/proxy/routing.py",
        "flexipy/proxy/subject.py",
    ],
    "flexipy_media": [
        "flexipy/media/channel.py",
        "flexipy/media/continuity.py",
        "flexipy/media/learning.py",
        "flexipy/media/leg.py",
        "flexipy/media/rtcp.py",
        "flexipy/media/rtp.py",
        "flexipy/media/statistics.py",
        "flexipy/media/stream.py",
        "flexipy/media/terms.py",
        "flexipy/media/thinning.py",
    ],
    "flexipy_wire": [
        "flexipy/auth/account.py",
        "flexipy/auth/file_credentials.py",
        "flexipy/auth/throttle.py",
        "flexipy/config/operators.py",
        "flexipy/registrar/answer.py",
        "flexipy/registrar/binding.py",
        "flexipy/registrar/contact.py",
        "flexipy/registrar/domains.py",
        "flexipy/registrar/events.py",
        "flexipy/registrar/expiry.py",
        "flexipy/registrar/finding.py",
        "flexipy/registrar/gruu.py",
        "flexipy/registrar/journal.py",
        "flexipy/registrar/journal_lines.py",
        "flexipy/registrar/registrar.py",
        "flexipy/registrar/registration.py",
        "flexipy/registrar/sharing.py",
        "flexipy/registrar/store.py",
        "flexipy/registrar/stores/memory.py",
        "flexipy/registrar/targets.py",
        "flexipy/registrar/update.py",
        "flexipy/sip/digest.py",
        "flexipy/sip/digits.py",
        "flexipy/sip/digest_header.py",
        "flexipy/sip/errors.py",
        "flexipy/sip/heads.py",
        "flexipy/sip/headers.py",
        "flexipy/sip/message.py",
        "flexipy/sip/names.py",
        "flexipy/sip/nonce.py",
        "flexipy/sip/octets.py",
        "flexipy/sip/params.py",
        "flexipy/sip/parsing.py",
        "flexipy/sip/plain.py",
        "flexipy/sip/sdp.py",
        "flexipy/sip/searching.py",
        "flexipy/sip/shape.py",
        "flexipy/sip/status.py",
        "flexipy/sip/timers.py",
        "flexipy/sip/uri.py",
        "flexipy/sip/validation.py",
        "flexipy/sip/transaction/client.py",
        "flexipy/sip/transaction/layer.py",
        "flexipy/sip/transaction/server.py",
        "flexipy/sip/transaction/states.py",
        "flexipy/transport/context.py",
        "flexipy/transport/counters.py",
        "flexipy/transport/flow.py",
        "flexipy/transport/listener.py",
        "flexipy/transport/load.py",
        "flexipy/transport/target.py",
        "flexipy/transport/tokens.py",
        "flexipy/transport/udp.py",
        "flexipy/workers/bus.py",
        "flexipy/workers/frames.py",
        "flexipy/workers/ownership.py",
        "flexipy/workers/replication.py",
        "flexipy/workers/share.py",
        "flexipy/workers/worker.py",
    ],
}
# Compiled against nothing but the standard library, so that the result does not depend on what else is installed.
_MYPY_OPTIONS = ["--config-file=", "--ignore-missing-imports", "--no-error-summary"]


class _Build:
    """What the hooks tell setup.py, which runs within `build_wheel`.

    Attributes:
        extensions: what to compile.
        reason: why nothing is compiled; empty where something is.
        base: where setuptools builds; a directory of its own, since what an earlier build left would be packed, too.
    """

    extensions: list[Extension] = []
    reason = ""
    base = "build"


class CopySources(build_py):
    """Copies the package; beside it goes why it is not compiled."""

    def run(self) -> None:
        super().run()
        if _Build.reason and not self.editable_mode:
            _note_reason(self.build_lib)


class Compile(build_ext):
    """Compiles, or leaves it."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            if _forced():
                raise
            _Build.reason = "compiling failed at installation"
            _say(f"{_Build.reason}: {error}")
            for output in self.get_outputs():
                Path(output).unlink(missing_ok=True)
            _note_reason(self.build_lib)


def setup_arguments() -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    return {
        "ext_modules": _Build.extensions,
        "cmdclass": {"build_py": CopySources, "build_ext": Compile},
        "options": {"build": {"build_base": _Build.base}, "build_ext": {"parallel": True}},
    }


# --- the hooks that pip calls ----------------------------------------------------------------------------


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """What to fetch before building: mypy where it will be used."""
    requires = list(build_meta.get_requires_for_build_wheel(config_settings))
    return requires if _obstacle() else [*requires, MYPY]


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Make the package that gets installed."""
    with tempfile.TemporaryDirectory(prefix="flexipy-build-") as scratch:
        _Build.base = scratch
        _Build.reason = _obstacle()
        if not _Build.reason:
            _Build.extensions = _translate(scratch)
        if _Build.reason:
            if _forced():
                raise SystemExit(f"flexipy: FLEXIPY_COMPILE=1 but {_Build.reason}")
            _say(_Build.reason)
        return str(build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))


def _obstacle() -> str:
    """Why nothing can or shall be compiled here; empty if nothing stands in the way."""
    if os.environ.get("FLEXIPY_COMPILE") == "0":
        return "FLEXIPY_COMPILE=0 at installation"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return "no C compiler at installation"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "no Python headers at installation"
    if sys.implementation.name != "cpython" or platform.machine().lower() not in _WITH_MYPY:
        return "no mypy for this machine at installation"
    return ""


def _forced() -> bool:
    return os.environ.get("FLEXIPY_COMPILE") == "1"


def _translate(scratch: str) -> list[Extension]:
    """The hot rooms in C; notes the reason where that fails.

    It is done by a process of its own, whose end gives back the memory that mypy takes: the C compiler wants some, too,
    and small computers have a gigabyte.
    """
    fork = get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_mypyc, args=(scratch, theirs))
    process.start()
    theirs.close()
    try:
        extensions: list[Extension] = ours.recv()
    except EOFError:
        extensions = []
    process.join()
    if not extensions:
        _Build.reason = f"mypyc failed at installation (status {process.exitcode})"
    return extensions


def _mypyc(scratch: str, result: Connection) -> None:
    from mypyc.build import mypycify

    os.environ["MYPY_CACHE_DIR"] = f"{scratch}/mypy-cache"
    extensions = mypycify(
        [*_MYPY_OPTIONS, *chain.from_iterable(HOT.values())],
        separate=[(paths, name) for name, paths in HOT.items()],
        opt_level="2",
        debug_level="0",
        target_dir=f"{scratch}/c",
        multi_file=True,  # the C compiler takes a quarter of the memory, and less time
    )
    result.send(_apart(extensions, scratch))


def _apart(extensions: list[Extension], scratch: str) -> list[Extension]:
    """What mypycify made of several libraries with several files each, so that it can be built.

    All libraries have the files of mypyc's runtime: built side by side, they would write the same object files. And in
    each file of a library stand the tables of what it takes from other libraries, without `extern`.
    """
    users = Counter(chain.from_iterable(extension.sources for extension in extensions))
    for extension in extensions:
        extension.extra_compile_args = [*extension.extra_compile_args, "-fcommon"]
        own = Path(scratch, "c", extension.name)
        for place, source in enumerate(extension.sources):
            if users[source] > 1:
                own.mkdir(exist_ok=True)
                extension.sources[place] = shutil.copy(source, own)
    return extensions


def _note_reason(build_lib: str) -> None:
    Path(build_lib, REASON).write_text(_Build.reason + "\n")


def _say(text: str) -> None:
    print(f"flexipy: interpreted: {text}", file=sys.stderr)
