"""Push parameters of Contact URIs: RFC 8599's, Flexisip's older ones, and those of people with bad intentions."""

from __future__ import annotations

import pytest

from flexipy.push.parameters import PushParameterError, PushTarget, read_target
from flexipy.sip.uri import SipUri

VOIP = "a1" * 32
REMOTE = "b2" * 32


def target(parameters: str) -> PushTarget | None:
    return read_target(SipUri.parse(f"sip:bob@192.0.2.7;{parameters}".encode()).params)


def some(parameters: str) -> PushTarget:
    found = target(parameters)
    assert found is not None
    return found


def test_an_apple_app_with_a_token_for_calls_and_one_for_the_rest() -> None:
    found = some(f"pn-provider=apns;pn-param=TEAM123456.org.app.voip&remote;pn-prid={VOIP}:voip&{REMOTE}:remote")
    assert (found.provider, found.team, found.app) == ("apns", "TEAM123456", "org.app")
    assert (found.voip_token, found.remote_token) == (VOIP, REMOTE)


def test_the_topic_of_the_standard_names_the_service_of_its_one_token() -> None:
    found = some(f"pn-provider=apns.dev;pn-param=TEAM123456.org.app.voip;pn-prid={VOIP}")
    assert (found.app, found.voip_token, found.remote_token) == ("org.app", VOIP, "")
    found = some(f"pn-provider=apns;pn-param=TEAM123456.org.app;pn-prid={REMOTE}")
    assert (found.app, found.voip_token, found.remote_token) == ("org.app", "", REMOTE)


def test_one_token_for_two_services_serves_both() -> None:
    found = some(f"pn-provider=apns;pn-param=TEAM123456.org.app.voip&remote;pn-prid={VOIP}")
    assert (found.voip_token, found.remote_token) == (VOIP, VOIP)


def test_a_firebase_token_keeps_its_colon() -> None:
    found = some("pn-provider=fcm;pn-param=my-project;pn-prid=abc:APA91b-_xyz")
    assert (found.provider, found.app, found.token) == ("fcm", "my-project", "abc:APA91b-_xyz")


@pytest.mark.parametrize(
    ("parameters", "provider", "app", "voip", "remote"),
    [
        (f"app-id=org.app.voip.prod;pn-type=apple;pn-tok={VOIP}", "apns", "org.app", VOIP, ""),
        (f"app-id=org.app.dev;pn-type=apple;pn-tok={REMOTE}", "apns.dev", "org.app", "", REMOTE),
        ("app-id=123456;pn-type=google;pn-tok=abc:def", "fcm", "123456", "", "abc:def"),
        ("app-id=house;pn-type=firebase;pn-tok=abc", "fcm", "house", "", "abc"),
        ("app-id=x;pn-type=ntfy;pn-tok=topic", "ntfy", "x", "", "topic"),
    ],
)
def test_older_parameters(parameters: str, provider: str, app: str, voip: str, remote: str) -> None:
    found = some(parameters)
    assert (found.provider, found.app, found.voip_token, found.remote_token) == (provider, app, voip, remote)


def test_texts_sounds_and_wishes() -> None:
    found = some(
        "pn-provider=fcm;pn-prid=t;pn-msg-str=M;pn-call-str=C;pn-groupchat-str=G;pn-msg-snd=m.caf;pn-call-snd=c.caf;"
        "pn-silent=1;pn-timeout=3"
    )
    assert (found.message_text, found.call_text, found.group_text) == ("M", "C", "G")
    assert (found.message_sound, found.call_sound, found.silent, found.timeout) == ("m.caf", "c.caf", True, 3.0)
    plain = some("pn-provider=fcm;pn-prid=t")
    assert (plain.message_text, plain.call_text, plain.group_text) == ("IM_MSG", "IC_MSG", "GC_MSG")
    assert (plain.silent, plain.timeout) == (False, None)


@pytest.mark.parametrize("parameters", ["transport=tcp", "pn-provider", "pn-provider=apns", "pn-type=apple"])
def test_who_names_no_token_is_not_pushed(parameters: str) -> None:
    assert target(parameters) is None


def test_a_browsers_subscription_is_its_address() -> None:
    found = some("pn-provider=webpush;pn-prid=https%3a//push.example/s/1%3fa=b;pn-p256dh=BAbc-_;pn-auth=xyz==")
    assert (found.token, found.browser_key, found.browser_secret) == ("https://push.example/s/1?a=b", "BAbc-_", "xyz")


@pytest.mark.parametrize(
    "parameters",
    [
        "pn-provider=apns;pn-param=TEAM123456.org.app;pn-prid=not-hexadecimal",
        f"pn-provider=apns;pn-param=TEAM123456.org.app;pn-prid={'a' * 201}",
        f"pn-provider=apns;pn-param=TEAM123456.org.app;pn-prid={VOIP}%0d%0ahost:x",
        f"pn-provider=apns;pn-param=TEAM123456.org.app;pn-prid={VOIP}:silent",
        f"pn-provider=apns;pn-param=org/../etc;pn-prid={VOIP}",
        f"pn-provider=apns;pn-param=TEAM123456.%2e%2e/%2e%2e/x;pn-prid={VOIP}",
        f"pn-provider=apns;pn-param=TEAM123456.a..b;pn-prid={VOIP}",
        f"pn-provider=apns;pn-prid={VOIP}",
        f"app-id=../../etc/x.prod;pn-type=apple;pn-tok={VOIP}",
        "pn-provider=fcm;pn-param=a/b;pn-prid=t",
        "pn-provider=fcm;pn-param=a;pn-prid=t%0d%0aX",
        f"pn-provider=fcm;pn-param=a;pn-prid={'t' * 4097}",
        "pn-provider=fcm;pn-prid=t;pn-call-str=a%0ab",
        f"pn-provider=fcm;pn-prid=t;pn-call-snd={'s' * 101}",
        "pn-provider=x%0d%0ay;pn-prid=t",
        "pn-provider=webpush;pn-prid=http%3a//127.0.0.1/",
        "pn-provider=webpush;pn-prid=https%3a//user%40evil/",
        "pn-provider=webpush;pn-prid=https%3a//push.example/%0d%0ax",
        "pn-provider=webpush;pn-prid=https%3a//push.example/;pn-auth=a%0ab",
    ],
)
def test_what_could_do_harm_is_refused(parameters: str) -> None:
    with pytest.raises(PushParameterError):
        target(parameters)


def test_a_device_cannot_have_itself_waited_for_long() -> None:
    assert some("pn-provider=fcm;pn-prid=t;pn-timeout=99999").timeout == 60.0
    assert some("pn-provider=fcm;pn-prid=t;pn-timeout=9999999999").timeout is None
