"""Requests and stores for the registrar's tests."""

from __future__ import annotations

from collections.abc import Iterator

from flexipy.registrar.binding import Change, Record
from flexipy.registrar.registrar import Registrar
from flexipy.registrar.registration import RegistrarOptions, Registration
from flexipy.registrar.stores.memory import MemoryStore
from flexipy.sip.headers import NameAddr
from flexipy.sip.uri import SipUri

NOW = 1_700_000_000.0
URN = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"


def local_registrar(options: RegistrarOptions | None = None):  # type: ignore[no-untyped-def]
    """A registrar on a memory store; untyped, so that tests need not tell results from awaitables."""
    return Registrar(MemoryStore(), options)


def registration(
    *contacts: str,
    aor: str = "sip:alice@sip.example.org",
    star: bool = False,
    expires: int | None = 600,
    call_id: bytes = b"call-1",
    cseq: int = 1,
    path: tuple[bytes, ...] = (),
    gruu: bool = False,
    outbound: bool = False,
    flow_token: bytes = b"",
) -> Registration:
    """A REGISTER."""
    uri = SipUri.parse(aor.encode())
    if star and expires == 600:
        expires = 0
    return Registration(
        uri.aor,
        uri,
        [NameAddr.parse(contact.encode()) for contact in contacts],
        star,
        expires,
        call_id,
        cseq,
        path,
        gruu,
        outbound,
        True,
        b"test/1.0",
        b"application/sdp",
        flow_token,
    )


class FakeRemoteStore:
    """A store that must wait, as Redis does."""

    local = False

    def __init__(self) -> None:
        self.saved: dict[str, Record] = {}

    async def load(self, key: str) -> Record | None:
        record = self.saved.get(key)
        return None if record is None else Record(key, list(record.bindings))

    async def save(self, record: Record, changes: list[Change]) -> None:
        self.saved[record.key] = record
        if not record.bindings:
            del self.saved[record.key]

    async def keys(self) -> Iterator[str]:
        return iter(list(self.saved))

    def records(self) -> Iterator[Record]:
        return iter(())
