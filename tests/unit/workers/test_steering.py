"""The program that has the kernel give datagrams to their owners: what it says, and that the kernel does so."""

from __future__ import annotations

import errno
import random
import select
import socket
from collections.abc import Iterator

import pytest

from flexipy.transport.addresses import family_of
from flexipy.transport.udp import bind_udp
from flexipy.workers import shared_ports
from flexipy.workers.ownership import KEYS, owner_of
from flexipy.workers.shared_ports import SharedPorts
from flexipy.workers.steering import ELSEWHERE, LONGEST, Program, attach, programs
from tests.harness.classic_bpf import Machine, kernel_steers
from tests.harness.events import PATIENCE

_COUNT = 5
_PREFIX = b"z9hG4bKfx1a2b3c4d"
_PROGRAM = next(iter(programs({worker: worker for worker in range(_COUNT)}, _PREFIX, KEYS, _COUNT)))
_GO, _RETURN = 0x05, 0x06  # BPF_JMP | BPF_JA, BPF_RET | BPF_K
_BETWEEN = "CSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"


def _request(
    method: str,
    call_id: str = "Call-ID: 8f14e45fceea167a@house",
    before: str = "",
    after: str = "",
    target: str = "sip:bob@house.test",
) -> bytes:
    head = f"{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKabcdef;rport\r\n"
    people = "From: <sip:alice@house.test>;tag=1\r\nTo: <sip:bob@house.test>\r\n"
    return f"{head}{before}{people}{call_id}\r\n{after}{_BETWEEN}Content-Length: 0\r\n\r\n".encode()


def _response(branch: str, before: str = "", status: str = "200 OK") -> bytes:
    via = f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKabcdef\r\n"
    people = (
        "From: <sip:alice@house.test>;tag=1\r\nTo: <sip:bob@house.test>;tag=2\r\nCall-ID: 8f14e45fceea167a@house\r\n"
    )
    return f"SIP/2.0 {status}\r\n{before}{via}{people}{_BETWEEN}Content-Length: 0\r\n\r\n".encode()


def _branch(worker: int) -> str:
    return f"{_PREFIX.decode()}{worker:02x}0123456789abcdef.89abcdef"


def _said(data: bytes) -> int:
    return Machine(data).run(_PROGRAM)


def _owner(data: bytes) -> int:
    return owner_of(data, _PREFIX, _COUNT)


@pytest.mark.parametrize("method", ["INVITE", "ACK", "CANCEL", "BYE", "PRACK", "OPTIONS", "SUBSCRIBE", "X"])
def test_a_request_goes_to_the_owner_of_its_call(method: str) -> None:
    for number in range(50):
        data = _request(method, f"Call-ID: {number}-{number * 7919:x}@192.0.2.{number}")
        assert _said(data) == _owner(data)


@pytest.mark.parametrize("length", [*range(1, 20), 64])
def test_call_ids_of_any_length_count_as_they_do_for_workers(length: int) -> None:
    for letter in "a9~":
        data = _request("INVITE", f"Call-ID: {letter * length}")
        assert _said(data) == _owner(data)


@pytest.mark.parametrize("length", range(1, 40))
def test_a_message_goes_to_the_owner_of_who_it_is_for(length: int) -> None:
    for letter in "a9~":
        data = _request("MESSAGE", target=f"sip:{letter * length}@house.test")
        assert _said(data) == _owner(data)


def test_a_call_id_is_found_wherever_it_stands() -> None:
    for length in range(560):
        data = _request("BYE", before=f"Route: <sip:{'r' * length}@house.test;lr>\r\n")
        assert _said(data) == _owner(data)


def test_a_blank_behind_the_colon_may_be_missing() -> None:
    data = _request("INVITE", "Call-ID:abc@house")
    assert _said(data) == _owner(data)


@pytest.mark.parametrize("worker", range(_COUNT))
def test_a_response_goes_to_the_worker_in_our_branch(worker: int) -> None:
    for length in range(200):
        data = _response(_branch(worker), before=f"Server: {'s' * length}\r\n")
        assert _said(data) == _owner(data) == worker


@pytest.mark.parametrize(
    "data",
    [
        _request("REGISTER"),
        _request("MESSAGE", target="sips:bob@house.test"),
        _request("MESSAGER"),
        _request("invite"),
        b"\r\n" + _request("INVITE"),
        _request("INVITE", "i: 8f14e45fceea167a@house"),
        _request("INVITE", "Call-ID:  8f14e45fceea167a@house"),
        _request("INVITE", "Call-ID: "),
        _request("INVITE", "Call-Info: 8f14e45fceea167a@house"),
        _request("INVITE", before=f"Route: <sip:{'r' * 1000}@house.test;lr>\r\n"),
        _response("z9hG4bKother"),
        _response(f"{_PREFIX.decode()}zz0123"),
        _response(f"{_PREFIX.decode()}{_COUNT:02x}0123"),
        b"",
        b"\r\n\r\n",
        b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(120),
        b"SIP/2.0 200 OK\r\n\r\n",
        b"[" * 200,
        b"@" * 200,
        b"INVITE" * 200,
    ],
)
def test_what_can_be_dealt_with_anywhere_is_left_to_the_kernel(data: bytes) -> None:
    assert _said(data) == ELSEWHERE


def test_what_is_cut_off_is_not_read_beyond_its_end() -> None:
    for data in (_request("INVITE"), _response(_branch(3)), _request("REGISTER")):
        for end in range(len(data)):
            assert _said(data[:end]) in (ELSEWHERE, _said(data))


def test_a_program_survives_what_strangers_send() -> None:
    chance = random.Random(20)
    seeds = [_request("INVITE"), _response(_branch(3)), b"\r\nCall-ID:" * 90, _PREFIX * 50]
    for _ in range(3000):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 12)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(4)] = chance.choice((b"\r\nCall-ID:", b"Call", _PREFIX, b"\r", b"\xff"))
        data = data[: chance.randrange(len(data) + 1)]
        if chance.random() < 0.5:
            data[:4] = chance.choice((b"SIP/", b"INVI"))
        assert _said(bytes(data)) in (ELSEWHERE, *range(_COUNT))
    for _ in range(2000):
        assert _said(chance.choice((b"SIP/", b"BYE ", b"")) + chance.randbytes(chance.randrange(900))) in (
            ELSEWHERE,
            *range(_COUNT),
        )


def test_who_is_not_there_is_left_to_the_kernel() -> None:
    program = next(iter(programs({4: 0, 1: 1}, _PREFIX, KEYS, _COUNT)))
    for worker, place in ((0, ELSEWHERE), (1, 1), (2, ELSEWHERE), (3, ELSEWHERE), (4, 0)):
        assert Machine(_response(_branch(worker))).run(program) == place


@pytest.mark.parametrize("count", [2, 3, 16, 64])
def test_programs_are_as_the_kernel_wants_them(count: int) -> None:
    for program in programs({worker: worker for worker in range(count)}, _PREFIX, KEYS, count):
        assert len(program) <= LONGEST
        assert program[-1] == (_RETURN, 0, 0, ELSEWHERE)
        for at, (code, if_true, if_false, k) in enumerate(program[:-1]):
            assert max(if_true, if_false) < 256
            assert at + 1 + max(if_true, if_false, k if code == _GO else 0) < len(program)


# --- the kernel ------------------------------------------------------------------------------------------


@pytest.fixture(params=["127.0.0.1", "::1"])
def ip(request: pytest.FixtureRequest) -> str:
    """An address to listen on."""
    return str(request.param)


@pytest.fixture
def address(ip: str) -> tuple[str, int]:
    """That with a free port."""
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((ip, 0))
        return ip, sock.getsockname()[1]


@pytest.fixture
def ports(address: tuple[str, int]) -> Iterator[SharedPorts]:
    """What the parent of three workers has."""
    if not kernel_steers():
        pytest.skip("the kernel takes no programs")
    ports = SharedPorts([address], 1 << 16, _PREFIX, 3)
    yield ports
    ports.forget()


@pytest.fixture
def phone(ip: str) -> Iterator[socket.socket]:
    """It sends from one port."""
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        yield sock


def _arrives_at(sockets: dict[int, socket.socket], data: bytes) -> int:
    """The worker whose socket got a datagram."""
    readable, _, _ = select.select(list(sockets.values()), [], [], PATIENCE)
    (found,) = readable
    assert found.recv(65535) == data
    return next(worker for worker, sock in sockets.items() if sock is found)


def _messages() -> list[bytes]:
    requests = [_request("INVITE", f"Call-ID: {number}@house") for number in range(20)]
    return [*requests, *(_response(_branch(worker)) for worker in range(3))]


def _check(sockets: dict[int, socket.socket], phone: socket.socket, address: tuple[str, int]) -> None:
    for data in _messages():
        owner = owner_of(data, _PREFIX, 3)
        phone.sendto(data, address)
        assert _arrives_at(sockets, data) == owner or owner not in sockets


def test_datagrams_arrive_at_their_owner(ports: SharedPorts, phone: socket.socket, address: tuple[str, int]) -> None:
    sockets: dict[int, socket.socket] = {}
    for worker in (0, 2, 1):
        sockets[worker] = ports.bind(worker)[0]
        _check(sockets, phone, address)


@pytest.mark.parametrize("number", range(3))
def test_they_do_so_when_a_worker_is_gone_and_when_it_is_back(
    ports: SharedPorts, phone: socket.socket, address: tuple[str, int], number: int
) -> None:
    sockets = {worker: ports.bind(worker)[0] for worker in range(3)}
    del sockets[number]
    ports.release(number)
    _check(sockets, phone, address)
    sockets[number] = ports.bind(number)[0]
    _check(sockets, phone, address)
    for worker in range(3):
        ports.release(worker)


def test_a_registration_may_arrive_anywhere(ports: SharedPorts, phone: socket.socket, address: tuple[str, int]) -> None:
    sockets = {worker: ports.bind(worker)[0] for worker in range(3)}
    data = _request("REGISTER")
    found = set()
    for _ in range(5):
        phone.sendto(data, address)
        found.add(_arrives_at(sockets, data))
    assert len(found) == 1  # the kernel chooses by address and port


def test_who_has_to_bind_itself_is_told_so(address: tuple[str, int]) -> None:
    ports = SharedPorts([address, ("192.0.2.1", 5060)], 1 << 16, _PREFIX, 3)
    assert not ports.bind(1)
    ports.release(1)


def test_nobody_steers_any_more_once_the_order_is_unknown(
    ports: SharedPorts, phone: socket.socket, address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    sockets = {worker: ports.bind(worker)[0] for worker in (0, 1)}
    with monkeypatch.context() as patch:
        patch.setattr(shared_ports, "bind_udp", fail)
        assert not ports.bind(2)
    with bind_udp(family_of(address[0]), address, 1 << 16, reuse_port=True) as its_own:
        sockets[2] = its_own
        found = set()
        for data in _messages():
            phone.sendto(data, address)
            found.add(_arrives_at(sockets, data))
        assert len(found) == 1


def test_where_the_kernel_takes_no_programs_it_does_as_it_likes(
    ports: SharedPorts, phone: socket.socket, address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(sock: socket.socket, program: Program) -> None:
        asked.append(len(program))
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    monkeypatch.setattr(shared_ports, "attach", refuse)
    sockets = {worker: ports.bind(worker)[0] for worker in range(3)}
    assert len(asked) == 2  # one that steers, then one that does not
    found = set()
    for data in _messages():
        phone.sendto(data, address)
        found.add(_arrives_at(sockets, data))
    assert len(found) == 1


def test_a_shorter_program_does_where_a_long_one_is_too_long(
    ports: SharedPorts, phone: socket.socket, address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def attach_short_ones(sock: socket.socket, program: Program) -> None:
        if len(program) > 1200:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        attach(sock, program)

    monkeypatch.setattr(shared_ports, "attach", attach_short_ones)
    _check({worker: ports.bind(worker)[0] for worker in range(3)}, phone, address)
