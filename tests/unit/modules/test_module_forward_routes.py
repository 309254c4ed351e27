"""The routes file of Forward, in the forms that Flexisip's users have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flexipy.modules.forward import Forward, parse_routes
from tests.harness.fake_network import request


def test_a_condition_may_stand_in_the_place_of_a_domain() -> None:
    routes, problems = parse_routes(
        "# gateways\n"
        "<sip:192.0.2.1>  request.method == 'MESSAGE' && user-agent contains 'Linphone'\n"
        "<sip:192.0.2.2>  to.uri.user regex '10[0-9]{1,10}'\n"
        "\t|| to.uri.user == 'door'   # goes on\n"
        "<sip:192.0.2.3>  is_request\n"
        "<sip:192.0.2.4>  example.net\n"
        "<sip:192.0.2.5>  *\n",
        "routes",
    )
    assert problems == []
    assert [route.pattern for route in routes] == ["", "", "", "example.net", "*"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("<sip:192.0.2.1>", "expected"),
        ("<sip:192.0.2.1> request.methd == 'MESSAGE'", "request.methd"),
        ("<sip:192.0.2.1> to.uri.user ==", "in '<sip"),
        ("<http://192.0.2.1> example.net", "in '<http"),
    ],
)
def test_a_mistake_is_told_with_its_line(line: str, reason: str) -> None:
    routes, problems = parse_routes(f"\n{line}\n", "routes")
    assert routes == []
    (problem,) = problems
    assert problem.startswith("routes:2: ")
    assert reason in problem


async def test_the_first_line_that_fits_counts(make_proxy: Any, tmp_path: Path) -> None:
    file = tmp_path / "routes"
    file.write_text("<sip:192.0.2.1> request.method == 'MESSAGE'\n<sip:192.0.2.2> example.net\n<sip:192.0.2.3> *\n")
    proxy = await make_proxy([Forward], f"module::Forward/routes-config-path={file}")
    client = proxy.client()
    client.sends(request("MESSAGE", "sip:bob@example.net"))
    client.sends(request("INFO", "sip:bob@example.net"))
    client.sends(request("INFO", "sip:bob@example.org"))
    methods = [[each.method for each in proxy.client(f"192.0.2.{number}").requests] for number in (1, 2, 3)]
    assert methods == [[b"MESSAGE"], [b"INFO"], [b"INFO"]]
