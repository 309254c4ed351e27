"""Google's Firebase Cloud Messaging, HTTP v1: a service account signs, Google gives a token, the token sends.

Sources: RFC 7523 for the exchange of a signed assertion for a token; Google's reference of `projects.messages.send` and
its error codes. google-auth reads the account and signs; what goes over the network is ours, so that nothing blocks.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from flexipy.push.http import HttpClient, HttpError
from flexipy.push.http_response import HttpResponse
from flexipy.push.parameters import FIREBASE, PushTarget
from flexipy.push.provider import MISSING_EXTRA, NOT_OURS, ProviderError
from flexipy.push.request import Outcome, PushKind, PushRequest, PushResult, clipped

SERVER: Final = "fcm.googleapis.com"
_SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_LIFETIME: Final = 3600  # seconds; Google allows no more

_MEANINGS: Final = {
    "UNREGISTERED": "the app was removed from the device, or its token replaced",
    "INVALID_ARGUMENT": "Google does not take the push: often a token that is not one of Firebase",
    "SENDER_ID_MISMATCH": "the token belongs to another project than pn-param says",
    "QUOTA_EXCEEDED": "too many pushes",
    "UNAVAILABLE": "Google's service is overloaded",
    "INTERNAL": "a fault at Google's",
    "THIRD_PARTY_AUTH_ERROR": "the project lacks the key for Apple devices",
    "PERMISSION_DENIED": "the service account may not send for this project: give it the role for Cloud Messaging",
    "UNAUTHENTICATED": "Google does not accept the service account's token",
    "NOT_FOUND": "Google does not know the project",
}
_PASSING: Final = frozenset((401, 429, 500, 502, 503, 504))


def message(request: PushRequest) -> dict[str, Any]:
    """The body of a send request; a data message, whose values are texts all."""
    data = {
        "uuid": clipped(request.device),
        "from-uri": clipped(request.from_uri),
        "display-name": clipped(request.from_name),
        "call-id": clipped(request.call_id),
        "sip-from": clipped(request.shown_name),
        "loc-key": request.text,
        "loc-args": clipped(request.shown_name),
        "send-time": request.send_time,
        "event": request.event.value,
        "custom-payload": "{}",
    }
    urgent = request.kind is not PushKind.BACKGROUND
    android: dict[str, Any] = {"priority": "high" if urgent else "normal"}
    if request.ttl is not None:
        android["ttl"] = f"{request.ttl}s"
    return {"message": {"token": request.token, "data": data, "android": android}}


@dataclass(frozen=True, slots=True)
class AccountKey:
    """What a service account signs with.

    Attributes:
        credentials: of google-auth, with the signer.
        email: names the account.
        endpoint: gives tokens.
    """

    credentials: Any
    email: str
    endpoint: str


class ServiceAccount:
    """One project's account and the token that it has.

    Args:
        key: as `read_account` gives it.
        http: reaches Google.
        anticipation: seconds before its end at which a token is renewed.
        pause: seconds after a failure until Google is asked again.
        clock: monotonic seconds.

    Attributes:
        key: as given.
    """

    def __init__(
        self,
        key: AccountKey,
        http: HttpClient,
        anticipation: float,
        pause: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._anticipation = anticipation
        self._pause = pause
        self._clock = clock
        self.key = key
        self._token = ""
        self._ends_at = 0.0
        self._renewing: asyncio.Task[None] | None = None
        self._failed_at = -pause
        self._failure = ""

    async def token(self) -> str:
        """A token for sending; renewed in the background while the old one is still good.

        Raises:
            HttpError: Google gives none.
        """
        now = self._clock()
        if now >= self._ends_at - self._anticipation and now >= self._failed_at + self._pause:
            renewing = self._renewal()
            if now >= self._ends_at:
                await asyncio.shield(renewing)
        if self._clock() < self._ends_at:
            return self._token
        raise HttpError(self._failure or "no token from Google")

    def forget(self) -> None:
        """The token was refused: ask for another."""
        self._ends_at = 0.0

    def _renewal(self) -> asyncio.Task[None]:
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew())
        return self._renewing

    async def _renew(self) -> None:
        try:
            self._token, lifetime = await self._ask()
            self._ends_at = self._clock() + lifetime
            self._failed_at = -self._pause
        except (HttpError, ValueError, KeyError, TypeError) as error:
            self._failure = f"no token for {self.key.email}: {error}"
            self._failed_at = self._clock()

    async def _ask(self) -> tuple[str, float]:
        from google.auth import jwt

        now = int(time.time())
        claims = {
            "iss": self.key.email,
            "scope": _SCOPE,
            "aud": self.key.endpoint,
            "iat": now,
            "exp": now + _ASSERTION_LIFETIME,
        }
        assertion = jwt.encode(self.key.credentials.signer, claims).decode("ascii")  # type: ignore[no-untyped-call]
        body = urlencode({"grant_type": _GRANT, "assertion": assertion}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        response = await self._http.request("POST", self.key.endpoint, headers, body)
        answer = json.loads(response.body or b"{}")
        if response.status != 200:
            said = clipped(f"{answer.get('error', '')} {answer.get('error_description', '')}".strip())
            raise HttpError(f"{response.status} {said}")
        token = str(answer["access_token"])
        if not token.isascii() or not token.isprintable():
            raise ValueError("an unreadable token")
        return token, float(answer.get("expires_in", 3600))

    async def close(self) -> None:
        """Ask no more."""
        if self._renewing is not None:
            self._renewing.cancel()


def read_account(file: Path) -> AccountKey:
    """Read the JSON that the Firebase console gives out.

    Raises:
        ProviderError: it cannot be read, or used.
    """
    try:
        from google.oauth2 import service_account
    except ImportError as error:
        raise ProviderError(f"pushing to Android {MISSING_EXTRA}") from error
    try:
        information = json.loads(file.read_text("utf-8"))
        credentials = service_account.Credentials.from_service_account_info(information)  # type: ignore[no-untyped-call]
        endpoint = str(information["token_uri"])
        email = str(information["client_email"])
    except OSError as error:
        raise ProviderError(f"{file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProviderError(f"{file}: not the key file of a service account: {error}") from error
    if not endpoint.startswith("https://"):
        raise ProviderError(f"{file}: its token_uri does not begin with https://")
    return AccountKey(credentials, email, endpoint)


class Firebase:
    """Google's service.

    Args:
        accounts: by project.
        http: reaches Google.
        server: `host` or `host:port`.

    Attributes:
        accounts: as given.
    """

    name = "firebase"
    features = {FIREBASE: ""}

    def __init__(self, accounts: Mapping[str, ServiceAccount], http: HttpClient, server: str = SERVER) -> None:
        self.accounts = dict(accounts)
        self._http = http
        self._server = server

    def refusal(self, target: PushTarget) -> str:
        """Why it cannot reach an app; empty where it can."""
        if target.provider != FIREBASE:
            return NOT_OURS
        if target.app not in self.accounts:
            return f"no service account for the project {target.app or '?'} in firebase-service-accounts"
        return ""

    async def send(self, request: PushRequest) -> PushResult:
        """Send one push and wait for Google's answer."""
        project = request.target.app
        account = self.accounts[project]
        url = f"https://{self._server}/v1/projects/{project}/messages:send"
        body = json.dumps(message(request)).encode()
        try:
            token = await account.token()
            headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
            response = await self._http.request("POST", url, headers, body)
        except HttpError as error:
            return PushResult(Outcome.LATER, "", str(error))
        if response.status == 401:
            account.forget()
        return _result(response)

    async def close(self) -> None:
        """Close every connection."""
        for account in self.accounts.values():
            await account.close()
        await self._http.close()


def _result(response: HttpResponse) -> PushResult:
    if response.status == 200:
        return PushResult(Outcome.SENT, "200", "Google took the push")
    code = _error_code(response.body)
    said = f"{response.status} {code}".strip()
    meaning = _MEANINGS.get(code, "see Google's list of error codes")
    if code == "UNREGISTERED":
        return PushResult(Outcome.DEAD, said, meaning)
    if response.status in _PASSING:
        return PushResult(Outcome.LATER, said, meaning, response.retry_after)
    return PushResult(Outcome.REFUSED, said, meaning)


def _error_code(body: bytes) -> str:
    """Firebase's own code where the answer has one, else Google's general one."""
    try:
        error = json.loads(body)["error"]
        codes = [detail.get("errorCode") for detail in error.get("details", ()) if isinstance(detail, dict)]
        found = next((code for code in codes if code), error.get("status"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return clipped(str(found or ""), 64)
