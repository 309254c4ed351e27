"""The control socket: a Unix socket for its owner alone, Flexisip's commands, answers in JSON or text.

A command is one line (or, from Flexisip's own client, one chunk without a line end); the answer ends with the
connection.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import shlex
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from flexipy.auth.throttle import GuessThrottle
from flexipy.config.errors import ConfigError
from flexipy.config.schema import Parameter
from flexipy.media.relay import MediaRelay
from flexipy.registrar.binding import Binding, Record
from flexipy.registrar.registrar import Registrar
from flexipy.sip.errors import SipError
from flexipy.sip.params import decode, encode
from flexipy.sip.uri import SipUri

if TYPE_CHECKING:
    from flexipy.servers.proxy import ProxyServer

logger = logging.getLogger(__name__)

_LONGEST: Final = 65535
_BARE: Final = str.maketrans("", "", '<>"')
_PATIENCE: Final = 5.0  # seconds for a command to arrive


class ControlError(Exception):
    """A command that cannot be carried out; the text is the answer."""


class Runner(Protocol):
    """What carries commands out."""

    async def run(self, line: str) -> str:
        """Carry a command out; the answer, JSON or a line that begins with `Error`."""


class ControlSocket:
    """Serves commands about one server.

    Args:
        commands: carries them out.
        path: of the socket; an old one that nobody listens on is replaced.
    """

    def __init__(self, commands: Runner, path: Path) -> None:
        self.path = path
        self._commands = commands
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the socket cannot be made, or a server listens on it already.
        """
        if self.path.exists():
            await self._replace_old()
        mask = os.umask(0o177)
        try:
            self._listener = await asyncio.start_unix_server(self._serve, str(self.path), limit=_LONGEST)
        finally:
            os.umask(mask)

    async def _replace_old(self) -> None:
        try:
            _, writer = await asyncio.open_unix_connection(str(self.path))
        except (ConnectionRefusedError, FileNotFoundError):
            self.path.unlink(missing_ok=True)
            return
        writer.close()
        raise OSError(f"{self.path} is in use by another server")

    async def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._listener is not None:
            self._listener.close()
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                data = await reader.read(_LONGEST)
            if not data:
                return  # somebody only looked whether a server listens
            writer.write(encode(await self._commands.run(decode(data))) + b"\n")
            await writer.drain()
        except (OSError, TimeoutError) as error:
            logger.info("control socket: %s", error)
        finally:
            writer.close()


class Commands:
    """The commands, by name."""

    def __init__(self, server: ProxyServer) -> None:
        self._server = server
        self._by_name: dict[str, Callable[[list[str]], Any]] = {
            "REGISTRAR_GET": self._registrar_get,
            "REGISTRAR_DUMP": self._registrar_dump,
            "REGISTRAR_CLEAR": self._registrar_clear,
            "REGISTRAR_DELETE": self._registrar_delete,
            "REGISTRAR_UPSERT": self._registrar_upsert,
            "CONFIG_GET": self._config_get,
            "CONFIG_SET": self._config_set,
            "CONFIG_LIST": self._config_list,
            "COUNTERS": self._counters,
            "RELAY_LIST": self._relay_list,
            "BANS": self._bans,
            "UNBAN": self._unban,
            "PUSH_TEST": self._push_test,
            "RELOAD": self._reload,
        }

    async def run(self, line: str) -> str:
        """Carry a command out; the answer, JSON or a line that begins with `Error`."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            return f"Error: {error}"
        command = self._by_name.get(words[0].upper().replace("-", "_")) if words else None
        if command is None:
            return f"Error: unknown command; there are: {' '.join(self._by_name)}"
        try:
            result = command(words[1:])
            if inspect.isawaitable(result):
                result = await result
        except (ControlError, SipError, ConfigError) as error:
            return f"Error: {error}"
        except Exception:
            logger.exception("control command %s failed", words[0])
            return "Error: the command failed, see the log"
        return result if isinstance(result, str) else json.dumps(result, indent=1)

    # --- registrar ---------------------------------------------------------------------------------------

    @property
    def _registrar(self) -> Registrar:
        registrar: Registrar | None = self._server.agent.services.get(Registrar)
        if registrar is None:
            raise ControlError("module Registrar is not enabled")
        return registrar

    async def _record(self, text: str) -> tuple[str, Record | None]:
        key = _aor(text)
        found = self._registrar.fetch(key, time.time())
        return key, (await found if isinstance(found, Awaitable) else found)

    async def _registrar_get(self, words: list[str]) -> object:
        _expect(words, 1, "REGISTRAR_GET sip:user@domain")
        key, record = await self._record(words[0])
        if record is None:
            raise ControlError(f"not found: {key}")
        return {"aor": key, "contacts": [_binding_facts(binding, time.time()) for binding in record.bindings]}

    async def _registrar_dump(self, words: list[str]) -> object:
        _expect(words, 0, "REGISTRAR_DUMP")
        keys = self._registrar.keys()
        return {"aors": sorted(await keys if isinstance(keys, Awaitable) else keys)}

    async def _registrar_clear(self, words: list[str]) -> str:
        _expect(words, 1, "REGISTRAR_CLEAR sip:user@domain")
        result = self._registrar.clear(_aor(words[0]))
        removed = await result if isinstance(result, Awaitable) else result
        return f"Done: cleared record {_aor(words[0])}, {removed} contacts removed"

    async def _registrar_delete(self, words: list[str]) -> object:
        _expect(words, 2, "REGISTRAR_DELETE sip:user@domain unique-id")
        key, record = await self._record(words[0])
        result = self._registrar.delete(key, _unique_id(record, words[1]))
        if not (await result if isinstance(result, Awaitable) else result):
            raise ControlError(f"no contact '{words[1]}' in {key}")
        return await self._after(key)

    async def _registrar_upsert(self, words: list[str]) -> object:
        usage = "REGISTRAR_UPSERT sip:user@domain sip:contact@host seconds [unique-id]"
        if len(words) not in (3, 4) or not words[2].isdigit():
            raise ControlError(f"usage: {usage}")
        key, record = await self._record(words[0])
        contact = SipUri.parse(encode(words[1].strip("<>")))
        unique_id = _unique_id(record, words[3]) if len(words) == 4 else None
        result = self._registrar.upsert(key, contact, int(words[2]), time.time(), unique_id)
        if isinstance(result, Awaitable):
            await result
        return await self._after(key)

    async def _after(self, key: str) -> object:
        _, record = await self._record(key)
        bindings = [] if record is None else record.bindings
        return {"aor": key, "contacts": [_binding_facts(binding, time.time()) for binding in bindings]}

    # --- configuration -----------------------------------------------------------------------------------

    def _parameter(self, path: str) -> tuple[str, Parameter]:
        section, slash, name = path.rpartition("/")
        schema = self._server.config.schema
        parameter = schema.find_parameter(section, name) if slash else None
        if parameter is None:
            meant = schema.nearest_parameter(section, name) if slash and section in schema else None
            hint = f"; did you mean '{section}/{meant}'?" if meant else ""
            raise ControlError(f"no parameter '{path}'{hint}")
        return section, parameter

    def _config_get(self, words: list[str]) -> str:
        _expect(words, 1, "CONFIG_GET section/parameter")
        section, parameter = self._parameter(words[0])
        return f"{words[0]} : {self._server.config.section(section).raw(parameter.name)}"

    def _config_set(self, words: list[str]) -> str:
        if len(words) < 2:
            raise ControlError("usage: CONFIG_SET section/parameter value")
        section, parameter = self._parameter(words[0])
        if not (parameter.reloadable or parameter.name == "filter"):
            raise ControlError(f"'{words[0]}' takes effect only at a start: change it in the file")
        self._server.config.section(section).set(parameter.name, " ".join(words[1:]))
        problems = self._server.apply(section)
        if problems:
            raise ControlError("; ".join(problems))
        return f"{words[0]} : {self._server.config.section(section).raw(parameter.name)}"

    def _config_list(self, words: list[str]) -> object:
        wanted = words[0].lower() if words else ""
        listing: dict[str, dict[str, str]] = {}
        for section in self._server.config.schema:
            if wanted and section.name.lower() not in (wanted, f"module::{wanted}"):
                continue
            values = self._server.config.section(section.name)
            listing[section.name] = {
                parameter.name: "(hidden)" if "password" in parameter.name else values.raw(parameter.name)
                for parameter in section.parameters
            }
        if not listing:
            raise ControlError(f"no section '{words[0]}'")
        return listing

    # --- the running server ------------------------------------------------------------------------------

    def _counters(self, words: list[str]) -> object:
        _expect(words, 0, "COUNTERS")
        return self._server.counters()

    def _relay_list(self, words: list[str]) -> object:
        _expect(words, 0, "RELAY_LIST")
        relay: MediaRelay | None = self._server.agent.services.get(MediaRelay)
        if relay is None:
            raise ControlError("module MediaRelay is not enabled")
        return {"calls": [call.report() for call in relay.calls]}

    def _bans(self, words: list[str]) -> object:
        _expect(words, 0, "BANS")
        throttle: GuessThrottle | None = self._server.agent.services.get(GuessThrottle)
        if throttle is None:
            return []
        return [{"key": ban.key, "until": ban.until, "reason": ban.reason} for ban in throttle.bans(time.time())]

    def _unban(self, words: list[str]) -> str:
        if not words:
            raise ControlError("usage: UNBAN key (as BANS shows it)")
        throttle: GuessThrottle | None = self._server.agent.services.get(GuessThrottle)
        key = " ".join(words)
        if throttle is None or not throttle.unban(key):
            raise ControlError(f"nothing held against '{key}'")
        return f"Done: {key} may try again"

    async def _push_test(self, words: list[str]) -> object:
        """Push to each device of an address, whatever its registration is like; what the services say."""
        from flexipy.push.provider import Pusher
        from flexipy.push.request import PushKind
        from flexipy.push.trial import try_push

        kinds = {kind.value: kind for kind in PushKind}
        if len(words) not in (1, 2) or (len(words) == 2 and words[1] not in kinds):
            raise ControlError(f"usage: PUSH_TEST sip:user@domain [{'|'.join(kinds)}]")
        service: Pusher | None = self._server.agent.services.get(Pusher)
        if service is None:
            raise ControlError("module PushNotification is not enabled")
        key, record = await self._record(words[0])
        if record is None:
            raise ControlError(f"not found: {key}")
        kind = kinds[words[1]] if len(words) == 2 else None
        trials = [try_push(service, binding.uri.params, kind, f"sip:{key}") for binding in record.bindings]
        results = await asyncio.gather(*trials)
        return [
            {"unique-id": binding.unique_id, **trial.facts()}
            for binding, trial in zip(record.bindings, results, strict=True)
        ]

    def _reload(self, words: list[str]) -> str:
        _expect(words, 0, "RELOAD")
        problems = self._server.reload()
        if problems:
            raise ControlError("\n".join(problems))
        return "Done: reloaded"


def _expect(words: list[str], count: int, usage: str) -> None:
    if len(words) != count:
        raise ControlError(f"usage: {usage}")


def _aor(text: str) -> str:
    text = text.strip("<>")
    return SipUri.parse(encode(text)).aor if text.lower().startswith(("sip:", "sips:")) else text


def _unique_id(record: Record | None, text: str) -> str:
    """The id of the binding that is meant, angle brackets and quotes given or not; the text itself for a new one."""
    known = [] if record is None else [binding.unique_id for binding in record.bindings]
    if text in known:
        return text
    meant = text.translate(_BARE)
    return next((unique_id for unique_id in known if unique_id.translate(_BARE) == meant), text.strip('"'))


def _binding_facts(binding: Binding, now: float) -> dict[str, object]:
    expires = None if binding.is_static else max(0, int(binding.expires_at - now))
    return {
        "unique-id": binding.unique_id,
        "contact": decode(binding.uri_raw),
        "params": decode(binding.contact_params),
        "expires-in": expires,
        "q": binding.q,
        "call-id": decode(binding.call_id),
        "cseq": binding.cseq,
        "path": [decode(value) for value in binding.path],
        "user-agent": decode(binding.user_agent),
        "updated-at": int(binding.updated_at),
        "static": binding.is_static,
    }
