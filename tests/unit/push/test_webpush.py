"""Web Push: the example of RFC 8291, signatures, and the hosts that are asked."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from flexipy.push.http import HttpClient, tls_context
from flexipy.push.parameters import PushTarget
from flexipy.push.provider import ProviderError
from flexipy.push.request import Outcome, PushEvent, PushKind, PushRequest
from flexipy.push.webpush import SERVICES, Vapid, WebPush, decoded, encoded, seal
from tests.harness.certificates import Authority
from tests.harness.fake_webpush import Browser
from tests.harness.https_service import HttpAnswer, HttpsService


def test_the_example_of_rfc_8291() -> None:
    # Appendix A: every value is printed there.
    own = ec.derive_private_key(
        int.from_bytes(decoded("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big"), ec.SECP256R1()
    )
    browser = decoded("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
    secret = decoded("BTBZMqHH6r4Tts7J_aSIgg")
    salt = decoded("DGv6ra1nlYgDCS1FRnbzlw")
    sealed = seal(b"When I grow up, I want to be a watermelon", browser, secret, own, salt)
    assert encoded(sealed) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3"
        "jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def target_of(browser: Browser, endpoint: str) -> PushTarget:
    """A browser's subscription as an app's parameters have it."""
    keys = {"browser_key": encoded(browser.public), "browser_secret": encoded(browser.secret)}
    return PushTarget("webpush", remote_token=endpoint, **keys)


@pytest_asyncio.fixture
async def service(tmp_path: Path, authority: Authority) -> AsyncIterator[HttpsService]:
    async with HttpsService(tmp_path, authority, lambda _: HttpAnswer(201)) as made:
        yield made


@pytest_asyncio.fixture
async def web(tmp_path: Path, authority: Authority, service: HttpsService) -> AsyncIterator[WebPush]:
    http = HttpClient(tls_context(str(authority.file)))
    made = WebPush(Vapid(tmp_path / "vapid.pem", "mailto:house@example.org"), [f"localhost:{service.port}"], http)
    yield made
    await made.close()


def call(target: PushTarget) -> PushRequest:
    return PushRequest(target, PushKind.VOIP, PushEvent.CALL, "c1", "sip:door@house.test", "Door", ttl=30)


async def test_only_the_browser_can_read_the_push(web: WebPush, service: HttpsService) -> None:
    browser = Browser()
    target = target_of(browser, f"{service.url}/s/1")
    assert web.refusal(target) == ""
    assert (await web.send(call(target))).outcome is Outcome.SENT
    (asked,) = service.requests.seen
    assert asked.headers["content-encoding"] == "aes128gcm"
    assert (asked.headers["ttl"], asked.headers["urgency"]) == ("30", "high")
    assert len(asked.headers["topic"]) == 32
    assert b"door" not in asked.body
    assert browser.open(asked.body)["from-uri"] == "sip:door@house.test"


async def test_the_server_signs_with_its_key(web: WebPush, service: HttpsService) -> None:
    await web.send(call(target_of(Browser(), f"{service.url}/s/1")))
    scheme, _, rest = service.requests.seen[0].headers["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert (scheme, parts["k"]) == ("vapid", web.vapid.public)
    signed, _, signature = parts["t"].rpartition(".")
    raw = decoded(signature)
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(parts["k"]))
    r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
    point.verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(SHA256()))
    claims = json.loads(decoded(signed.split(".")[1]))
    assert (claims["aud"], claims["sub"]) == (service.url, "mailto:house@example.org")


async def test_a_subscription_without_keys_gets_a_push_without_content(web: WebPush, service: HttpsService) -> None:
    target = PushTarget("webpush", remote_token=f"{service.url}/s/1")
    assert (await web.send(call(target))).outcome is Outcome.SENT
    assert service.requests.seen[0].body == b""


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(404, Outcome.DEAD), (410, Outcome.DEAD), (429, Outcome.LATER), (403, Outcome.REFUSED), (413, Outcome.REFUSED)],
)
async def test_statuses(web: WebPush, service: HttpsService, status: int, outcome: Outcome) -> None:
    service.answer = lambda _: HttpAnswer(status, b"", (("Retry-After", "5"),))
    result = await web.send(call(PushTarget("webpush", remote_token=f"{service.url}/s/1")))
    assert result.outcome is outcome
    assert result.retry_after == (5 if outcome is Outcome.LATER else 0)


@pytest.mark.parametrize("key", ["", "AAAA", base64.urlsafe_b64encode(b"\x04" + b"\0" * 64).decode()])
@pytest.mark.parametrize("secret", ["AAAA", encoded(bytes(16)), "!"])
async def test_keys_of_bad_browsers_do_no_harm(web: WebPush, service: HttpsService, key: str, secret: str) -> None:
    target = PushTarget("webpush", remote_token=f"{service.url}/1", browser_key=key, browser_secret=secret)
    assert (await web.send(call(target))).outcome is (Outcome.REFUSED if key else Outcome.SENT)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.0.0.1/admin",
        "https://localhost/",
        "https://169.254.169.254/latest/meta-data",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evilpush.apple.com/x",
        "https://fcm.googleapis.com:8443/x",
        "https://push.apple.com/x",
    ],
)
def test_only_hosts_of_the_list_are_asked(tmp_path: Path, endpoint: str) -> None:
    web = WebPush(Vapid(tmp_path / "k", ""), SERVICES, HttpClient(tls_context()))
    assert "not in web-push-services" in web.refusal(PushTarget("webpush", remote_token=endpoint))
    assert web.refusal(PushTarget("webpush", remote_token="https://web.push.apple.com/x")) == ""


def test_the_servers_key_stays_the_same_and_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert Vapid(path, "").public == Vapid(path, "").public
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("nonsense")
    with pytest.raises(ProviderError, match="no key for Web Push"):
        Vapid(tmp_path / "key.pem", "")
