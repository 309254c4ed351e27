"""A binding gives back what it was made of, however little of it is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexipy.registrar.binding import Binding
from flexipy.sip.params import decode
from flexipy.sip.uri import SipUri

URN = "urn:uuid:0b0d3c52-6f0e-4c6b-9d3a-000000000001"
URI = SipUri.parse(b"sip:a@10.0.0.1:5062;transport=tcp")


@pytest.mark.parametrize(
    ("unique_id", "instance_id"),
    [
        (f"<{URN}>", URN),
        (f"<{URN}>;reg-id=2", URN),
        (URN, URN),
        ("token", URN),
        ("<>", ""),
        ("<a>b>", "a>b"),
        ("<a>>", "a"),
        ("<a>;>", "a"),
        ("<x", "x"),
        ("token", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("params", ['+sip.instance="<{}>"', 'a={};b="{}"', "{}\x00", "methods=x", ""])
def test_instance_id_and_parameters_are_given_back(unique_id: str, instance_id: str | None, params: str) -> None:
    raw = (";" + params.format(instance_id, instance_id)).encode()
    binding = Binding("a@b", unique_id, URI, raw, instance_id)
    assert binding.instance_id == instance_id
    assert binding.contact_params == raw
    assert binding.uri == URI


@given(st.binary(max_size=20), st.text(max_size=4), st.text(max_size=4), st.binary(max_size=20))
def test_whatever_the_parameters_are_they_are_given_back(before: bytes, name: str, more: str, behind: bytes) -> None:
    instance_id = decode(name.encode("utf-8", "surrogatepass"))
    params = before + name.encode("utf-8", "surrogatepass") + behind
    binding = Binding("a@b", f"<{instance_id}>{more}", URI, params, instance_id)
    assert binding.instance_id == instance_id
    assert binding.contact_params == params


def test_devices_of_one_kind_share_what_they_have_in_common() -> None:
    one, other = (
        Binding("a@b", f"<{URN}{number}>", URI, f';+sip.instance="<{URN}{number}>"'.encode(), f"{URN}{number}")
        for number in range(2)
    )
    assert one.contact_params != other.contact_params
    assert one._form is other._form
