"""Registrar: answers REGISTER for the managed domains (RFC 3261 section 10, RFC 3327, RFC 5626, RFC 5627).

The rules are in `flexipy.registrar`; here they meet SIP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from operator import itemgetter
from pathlib import Path
from time import time
from typing import Any, Final

from flexipy.proxy.api import (
    Module,
    ModuleContext,
    ModuleError,
    Request,
    RequestEvent,
    SipError,
    SipUri,
    boolean,
    duration,
    enum,
    integer,
    string,
    string_list,
)
from flexipy.registrar.binding import Binding, Record
from flexipy.registrar.domains import ManagedDomains
from flexipy.registrar.journal import Journal, JournalError
from flexipy.registrar.registrar import Registrar
from flexipy.registrar.registration import RegistrarOptions, Registration, RegistrationError
from flexipy.registrar.secret_file import load_secret
from flexipy.registrar.static_records import parse
from flexipy.registrar.store import Store
from flexipy.registrar.stores.memory import MemoryStore
from flexipy.sip import names as H
from flexipy.sip.errors import UriError
from flexipy.sip.headers import NameAddr, parse_seconds
from flexipy.sip.message import unfold
from flexipy.sip.params import encode
from flexipy.sip.searching import contains
from flexipy.sip.shape import Shape
from flexipy.workers.replication import ReplicatedStore, Replication

_REWRITE_PAUSE: Final = 0.1  # seconds between two steps of a rewrite, each of which takes less than a millisecond
_SUPPORTED: Final = b"Supported: path, outbound, gruu"


class RegistrarModule(Module):
    """The registrar's face in the pipeline."""

    name = "Registrar"
    help = (
        "Answers REGISTER requests for the domains of this server: keeps which device is reachable where, gives "
        "devices their GRUU, and holds the static routes."
    )
    enabled_by_default = True
    methods: frozenset[bytes] | None = frozenset((b"REGISTER",))
    parameters = (
        string_list(
            "reg-domains",
            "localhost",
            "The domains this server is the registrar of; `*` for any domain.",
            aliases=("reg-domain",),
        ),
        boolean(
            "reg-on-response",
            "false",
            "Register only once a proxy behind has answered 200 to the REGISTER.",
            implemented=False,
        ),
        integer("max-contacts-by-aor", "12", "Devices kept for one address; one more drops the oldest.", minimum=1),
        integer("max-contacts-per-registration", "12", "Contacts that one REGISTER may carry.", minimum=1),
        string_list(
            "unique-id-parameters",
            "+sip.instance pn-tok line",
            "Contact parameters that name a device, the first one found counts; a device that registers again from "
            "another address then takes its old place.",
        ),
        boolean("enable-gruu", "true", "Give devices that ask for it an address of their own (GRUU, RFC 5627)."),
        duration("max-expires", "86400", "The longest registration granted.", aliases=("max-expires-duration",)),
        duration("min-expires", "60", "The shortest registration granted; less is raised to it."),
        duration("default-expires", "10min", "Granted to a REGISTER that asks for no duration."),
        duration("force-expires", "0", "Granted whatever was asked for; 0 for off."),
        boolean(
            "reject-too-brief",
            "false",
            "Answer 423 with Min-Expires to a registration shorter than `min-expires`, instead of raising it.",
        ),
        string(
            "static-records-file",
            "",
            "A file of addresses that are always reachable, `<sip:everyone@home> <sip:screen@home>, <sip:bob@there>` "
            "on each line; `#` begins a comment.",
        ),
        duration("static-records-timeout", "600", "How often the file of static records is looked at again."),
        enum(
            "db-implementation",
            "internal",
            "Where registrations are kept: `internal` in memory with a journal on disk that survives restarts.",
            ("internal", "redis"),
        ),
        string("redis-server-domain", "localhost", "Host of the Redis server.", implemented=False),
        integer("redis-server-port", "6379", "Port of the Redis server.", implemented=False),
        string("redis-auth-user", "", "User of the Redis server.", implemented=False),
        string("redis-auth-password", "", "Password of the Redis server.", implemented=False),
        duration("redis-slave-check-period", "60", "How often replicas are looked for.", implemented=False),
        boolean("redis-use-slaves-as-backup", "true", "Use replicas when the master is gone.", implemented=False),
        duration(
            "redis-subscription-keep-alive-check-period",
            "60",
            "How often the Redis subscription is checked.",
            implemented=False,
        ),
        string("service-route", "", "URIs for the Service-Route header of the 200 to a REGISTER (RFC 3608)."),
        string(
            "message-expires-param-name",
            "message-expires",
            "Contact parameter with the seconds for which a device still gets MESSAGEs after its registration lapsed.",
        ),
        integer(
            "register-expire-randomizer-max",
            "0",
            "Shorten each granted duration by up to this percentage, so that devices don't refresh all at once.",
            minimum=0,
            maximum=100,
        ),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        values = context.values
        if values.string("db-implementation") == "redis":
            raise ModuleError("[module::Registrar] db-implementation=redis has no effect yet: use 'internal'")
        self._domains = ManagedDomains(values.strings("reg-domains"))
        self._journal: Journal | None = None
        self._rewriting = False
        self._static_file = self._file("static-records-file")
        self._static_stamp: tuple[int, int, int] | None = None
        self._service_route = tuple(encode(uri) for uri in values.string("service-route").split())
        self._store: Store = MemoryStore()
        self.registrar = Registrar(self._store, RegistrarOptions())

    def _file(self, parameter: str) -> Path | None:
        name = self.context.values.string(parameter)
        return self.context.file(name) if name else None

    def _options(self) -> RegistrarOptions:
        values = self.context.values
        return RegistrarOptions(
            max_contacts_by_aor=values.integer("max-contacts-by-aor"),
            max_contacts_per_registration=values.integer("max-contacts-per-registration"),
            unique_id_parameters=tuple(name.lower() for name in values.strings("unique-id-parameters")),
            enable_gruu=values.boolean("enable-gruu"),
            max_expires=int(values.seconds("max-expires")),
            min_expires=int(values.seconds("min-expires")),
            default_expires=int(values.seconds("default-expires")),
            force_expires=int(values.seconds("force-expires")),
            reject_too_brief=values.boolean("reject-too-brief"),
            message_expires_param_name=values.string("message-expires-param-name").lower(),
            expire_randomizer_max=values.integer("register-expire-randomizer-max"),
            gruu_secret=self._secret(),
        )

    def _secret(self) -> bytes:
        """The key of temporary GRUUs, kept so that they stay valid over a restart."""
        try:
            return load_secret(self.context.state_file("gruu-secret"))
        except (OSError, ValueError) as error:
            self.context.logger.warning("temporary GRUUs will not survive a restart: %s", error)
            return b""

    def provide(self) -> None:
        """Open the store and offer the registrar to other modules."""
        replication = self.context.optional(Replication)
        if replication is None:
            self._store = MemoryStore(*self._open_journal())
            self.registrar = Registrar(self._store, self._options())
        else:
            shared = ReplicatedStore(replication, *(self._open_journal() if replication.writes_journal else ()))
            self._store = shared
            self.registrar = Registrar(shared, self._options())
            replication.connect(shared, self.registrar.replicated, self.registrar.is_awaited)
        self.context.provide(Registrar, self.registrar)
        self.context.provide(ManagedDomains, self._domains)

    def _open_journal(self) -> tuple[Journal | None, dict[str, Record]]:
        """The journal and what the last process left in it; without it a home still has its server."""
        try:
            journal = Journal(self.context.state_file("registrations.journal"))
            records = journal.open(time())
        except (OSError, JournalError) as error:
            self.context.logger.warning("registrations will not survive a restart: %s", error)
            return None, {}
        self._journal = journal
        return journal, records

    async def start(self) -> None:
        """Read the static records and start the clocks."""
        problems = self._load_static(strict=False)
        for problem in problems:
            self.context.logger.warning("%s", problem)
        self.context.every(1.0, self._every_second)
        if self._static_file is not None:
            self.context.every(self.context.values.seconds("static-records-timeout"), self._look_at_static)

    async def stop(self) -> None:
        """Close the journal."""
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.sync()
            journal.close()

    def reload(self) -> list[str]:
        """Read the static records anew."""
        return self._load_static(strict=True)

    def _every_second(self) -> None:
        self.registrar.expire(time())
        if self._journal is not None:
            if not self._rewriting and self._journal.step(self._store.records()):
                self._rewriting = True
                self.context.spawn(self._rewrite())
            if self._journal.needs_sync:
                self.context.spawn(asyncio.to_thread(self._journal.sync))

    async def _rewrite(self) -> None:
        """Bring a rewrite of the journal to its end; as long as it lasts every change is written twice."""
        try:
            while self._journal is not None and self._journal.step(self._store.records()):
                await asyncio.sleep(_REWRITE_PAUSE)
        finally:
            self._rewriting = False

    def _look_at_static(self) -> None:
        assert self._static_file is not None
        try:
            status = self._static_file.stat()
        except OSError as error:
            self.context.logger.warning("static records: %s", error)
            return
        if (status.st_mtime_ns, status.st_size, status.st_ino) != self._static_stamp:
            for problem in self._load_static(strict=True):
                self.context.logger.warning("%s; the old static records stay", problem)

    def _load_static(self, strict: bool) -> list[str]:
        if self._static_file is None:
            return []
        try:
            status = self._static_file.stat()
            text = self._static_file.read_text("utf-8")
        except (OSError, UnicodeError) as error:
            return [f"{self._static_file}: cannot read the static records: {error}"]
        records, problems = parse(text, str(self._static_file), self._key_of)
        self._static_stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if not (strict and problems):
            self.registrar.set_static_records(records, time())
        return problems

    def _key_of(self, aor: SipUri) -> str:
        return self._domains.key(aor.user, aor.host, aor.aor)

    # --- REGISTER ----------------------------------------------------------------------------------------

    def on_request(self, event: RequestEvent) -> Awaitable[None] | None:
        """Answer it when its domain is ours."""
        request = event.request
        if not self._domains.manages(request.uri.host):
            return None
        if request.shape.route >= 0:
            return None  # it only passes here on its way to another hop
        if self._refreshed(event):
            return None
        registration = self._registration(event)
        try:
            for condition in self.registrar.conditions:
                condition(request)
            bindings = self.registrar.register(registration, time())
        except RegistrationError as error:
            self._refuse(event, error)
            return None
        if isinstance(bindings, list):
            self._accept(event, registration, bindings)
            return None
        return self._accept_later(event, registration, bindings)

    async def _accept_later(
        self, event: RequestEvent, registration: Registration, waiting: Awaitable[list[Binding]]
    ) -> None:
        try:
            self._accept(event, registration, await waiting)
        except RegistrationError as error:
            self._refuse(event, error)

    def _refreshed(self, event: RequestEvent) -> bool:
        """Whether the request said what its device's last one said, and has been answered."""
        request = event.request
        lines, shape = request.lines, request.shape
        aor = request.plain_to
        cseq = request.number
        if not aor or cseq < 0 or self._domains.merged or shape.contacts != 1:
            return False
        if shape.supported >= 0 and shape.names.count(H.SUPPORTED) > 1:
            return False
        call_id = request.call_id
        now = time()
        source = _source_of(request)
        bindings = self.registrar.refresh(aor, source, call_id, cseq, event.incoming_token, now)
        if bindings is None:
            return False
        supported = lines[shape.supported] if shape.supported >= 0 else b""
        base = b"sip:" + aor.encode()
        gruu = contains(supported, b"gruu")
        values = self.registrar.answer_values(base, call_id, gruu, bindings, now)
        paths = tuple(request.get_all(H.PATH)) if H.PATH in shape.first and contains(supported, b"path") else ()
        self._answer(event, values, paths, bindings)
        return True

    def _registration(self, event: RequestEvent) -> Registration:
        request = event.request
        names = request.shape.names
        aor = _address_of_record(request)
        if not self._domains.manages(aor.host):
            raise SipError("Not Found", 404)
        contacts: list[NameAddr] = []
        star = False
        if H.CONTACT in names:
            for raw in request.get_all(H.CONTACT):
                if raw == b"*":
                    star = True
                else:
                    contacts.append(NameAddr.parse(unfold(raw)))
        value = dict(zip(names, request.lines, strict=True)).get
        supported = value(H.SUPPORTED, b"")
        if names.count(H.SUPPORTED) > 1:
            supported = b",".join(request.get_all(H.SUPPORTED))
        expires = value(H.EXPIRES)
        cseq = value(H.CSEQ, b"").partition(b":")[2].strip().partition(b" ")[0]
        return Registration(
            aor.aor if not self._domains.merged else self._key_of(aor),
            aor,
            contacts,
            star,
            None if expires is None else parse_seconds(expires.partition(b":")[2]),
            request.call_id,
            int(cseq) if cseq.isdigit() else request.cseq.number,
            tuple(request.get_all(H.PATH)) if H.PATH in names else (),
            supported.find(b"gruu") >= 0,
            supported.find(b"outbound") >= 0,
            supported.find(b"path") >= 0,
            value(H.USER_AGENT, b"").partition(b":")[2].strip(),
            value(H.ACCEPT, b"").partition(b":")[2].strip(),
            event.incoming_token,
            _source_of(request),
        )

    def _accept(self, event: RequestEvent, registration: Registration, bindings: list[Binding]) -> None:
        values = self.registrar.contact_values(registration, bindings, time())
        self._answer(event, values, registration.path if registration.supports_path else (), bindings)

    def _answer(
        self, event: RequestEvent, values: list[bytes], path: tuple[bytes, ...], bindings: list[Binding]
    ) -> None:
        response = event.response(200)
        for value in values:
            response.append(H.CONTACT, b"Contact: " + value)
        response.append(H.SUPPORTED, _SUPPORTED)
        if path:
            response.set_values(H.PATH, b"Path", list(path))
        if self._service_route:
            response.set_values(H.SERVICE_ROUTE, b"Service-Route", [b"<" + uri + b">" for uri in self._service_route])
        for binding in bindings:
            if binding.reg_id is not None:
                response.append(H.REQUIRE, b"Require: outbound")
                break
        for edit in self.registrar.answer_edits:
            edit(event.request, response, bindings)
        event.send_response(response)

    def _refuse(self, event: RequestEvent, error: RegistrationError) -> None:
        self.context.counters["registrations_refused"] += 1
        response = event.response(error.status, error.reason)
        for name, value in error.headers:
            response.append(H.canonical(name), name + b": " + value)
        event.send_response(response)


_DECIDES: Final = frozenset((H.CONTACT, H.TO, H.EXPIRES, H.SUPPORTED, H.PATH, H.USER_AGENT, H.ACCEPT))
_MOST_SHAPES: Final = 1024
# How to pick the lines that decide out of all lines, for each shape of a REGISTER.
_pickers: Final[dict[Shape, Callable[[list[bytes]], Any]]] = {}


def _source_of(request: Request) -> int:
    """A hash of every line that decides about a binding, but for Call-ID, CSeq and flow; never 0.

    Hashes of bytes are keyed for this process, so nobody outside can make two that are equal. One bit less of it fits
    where compiled code keeps small numbers, and is no object of its own for each binding.
    """
    pick = _pickers.get(request.shape)
    if pick is None:
        if len(_pickers) >= _MOST_SHAPES:
            _pickers.clear()
        pick = itemgetter(*(index for index, name in enumerate(request.names) if name in _DECIDES))
        _pickers[request.shape] = pick
    return hash(pick(request.lines)) >> 1 or 1


def _address_of_record(request: Request) -> SipUri:
    try:
        return request.to_uri
    except UriError as error:  # also of another scheme (RFC 4475 section 3.3.4)
        raise SipError(f"only SIP addresses can be registered: {error}", 400) from error
