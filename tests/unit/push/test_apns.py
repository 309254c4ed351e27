"""Apple's service, spoken to by its own protocol: keys, headers, payloads, reasons, broken connections."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from flexipy.push import apns as apns_module
from flexipy.push.apns import Apple
from flexipy.push.apns_keys import load_keys
from flexipy.push.parameters import PushTarget
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest
from tests.harness.fake_apns import FakeApns
from tests.harness.push_keys import app_certificate, signing_key

TEAM = "TEAM123456"
KEY = "KEY1234567"
TARGET = PushTarget("apns", "org.app", TEAM, "a1" * 32, "b2" * 32)


def push(kind: PushKind = PushKind.VOIP, event: PushEvent = PushEvent.CALL, **more: Any) -> PushRequest:
    facts: dict[str, Any] = {
        "call_id": "call-1@house",
        "from_uri": "sip:door@house.test",
        "from_name": "Front door",
        "text": "IC_MSG",
        "sound": "ring.caf",
        "ttl": 90,
        "device": "urn:uuid:1",
    }
    return PushRequest(more.pop("target", TARGET), kind, event, **facts | more)


@pytest.fixture
def trusted(tmp_path: Path, apns: FakeApns) -> None:
    """A signing key that the service trusts."""
    apns.trust(KEY, TEAM, signing_key(tmp_path / "keys", KEY))


@pytest.mark.usefixtures("trusted")
class TestWithSigningKey:
    async def test_a_call_wakes_the_app_at_once(self, apple: Apple, apns: FakeApns) -> None:
        result = await apple.send(push())
        assert result.outcome is Outcome.SENT, result
        taken = await apns.pushed()
        assert taken.token == TARGET.voip_token
        assert taken.headers["apns-push-type"] == "voip"
        assert taken.headers["apns-topic"] == "org.app.voip"
        assert taken.headers["apns-priority"] == "10"
        assert 0 < int(taken.headers["apns-expiration"]) - time.time() <= 90
        assert taken.payload["aps"]["loc-key"] == "IC_MSG"
        assert taken.payload["aps"]["loc-args"] == ["Front door"]
        assert taken.payload["from-uri"] == "sip:door@house.test"
        assert taken.payload["call-id"] == "call-1@house"
        assert taken.payload["uuid"] == "urn:uuid:1"
        assert taken.payload["pn_ttl"] == 90

    async def test_a_notification_is_shown_by_the_system(self, apple: Apple, apns: FakeApns) -> None:
        await apple.send(push(PushKind.ALERT, PushEvent.MESSAGE, text="IM_MSG", ttl=None))
        taken = await apns.pushed()
        assert taken.token == TARGET.remote_token
        assert taken.headers["apns-topic"] == "org.app"
        assert taken.headers["apns-push-type"] == "alert"
        assert "apns-expiration" not in taken.headers
        aps = {"alert": {"loc-key": "IM_MSG", "loc-args": ["Front door"]}, "mutable-content": 1, "badge": 1}
        assert taken.payload["aps"] == aps | {"sound": "ring.caf"}

    async def test_a_wake_in_the_background_has_low_priority(self, apple: Apple, apns: FakeApns) -> None:
        assert (await apple.send(push(PushKind.BACKGROUND, PushEvent.REFRESH))).outcome is Outcome.SENT
        taken = await apns.pushed()
        assert taken.headers["apns-priority"] == "5"
        assert taken.payload["aps"]["content-available"] == 1

    async def test_all_pushes_go_by_one_connection(self, apple: Apple, apns: FakeApns) -> None:
        await asyncio.gather(*(apple.send(push()) for _ in range(50)))
        assert apns.connections == 1

    @pytest.mark.parametrize(
        ("status", "reason", "outcome"),
        [
            (410, "Unregistered", Outcome.DEAD),
            (400, "BadDeviceToken", Outcome.REFUSED),
            (403, "InvalidProviderToken", Outcome.REFUSED),
            (429, "TooManyRequests", Outcome.LATER),
            (500, "InternalServerError", Outcome.LATER),
            (503, "ServiceUnavailable", Outcome.LATER),
            (418, "NeverHeardOf", Outcome.REFUSED),
        ],
    )
    async def test_what_apple_says_is_understood(
        self, apple: Apple, apns: FakeApns, status: int, reason: str, outcome: Outcome
    ) -> None:
        apns.next_answers.append((status, reason))
        result = await apple.send(push())
        assert (result.outcome, result.said) == (outcome, f"{status} {reason}")
        assert result.meaning

    async def test_since_when_a_token_is_dead_is_known(self, apple: Apple, apns: FakeApns) -> None:
        apns.answers[TARGET.voip_token] = (410, "Unregistered")
        assert abs((await apple.send(push())).dead_since - time.time()) < 5

    async def test_a_connection_that_apple_ended_is_opened_again(self, apple: Apple, apns: FakeApns) -> None:
        await apple.send(push())
        apns.hang_up()
        assert (await apple.send(push())).outcome is Outcome.SENT
        assert apns.connections == 2

    async def test_a_service_that_cannot_be_reached_is_asked_later(self, apple: Apple, apns: FakeApns) -> None:
        await apns.stop()
        result = await apple.send(push())
        assert result.outcome is Outcome.LATER
        assert "cannot be reached" in result.meaning
        await apns.start()
        assert (await apple.send(push())).outcome is Outcome.SENT

    async def test_a_service_that_says_nothing_is_given_up(
        self, apple: Apple, apns: FakeApns, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(apns_module, "TIMEOUT", 0.2)
        apns.silent = True
        results = await asyncio.gather(*(apple.send(push()) for _ in range(5)))
        assert {result.outcome for result in results} == {Outcome.LATER}
        apns.silent = False
        monkeypatch.undo()  # now it may take its time: the machine may be busy
        assert (await apple.send(push())).outcome is Outcome.SENT

    async def test_a_request_that_apple_breaks_off_is_sent_again_later(
        self, apple: Apple, apns: FakeApns, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(apns_module, "TIMEOUT", 0.2)
        apns.resets = 1
        assert (await apple.send(push())).outcome is Outcome.LATER
        monkeypatch.undo()
        assert (await apple.send(push())).outcome is Outcome.SENT

    async def test_what_strangers_call_themselves_fits_into_a_push(self, apple: Apple, apns: FakeApns) -> None:
        result = await apple.send(push(from_name="\U0001f514\x00\n" * 3000, from_uri="x" * 9000, call_id="y" * 9000))
        assert result.outcome is Outcome.SENT, result
        taken = await apns.pushed()
        assert "\n" not in taken.payload["display-name"]

    async def test_an_app_of_an_unknown_team_is_refused_by_apple_alone(self, apple: Apple) -> None:
        stranger = PushTarget("apns", "org.app", "OTHERTEAM1", "a1" * 32)
        result = await apple.send(push(target=stranger))
        assert result.said == "403 InvalidProviderToken"

    async def test_invented_teams_do_not_pile_up(self, apple: Apple, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(apns_module, "_MOST_CLIENTS", 2)
        for number in range(4):
            target = PushTarget("apns", "org.app", f"TEAM{number}", "a1" * 32)
            assert (await apple.send(push(target=target))).outcome is Outcome.REFUSED
        assert len(apple._clients) == 2

    async def test_invented_teams_do_not_keep_real_ones_out(
        self, apple: Apple, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(apns_module, "_MOST_CLIENTS", 2)
        for number in range(4):
            await apple.send(push(target=PushTarget("apns", "org.app", f"TEAM{number}", "a1" * 32)))
        assert (await apple.send(push())).outcome is Outcome.SENT


async def test_certificates_are_chosen_by_app_service_and_stage(tmp_path: Path, apns: FakeApns, authority: Any) -> None:
    from flexipy.push.http import tls_context

    keys = tmp_path / "keys"
    apns.trust_certificate(app_certificate(keys, "org.app.voip.prod"), "org.app.voip")
    apns.trust_certificate(app_certificate(keys, "org.app.prod"), "org.app")
    apns.trust_certificate(app_certificate(keys, "org.app.dev"), "org.app", "org.app.voip")
    apple = Apple(load_keys(keys), keys, apns.address, apns.address, lambda: tls_context(str(authority.file)))
    for kind in (PushKind.VOIP, PushKind.ALERT):
        for provider in ("apns", "apns.dev"):
            target = PushTarget(provider, "org.app", "", "a1" * 32, "b2" * 32)
            result = await apple.send(push(kind, target=target))
            assert result.outcome is Outcome.SENT, (kind, provider, result)
    assert apple.refusal(PushTarget("apns", "org.other", TEAM)) != ""
    await apple.close()


# --- keys ------------------------------------------------------------------------------------------------


def test_keys_that_are_not_usable_are_named_and_the_others_work(tmp_path: Path) -> None:
    app_certificate(tmp_path, "org.expired.prod", days=-1)
    app_certificate(tmp_path, "org.soon.prod", days=3)
    app_certificate(tmp_path, "org.good.prod", days=200)
    signing_key(tmp_path, "GOOD123456")
    (tmp_path / "org.broken.prod.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (tmp_path / "AuthKey_BROKEN1234.p8").write_text("not a key")
    (tmp_path / "mykey.p8").write_text("whatever")
    one = app_certificate(tmp_path, "org.one.prod").read_text()
    other = app_certificate(tmp_path, "org.other.prod").read_text()
    end = "-----BEGIN PRIVATE KEY"
    (tmp_path / "org.mixed.prod.pem").write_text(one.partition(end)[0] + end + other.partition(end)[2])
    (tmp_path / "README").write_text("not looked at")

    keys = load_keys(tmp_path)

    told = "\n".join(keys.problems)
    assert len(keys.problems) == 6, told
    assert "org.expired.prod.pem: not usable: the certificate expired on" in told
    assert "org.soon.prod.pem: the certificate expires on" in told
    assert "org.broken.prod.pem: not usable: no certificate in it" in told
    assert "org.mixed.prod.pem: not usable: its private key is not that of its certificate" in told
    assert "AuthKey_BROKEN1234.p8: not usable: no signing key in it" in told
    assert "mykey.p8: not usable: a signing key is named" in told
    assert {"org.good.prod", "org.soon.prod", "org.one.prod", "org.other.prod"} == set(keys.certificates)
    assert [key.key_id for key in keys.signing] == ["GOOD123456"]


def test_a_directory_that_is_not_there_has_no_keys(tmp_path: Path) -> None:
    assert not load_keys(tmp_path / "nothing")
    assert load_keys(tmp_path / "nothing").problems == []


def test_each_team_has_its_key(tmp_path: Path) -> None:
    signing_key(tmp_path, "A123456789", "TEAMA")
    keys = load_keys(tmp_path)
    only = keys.signing_key("")
    assert only is not None
    assert only.team == "TEAMA"
    assert keys.signing_key("TEAMB") is None
    signing_key(tmp_path, "B123456789", "TEAMB")
    keys = load_keys(tmp_path)
    assert keys.signing_key("") is None
    found = keys.signing_key("TEAMB")
    assert found is not None
    assert found.key_id == "B123456789"
