"""What is in the journal survives any end of the process, and nothing in it stops the next start."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registrar_samples import NOW, URN, registration

from flexipy.registrar.binding import Binding, Record
from flexipy.registrar.journal import HEADER, Journal, JournalError
from flexipy.registrar.journal_lines import binding_line, fields_of, read_binding, refresh, refresh_line
from flexipy.registrar.registrar import Registrar
from flexipy.registrar.stores.memory import MemoryStore
from flexipy.sip.uri import SipUri

KEY = "alice@sip.example.org"
ATTRIBUTES = getattr(Binding, "__slots__", ()) or Binding.__mypyc_attrs__  # compiled classes have no slots
FIELDS = [name for name in ATTRIBUTES if name != "due"]


def content(binding: Binding) -> dict[str, object]:
    return {name: getattr(binding, name) for name in FIELDS}


def contents(store: MemoryStore) -> list[dict[str, object]]:
    return [content(binding) for record in store.records() for binding in record.bindings]


def start(path: Path, now: float = NOW, least: int = 1 << 20) -> tuple[Registrar, MemoryStore, Journal]:
    journal = Journal(path, least)
    store = MemoryStore(journal, journal.open(now))
    return Registrar(store), store, journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bindings.journal"


def rewrite(journal: Journal, store: MemoryStore) -> None:
    while journal.step(store.records()):
        journal.sync()


def test_bindings_survive_without_a_goodbye(path: Path) -> None:
    registrar, store, journal = start(path)
    contact = f'"A\tB" <sip:a@10.0.0.1;x=%09>;+sip.instance="<{URN}>";q=0.25;message-expires=999'
    request = registration(contact, path=(b"<sip:edge;lr>", b'"x, \\ y" <sip:e2>'), flow_token=b"\t\n\\\xff")
    registrar.register(request, NOW)
    registrar.register(registration("<sip:a@10.0.0.2>", call_id=b"2"), NOW)
    request.cseq = 2
    registrar.register(request, NOW + 5)  # a refresh
    registrar.register(registration("<sip:a@10.0.0.3>", call_id=b"3"), NOW)
    registrar.register(registration("<sip:a@10.0.0.3>", call_id=b"3", cseq=2, expires=0), NOW)
    before = contents(store)
    assert len(before) == 2
    os.close(journal._fd)  # as kill -9 would
    _, again, _ = start(path, NOW + 10)
    assert contents(again) == before


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    start(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_lapsed_meanwhile_is_gone(path: Path) -> None:
    registrar, _, journal = start(path)
    registrar.register(registration("<sip:a@10.0.0.1>", expires=60), NOW)
    registrar.register(registration("<sip:a@10.0.0.2>", expires=600, call_id=b"2"), NOW)
    journal.close()
    registrar, store, _ = start(path, NOW + 60)
    assert len(contents(store)) == 1
    assert registrar.expire(NOW + 60) == NOW + 600


def test_a_torn_last_line_costs_that_line_only(path: Path) -> None:
    registrar, _, journal = start(path)
    registrar.register(registration("<sip:a@10.0.0.1>"), NOW)
    registrar.register(registration("<sip:a@10.0.0.2>", call_id=b"2"), NOW)
    journal.close()
    path.write_bytes(path.read_bytes()[:-5])
    registrar, store, journal = start(path)
    assert len(contents(store)) == 1
    registrar.register(registration("<sip:a@10.0.0.3>", call_id=b"3"), NOW)
    journal.close()
    assert len(contents(start(path)[1])) == 2


def test_damaged_lines_are_reported_once_with_their_place(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    registrar, _, journal = start(path)
    for index in range(3):
        registrar.register(registration(f"<sip:a@10.0.0.{index}>", call_id=b"%d" % index), NOW)
    journal.close()
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"10.0.0.1", b"10.9.9.9")
    path.write_bytes(b"\n".join(lines) + b"\x00\xff garbage\n")
    _, store, _ = start(path)
    assert len(contents(store)) == 2
    [record] = caplog.records
    assert f"{path}:3: wrong checksum; 2 such lines left out" in record.getMessage()


@given(st.binary(max_size=300), st.integers(0, 400))
def test_nothing_in_the_file_stops_the_start(tmp_path_factory: pytest.TempPathFactory, junk: bytes, cut: int) -> None:
    path = tmp_path_factory.mktemp("j") / "journal"
    line = binding_line(Binding(KEY, "u", SipUri.parse(b"sip:a@h"), expires_at=NOW + 60))
    path.write_bytes(HEADER + line[:cut] + junk + b"\n" + line)
    _, store, journal = start(path)
    assert len(contents(store)) == 1
    journal.close()


def test_a_file_torn_in_its_first_line_is_begun_anew(path: Path) -> None:
    path.write_bytes(HEADER[:5])
    registrar, _, journal = start(path)
    registrar.register(registration("<sip:a@10.0.0.1>"), NOW)
    journal.close()
    assert len(contents(start(path)[1])) == 1


def test_another_kind_of_file_is_left_alone(path: Path) -> None:
    path.write_bytes(b"my letters\n")
    with pytest.raises(JournalError, match="not a journal"):
        start(path)
    assert path.read_bytes() == b"my letters\n"


def test_a_journal_in_use_is_refused(path: Path) -> None:
    _, _, journal = start(path)
    with pytest.raises(JournalError, match="in use"):
        start(path)
    journal.close()
    start(path)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.binary(),
    st.lists(st.binary(min_size=1).filter(lambda value: b"\x00" not in value), max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_a_line_gives_back_its_binding(text: str, raw: bytes, path: list[bytes], cseq: int) -> None:
    uri = SipUri.parse(b"sip:a@h")
    binding = Binding(
        text, text, uri, raw, None, 3, 0.5, tuple(path), raw, cseq, NOW, 1.5, NOW, raw, raw, raw, False, True
    )
    line = binding_line(binding)
    assert line.count(b"\n") == 1
    read = read_binding(fields_of(line[:-1]))
    assert content(read) == content(binding)
    binding.cseq, binding.expires_at, binding.flow_token = 7, NOW + 1.25, raw + b"\t"
    fields = fields_of(refresh_line(binding)[:-1])
    if fields[0] == b"R":
        refresh(read, fields)
    else:
        read = read_binding(fields)
    assert content(read) == content(binding)


# --- rewriting -------------------------------------------------------------------------------------------


def test_a_grown_journal_is_rewritten_while_registrations_go_on(path: Path) -> None:
    registrar, store, journal = start(path, least=50_000)
    dice = random.Random(7)
    rewrites = 0
    size = journal.size
    for round_ in range(4000):
        user = dice.randrange(250)
        request = registration(
            f"<sip:u@10.0.0.{dice.randrange(3)}>",
            aor=f"sip:user{user}@h",
            cseq=round_ + 1,
            call_id=b"%d" % dice.randrange(2),
            expires=dice.choice([0, 600, 700]),
        )
        registrar.register(request, NOW)
        if round_ % 5 == 0:
            journal.step(store.records())
            journal.sync()
        rewrites += journal.size < size
        size = journal.size
    assert rewrites >= 1
    before = contents(store)
    journal.close()
    _, again, journal = start(path)
    key = str
    assert sorted(contents(again), key=key) == sorted(before, key=key)
    assert not path.with_name(path.name + ".new").exists()


def test_a_rewrite_cut_short_leaves_the_old_file_in_charge(path: Path) -> None:
    registrar, store, journal = start(path, least=1)
    registrar.register(registration("<sip:a@10.0.0.1>"), NOW)
    assert journal.step(store.records())
    os.close(journal._fd)  # as kill -9 would
    os.close(journal._new_fd)
    assert len(contents(start(path)[1])) == 1


def test_a_small_journal_is_not_rewritten(path: Path) -> None:
    registrar, store, journal = start(path)
    registrar.register(registration("<sip:a@10.0.0.1>"), NOW)
    assert not journal.step(store.records())


# --- a full disk -----------------------------------------------------------------------------------------


def test_on_a_full_disk_registrations_go_on_and_nothing_is_missing_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registrar, store, journal = start(path)
    registrar.register(registration("<sip:a@10.0.0.1>"), NOW)

    real = os.write
    room = [10]

    def full(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = real(fd, data[: room[0]])
        room[0] = 0
        return done

    monkeypatch.setattr(os, "write", full)
    for index in (2, 3, 4):
        request = registration(f"<sip:a@10.0.0.{index}>", call_id=b"%d" % index)
        assert len(registrar.register(request, NOW)) == index
    assert not journal.step(store.records())
    assert journal.failures == 3
    assert len([record for record in caplog.records if "can't be written" in record.getMessage()]) == 1

    monkeypatch.setattr(os, "write", real)
    for _ in range(200):
        journal.step(store.records())
        journal.sync()
    registrar.register(registration("<sip:a@10.0.0.5>", call_id=b"5"), NOW)
    before = contents(store)
    journal.close()
    assert contents(start(path)[1]) == before


def test_the_store_works_without_a_journal() -> None:
    store = MemoryStore(records={KEY: Record(KEY, [Binding(KEY, "u", SipUri.parse(b"sip:a@h"))])})
    assert len(store) == 1
    assert list(store.keys()) == [KEY]
