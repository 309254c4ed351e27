"""Google's service: signed assertions, tokens renewed early, what its errors mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from flexipy.push import http as http_module
from flexipy.push.fcm import Firebase, ServiceAccount, read_account
from flexipy.push.http import HttpClient, tls_context
from flexipy.push.parameters import PushTarget
from flexipy.push.provider import ProviderError
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest
from tests.harness.certificates import Authority
from tests.harness.events import until
from tests.harness.fake_fcm import FakeFcm
from tests.harness.https_service import HttpAnswer
from tests.harness.push_keys import service_account

TARGET = PushTarget("fcm", "house", remote_token="abc:def")


def push(kind: PushKind = PushKind.VOIP, **more: Any) -> PushRequest:
    facts = {"call_id": "c1", "from_uri": "sip:door@house.test", "from_name": "Door", "text": "IC_MSG", "ttl": 30}
    return PushRequest(TARGET, kind, PushEvent.CALL, **facts | more)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Google:
    """The fake service and our end of it."""

    def __init__(self, service: FakeFcm, firebase: Firebase, clock: Clock) -> None:
        self.service = service
        self.firebase = firebase
        self.clock = clock


@pytest_asyncio.fixture
async def google(tmp_path: Path, authority: Authority) -> AsyncIterator[Google]:
    async with FakeFcm(tmp_path, authority) as service:
        http = HttpClient(tls_context(str(authority.file)))
        clock = Clock()
        account = ServiceAccount(read_account(service.account()), http, 300, 60, clock)
        firebase = Firebase({"house": account}, http, service.address)
        yield Google(service, firebase, clock)
        await firebase.close()


async def test_a_call_is_an_urgent_data_message(google: Google) -> None:
    result = await google.firebase.send(push())
    assert result.outcome is Outcome.SENT, result
    (taken,) = google.service.pushes.seen
    assert taken.token == "abc:def"
    assert taken.message["android"] == {"priority": "high", "ttl": "30s"}
    data = taken.message["data"]
    assert (data["from-uri"], data["display-name"], data["sip-from"]) == ("sip:door@house.test", "Door", "Door")
    assert (data["call-id"], data["loc-key"], data["loc-args"]) == ("c1", "IC_MSG", "Door")


async def test_a_wake_in_the_background_is_not_urgent(google: Google) -> None:
    await google.firebase.send(push(PushKind.BACKGROUND, ttl=None))
    assert google.service.pushes.seen[0].message["android"] == {"priority": "normal"}


async def test_one_token_serves_until_shortly_before_its_end(google: Google) -> None:
    await asyncio.gather(*(google.firebase.send(push()) for _ in range(20)))
    assert google.service.tokens_given == 1
    google.clock.now += 3200
    assert (await google.firebase.send(push())).outcome is Outcome.SENT
    assert google.service.tokens_given == 1
    google.clock.now += 200  # within the anticipation: sent with the old one, a new one is fetched beside
    assert (await google.firebase.send(push())).outcome is Outcome.SENT
    await until(lambda: google.service.tokens_given == 2, "the token is renewed")


async def test_a_token_that_google_revoked_is_replaced(google: Google) -> None:
    await google.firebase.send(push())
    google.service.revoke_tokens()
    assert (await google.firebase.send(push())).outcome is Outcome.LATER
    assert (await google.firebase.send(push())).outcome is Outcome.SENT


async def test_google_is_not_pestered_for_tokens(google: Google) -> None:
    google.service.token_failures = 1
    result = await google.firebase.send(push())
    assert result.outcome is Outcome.LATER
    assert "no token for push@house.example: 503 backend_error" in result.meaning
    assert (await google.firebase.send(push())).outcome is Outcome.LATER
    assert len(google.service.requests.seen) == 1
    google.clock.now += 61
    assert (await google.firebase.send(push())).outcome is Outcome.SENT


async def test_a_key_that_google_does_not_know_is_told(google: Google, tmp_path: Path) -> None:
    service_account(tmp_path / "house.json", f"{google.service.url}/token")
    account = ServiceAccount(read_account(tmp_path / "house.json"), google.firebase._http, 300, 60)
    result = await Firebase({"house": account}, google.firebase._http, google.service.address).send(push())
    assert result.outcome is Outcome.LATER
    assert "400 invalid_grant" in result.meaning


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (404, "UNREGISTERED", Outcome.DEAD),
        (400, "INVALID_ARGUMENT", Outcome.REFUSED),
        (403, "SENDER_ID_MISMATCH", Outcome.REFUSED),
        (429, "QUOTA_EXCEEDED", Outcome.LATER),
        (500, "INTERNAL", Outcome.LATER),
        (503, "UNAVAILABLE", Outcome.LATER),
    ],
)
async def test_what_google_says_is_understood(google: Google, status: int, code: str, outcome: Outcome) -> None:
    google.service.answers["abc:def"] = (status, code)
    result = await google.firebase.send(push())
    assert (result.outcome, result.said) == (outcome, f"{status} {code}")
    assert "see Google's list" not in result.meaning


async def test_how_long_google_wants_to_rest_is_known(google: Google) -> None:
    google.service.next_answers.append(HttpAnswer(429, b"no JSON", (("Retry-After", "77"),)))
    result = await google.firebase.send(push())
    assert (result.outcome, result.retry_after) == (Outcome.LATER, 77.0)


async def test_a_connection_that_was_closed_meanwhile_is_opened_again(google: Google) -> None:
    await google.firebase.send(push())
    google.service.hang_up()
    assert (await google.firebase.send(push())).outcome is Outcome.SENT


async def test_a_service_that_says_nothing_is_given_up(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "TIMEOUT", 0.2)
    google.service.silent = True
    assert (await google.firebase.send(push())).outcome is Outcome.LATER


async def test_projects_without_an_account_are_refused(google: Google) -> None:
    assert "no service account for the project other" in google.firebase.refusal(PushTarget("fcm", "other"))
    assert google.firebase.refusal(TARGET) == ""


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"client_email": "a", "token_uri": "https://x/", "private_key": "nonsense"}']
)
def test_a_file_that_is_no_account_is_told_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "account.json"
    path.write_text(content)
    with pytest.raises(ProviderError, match="not the key file of a service account") as raised:
        read_account(path)
    assert "\n" not in str(raised.value)


def test_a_secret_is_never_sent_in_the_clear(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    service_account(path, "http://127.0.0.1/token")
    with pytest.raises(ProviderError, match="https"):
        read_account(path)
    assert json.loads(path.read_text())["token_uri"].startswith("http://")
