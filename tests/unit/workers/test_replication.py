"""Workers have the same bindings, whoever changed them and whoever was there at the time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flexipy.registrar.binding import Change, ChangeKind
from flexipy.registrar.events import EventKind, RegistrarEvent
from flexipy.registrar.journal import Journal
from flexipy.registrar.registrar import Registrar
from flexipy.sip.uri import SipUri
from flexipy.workers.replication import ReplicatedStore, Replication

_NOW = 1000.0


class Network:
    """Workers that hear each other when they take in what has arrived."""

    def __init__(self, count: int) -> None:
        self.later: list[Callable[[], None]] = []
        self.members = [Member(self, index, count) for index in range(count)]

    def settle(self) -> None:
        for member in self.members:
            member.take_in()
        while self.later:
            self.later.pop(0)()

    def owner(self, key: str) -> Member:
        """One of them, now this and now that."""
        return self.members[len(key) % len(self.members)]

    def other(self, key: str) -> Member:
        return self.members[len(key) % len(self.members) - 1]


class Member:
    def __init__(self, network: Network, index: int, count: int, journal: Journal | None = None) -> None:
        self.network = network
        self.arrived: list[bytes] = []
        self.replication = Replication(index, self.publish, self.take_in, network.later.append)
        self.store = ReplicatedStore(self.replication, journal)
        self.registrar = Registrar(self.store)
        self.replication.connect(self.store, self.registrar.replicated, self.registrar.is_awaited)

    def publish(self, lines: bytes) -> None:
        for member in self.network.members:
            if member is not self:
                member.arrived.append(lines)

    def take_in(self) -> None:
        arrived, self.arrived = self.arrived, []
        for lines in arrived:
            self.replication.apply(lines)

    def contacts(self, key: str) -> list[str]:
        record = self.registrar.fetch(key, _NOW)
        assert record is None or hasattr(record, "bindings")
        return [] if record is None else sorted(str(binding.uri) for binding in record.bindings)


def _bind(member: Member, key: str, contact: str, unique_id: str = "phone", expires: int = 600) -> None:
    member.registrar.upsert(key, SipUri.parse(contact.encode()), expires, _NOW, unique_id)


def test_a_binding_is_found_elsewhere_as_soon_as_it_is_made() -> None:
    network = Network(3)
    for key in ("alice@x", "bob@x", "carol@x", "dave@x"):
        _bind(network.owner(key), key, "sip:a@192.0.2.1")
        for member in network.members:
            assert member.contacts(key) == ["sip:a@192.0.2.1"]


def test_replaced_and_removed_bindings_are_so_everywhere() -> None:
    network = Network(2)
    owner, other = network.owner("bob@x"), network.other("bob@x")
    _bind(owner, "bob@x", "sip:b@192.0.2.1")
    _bind(owner, "bob@x", "sip:b@192.0.2.2", "tablet")
    _bind(owner, "bob@x", "sip:b@192.0.2.3")
    assert other.contacts("bob@x") == ["sip:b@192.0.2.2", "sip:b@192.0.2.3"]
    owner.registrar.delete("bob@x", "tablet")
    assert other.contacts("bob@x") == ["sip:b@192.0.2.3"]
    owner.registrar.clear("bob@x")
    assert other.contacts("bob@x") == []
    assert list(other.store.keys()) == []


def test_who_waits_for_a_device_hears_of_it_elsewhere_but_not_in_the_middle_of_a_lookup() -> None:
    network = Network(2)
    owner, other = network.owner("bob@x"), network.other("bob@x")
    heard: list[RegistrarEvent] = []
    other.registrar.subscribe("bob@x", heard.append)
    _bind(owner, "bob@x", "sip:b@192.0.2.1")
    assert other.contacts("bob@x") == ["sip:b@192.0.2.1"]
    assert heard == []
    network.settle()
    assert [event.kind for event in heard] == [EventKind.REGISTERED]


def test_bindings_of_others_expire_here_too() -> None:
    network = Network(2)
    owner, other = network.owner("bob@x"), network.other("bob@x")
    _bind(owner, "bob@x", "sip:b@192.0.2.1", expires=10)
    network.settle()
    other.registrar.expire(_NOW + 11)
    assert list(other.store.keys()) == []


def test_a_worker_that_begins_anew_learns_everything() -> None:
    network = Network(3)
    keys = [f"user{number}@x" for number in range(50)]
    for key in keys:
        _bind(network.owner(key), key, f"sip:{key}")
    network.settle()
    fresh = network.members[1] = Member(network, 1, 3)
    fresh.replication.begin_learning()
    for lines in network.members[2].replication.tell():
        fresh.replication.apply(lines)
    fresh.replication.end_learning()
    assert sorted(fresh.store.keys()) == sorted(keys)


def test_what_was_removed_meanwhile_does_not_come_back_from_the_journal(tmp_path: Path) -> None:
    network = Network(2)
    journal = Journal(tmp_path / "journal")
    journal.open(_NOW)
    network.members[0] = Member(network, 0, 2, journal)
    for key in ("alice@x", "bob@x", "carol@x", "dave@x"):
        _bind(network.owner(key), key, "sip:a@192.0.2.1")
    network.settle()
    network.members[0].take_in()
    journal.close()
    gone = "bob@x"
    network.members[1].registrar.clear(gone)

    journal = Journal(tmp_path / "journal")
    records = journal.open(_NOW)
    assert gone in records
    fresh = Member(network, 0, 2)
    fresh.store = ReplicatedStore(fresh.replication, journal, records)
    changes: list[tuple[str, list[Change]]] = []
    fresh.replication.connect(fresh.store, lambda key, change: changes.append((key, change)), lambda _: True)
    fresh.replication.begin_learning()
    for lines in network.members[1].replication.tell():
        fresh.replication.apply(lines)
    fresh.replication.end_learning()
    network.settle()
    assert gone not in list(fresh.store.keys())
    assert (gone, ChangeKind.REMOVED) in [(key, change[0][0]) for key, change in changes]
    journal.close()
    assert sorted(Journal(tmp_path / "journal").open(_NOW)) == sorted(
        {"alice@x", "bob@x", "carol@x", "dave@x"} - {gone}
    )


def test_of_two_changes_at_the_same_moment_the_later_one_counts_everywhere() -> None:
    network = Network(2)
    first, second = network.members
    _bind(first, "bob@x", "sip:b@192.0.2.1")
    network.settle()
    old = SipUri.parse(b"sip:b@192.0.2.2"), SipUri.parse(b"sip:b@192.0.2.3")
    waiting = [member.arrived for member in network.members]
    assert waiting == [[], []]
    for member, uri, now in ((first, old[0], _NOW + 0.001), (second, old[1], _NOW + 0.002)):
        held, member.arrived = member.arrived, []  # neither has heard of the other
        member.registrar.upsert("bob@x", uri, 600, now, "phone")
        member.arrived = held + member.arrived
    network.settle()
    assert first.contacts("bob@x") == second.contacts("bob@x") == ["sip:b@192.0.2.3"]


def test_a_renewal_that_was_overtaken_is_left_out() -> None:
    network = Network(2)
    first, second = network.members
    _bind(first, "bob@x", "sip:b@192.0.2.1")
    record = first.store.peek("bob@x")
    assert record is not None
    first.store.save(record, [(ChangeKind.EXTENDED, record.bindings[0])])
    late = list(second.arrived)
    network.settle()
    second.registrar.upsert("bob@x", SipUri.parse(b"sip:b@192.0.2.9"), 600, _NOW + 5, "phone")
    for lines in late:
        second.replication.apply(lines)
    assert second.contacts("bob@x") == ["sip:b@192.0.2.9"]
