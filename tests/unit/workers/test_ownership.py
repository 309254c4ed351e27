"""Which worker a message belongs to."""

from __future__ import annotations

import pytest

from flexipy.sip.uri import SipUri
from flexipy.workers.ownership import owner_of, owner_of_call, owner_of_key

_COUNT = 7
_PREFIX = b"z9hG4bKfx12345678"


def _request(
    method: str,
    call_id: str = "Call-ID: abc@host",
    to: str = "To: <sip:bob@house.test>",
    target: str = "sip:house.test",
) -> bytes:
    lines = (f"{method} {target} SIP/2.0", "Via: SIP/2.0/UDP a;branch=z9hG4bK1", to, call_id, f"CSeq: 1 {method}")
    return "\r\n".join((*lines, "", "")).encode()


def _owner(data: bytes) -> int:
    return owner_of(data, _PREFIX, _COUNT)


def _keys_owner(address: str) -> int:
    return owner_of_key(SipUri.parse(address.encode()).aor, _COUNT)


@pytest.mark.parametrize("method", ["INVITE", "ACK", "CANCEL", "BYE", "PRACK", "OPTIONS"])
def test_all_requests_of_a_call_have_one_owner(method: str) -> None:
    assert _owner(_request(method)) == owner_of_call(b"abc@host", _COUNT)


@pytest.mark.parametrize(
    "line", ["i: abc@host", "CALL-ID: abc@host", "Call-Id:abc@host", "Call-ID: \r\n abc@host", "call-id :  abc@host"]
)
def test_a_call_id_counts_however_it_is_written(line: str) -> None:
    assert _owner(_request("BYE", line)) == owner_of_call(b"abc@host", _COUNT)


def test_a_call_id_in_the_body_does_not_count() -> None:
    data = _request("NOTIFY", "i: abc@host") + b"SIP/2.0 200 OK\r\nCall-ID: other\r\n\r\n"
    assert _owner(data) == owner_of_call(b"abc@host", _COUNT)


@pytest.mark.parametrize(
    "target",
    [
        "sip:bob@house.test",
        "sip:bob@HOUSE.test:5060;transport=tcp",
        "sips:bob@house.test",
        "SIP:bob@house.test",
        "sip:b%6Fb@house.test",
        "sip:bob:secret@elsewhere.test",
    ],
)
@pytest.mark.parametrize("to", ["To: <sip:bob@house.test>", "To: <sip:bob@house.test;x=y>", "t: sip:alice@house.test"])
def test_messages_for_one_user_have_one_owner_however_he_is_written(target: str, to: str) -> None:
    assert _owner(_request("MESSAGE", to=to, target=target)) == _keys_owner("sip:bob@house.test")


def test_a_message_for_a_whole_domain_has_an_owner() -> None:
    assert _owner(_request("MESSAGE", target="sip:house.test")) == _keys_owner("sip:house.test")


def test_messages_for_chat_rooms_are_spread_though_their_names_begin_alike() -> None:
    rooms = [f"sip:chatroom-012345678-{number}@house.test" for number in range(100)]
    assert {_owner(_request("MESSAGE", target=room)) for room in rooms} == set(range(_COUNT))


def test_a_registration_is_served_where_it_arrives() -> None:
    assert _owner(_request("REGISTER")) == -1


def test_a_message_within_a_call_belongs_to_the_call() -> None:
    assert _owner(_request("MESSAGE", to="To: <sip:bob@house.test>;tag=1")) == owner_of_call(b"abc@host", _COUNT)


def test_a_response_belongs_to_the_worker_in_our_branch() -> None:
    vias = f"Via: SIP/2.0/UDP a;branch={_PREFIX.decode()}05aa\r\nVia: SIP/2.0/UDP b;branch={_PREFIX.decode()}02aa\r\n"
    assert _owner(f"SIP/2.0 200 OK\r\n{vias}\r\n".encode()) == 5


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKother05\r\n\r\n",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=" + _PREFIX + b"zz\r\n\r\n",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=" + _PREFIX + b"07\r\n\r\n",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=" + _PREFIX,
        b"INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n\r\n",
        b"MESSAGE nobody SIP/2.0\r\nTo: <sip:x>\r\n\r\n",
        b"MESSAGE sip:x SIP/2.0\r\nTo:",
    ],
)
def test_what_cannot_be_told_stays_where_it_came(data: bytes) -> None:
    assert _owner(data) == -1
