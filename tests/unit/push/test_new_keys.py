"""Keys are read anew: good ones serve from then on, bad ones leave the old ones in place."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

from flexipy.push.fcm import Firebase
from flexipy.push.parameters import PushTarget
from flexipy.push.request import Outcome, PushKind
from flexipy.push.service import PushService
from flexipy.push.settings import PushSettings
from flexipy.push.setup import Setup, make_service
from flexipy.push.webpush import WebPush
from tests.harness.certificates import Authority
from tests.harness.fake_apns import FakeApns
from tests.harness.push_keys import app_certificate, service_account, signing_key
from tests.unit.push.test_apns import KEY, TARGET, TEAM, push
from tests.unit.push.test_link import settings


def services(made: PushSettings) -> PushService:
    return make_service(made, asyncio.ensure_future, defaultdict(int))


def read_anew(service: PushService, made: PushSettings) -> list[str]:
    setup = Setup(made, service.providers)
    setup.make()
    service.renew(setup.providers)
    return setup.notes


def apple_settings(tmp_path: Path, apns: FakeApns, authority: Authority) -> PushSettings:
    return settings(
        tmp_path,
        apple_certificate_dir="keys",
        apns_server=apns.address,
        apns_dev_server=apns.address,
        push_ca_file=str(authority.file),
    )


async def test_a_new_signing_key_of_apple_serves(tmp_path: Path, apns: FakeApns, authority: Authority) -> None:
    signing_key(tmp_path / "keys", KEY)  # Apple does not know this one
    made = apple_settings(tmp_path, apns, authority)
    service = services(made)
    assert (await service.send(push()))[1].said == "403 InvalidProviderToken"
    apns.trust("NEW1234567", TEAM, signing_key(tmp_path / "keys", "NEW1234567"))
    (tmp_path / "keys" / f"AuthKey_{KEY}.p8").unlink()
    assert read_anew(service, made) == []
    assert (await service.send(push()))[1].outcome is Outcome.SENT
    await service.close()


async def test_a_spoilt_signing_key_leaves_the_old_one(tmp_path: Path, apns: FakeApns, authority: Authority) -> None:
    apns.trust(KEY, TEAM, signing_key(tmp_path / "keys", KEY))
    made = apple_settings(tmp_path, apns, authority)
    service = services(made)
    path = tmp_path / "keys" / f"AuthKey_{KEY}.p8"
    path.write_text("spoilt")
    assert read_anew(service, made) == [f"{path}: not usable: no signing key in it; the old one is used"]
    assert (await service.send(push()))[1].outcome is Outcome.SENT
    await service.close()


async def test_an_expired_certificate_leaves_the_old_one_also_before_its_first_use(
    tmp_path: Path, apns: FakeApns, authority: Authority
) -> None:
    apns.trust_certificate(app_certificate(tmp_path / "keys", "org.app.prod", days=100), "org.app")
    made = apple_settings(tmp_path, apns, authority)
    service = services(made)
    app_certificate(tmp_path / "keys", "org.app.prod", days=-1)
    (note,) = read_anew(service, made)
    assert "expired" in note
    assert note.endswith("; the old one is used")
    assert (await service.send(push(PushKind.ALERT)))[1].outcome is Outcome.SENT
    await service.close()


async def test_a_key_that_was_taken_away_serves_no_longer(tmp_path: Path, apns: FakeApns, authority: Authority) -> None:
    signing_key(tmp_path / "keys", KEY)
    made = apple_settings(tmp_path, apns, authority)
    service = services(made)
    assert service.can_push
    (tmp_path / "keys" / f"AuthKey_{KEY}.p8").unlink()
    read_anew(service, made)
    assert not service.can_push
    assert (await service.send(push()))[0] == ""
    assert service.provider_for(TARGET) == "no push service is configured"


async def test_a_spoilt_service_account_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "house.json"
    service_account(path, "https://localhost/token")
    made = settings(tmp_path, firebase_service_accounts="house:house.json office:office.json")
    service = services(made)
    path.write_text("{}")
    service_account(tmp_path / "office.json", "https://localhost/token")
    (note,) = read_anew(service, made)
    assert note.startswith(f"{path}: not the key file of a service account")
    assert note.endswith("; the old one is used")
    (firebase,) = service.providers
    assert isinstance(firebase, Firebase)
    assert sorted(firebase.accounts) == ["house", "office"]


async def test_a_spoilt_key_for_browsers_leaves_the_old_one(tmp_path: Path) -> None:
    made = settings(tmp_path, web_push="true")
    service = services(made)
    before = dict(service.features)
    (tmp_path / "web-push-key.pem").write_text("spoilt")
    (note,) = read_anew(service, made)
    assert note.endswith("; the old one is used")
    assert service.features == before
    assert isinstance(service.provider_for(PushTarget("webpush", remote_token="https://fcm.googleapis.com/x")), WebPush)
