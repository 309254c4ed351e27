"""Google's Firebase Cloud Messaging on this machine: the token endpoint (RFC 7523) and HTTP v1's send.

A service of its own, for a look at what a server sends: `python -m tests.harness.fake_fcm DIRECTORY`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from google.auth import jwt

from tests.harness.certificates import Authority
from tests.harness.events import Events
from tests.harness.https_service import HttpAnswer, HttpRequest, HttpsService
from tests.harness.push_keys import service_account

_SEND = re.compile(r"/v1/projects/([\w-]+)/messages:send")
_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"


@dataclass
class AndroidPush:
    """A push that was taken."""

    project: str
    token: str
    message: dict[str, Any]


class FakeFcm(HttpsService):
    """The service.

    Attributes:
        pushes: those taken.
        answers: status and code for a token; others are taken.
        next_answers: answers to the next sends, whatever the token.
        token_failures: how often the token endpoint fails before it works again.
        lifetime: seconds, of the tokens handed out.
        tokens_given: how many.
    """

    def __init__(self, directory: Path, authority: Authority) -> None:
        super().__init__(directory, authority, self._answer)
        self.pushes: Events[AndroidPush] = Events("pushes to Android")
        self.answers: dict[str, tuple[int, str]] = {}
        self.next_answers: list[HttpAnswer] = []
        self.token_failures = 0
        self.lifetime = 3600
        self.tokens_given = 0
        self._directory = directory
        self._accounts: dict[str, str] = {}
        self._tokens: dict[str, tuple[str, float]] = {}

    @property
    def address(self) -> str:
        """For `firebase-server`."""
        return f"localhost:{self.port}"

    def account(self, project: str = "house") -> Path:
        """Make a service account that may send for a project; its key file."""
        path = self._directory / f"{project}.json"
        self._accounts[f"push@{project}.example"] = service_account(path, f"{self.url}/token", project)
        return path

    def revoke_tokens(self) -> None:
        """Accept none of the tokens handed out so far."""
        self._tokens.clear()

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        if request.method != "POST":
            return _failure(405, "METHOD_NOT_ALLOWED")
        if request.target == "/token":
            return self._give_token(request)
        found = _SEND.fullmatch(request.target)
        return _failure(404, "NOT_FOUND") if found is None else self._send(found[1], request)

    def _give_token(self, request: HttpRequest) -> HttpAnswer:
        if self.token_failures:
            self.token_failures -= 1
            return HttpAnswer(503, b'{"error": "backend_error"}')
        form = parse_qs(request.body.decode())
        try:
            assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
            (assertion,) = form["assertion"]
            email = jwt.decode(assertion, verify=False)["iss"]
            claims = jwt.decode(assertion, certs=self._accounts[email], audience=f"{self.url}/token")
            assert claims["scope"] == _SCOPE
        except (KeyError, ValueError, AssertionError) as error:
            said = {"error": "invalid_grant", "error_description": f"Invalid JWT Signature. {error}"}
            return HttpAnswer(400, json.dumps(said).encode())
        token = secrets.token_urlsafe()
        self.tokens_given += 1
        project = email.partition("@")[2].partition(".")[0]
        self._tokens[token] = (project, time.time() + self.lifetime)
        given = {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"}
        return HttpAnswer(200, json.dumps(given).encode(), chunked=True)

    def _send(self, project: str, request: HttpRequest) -> HttpAnswer:
        owner, ends = self._tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "), ("", 0.0))
        if time.time() >= ends:
            return _failure(401, "UNAUTHENTICATED")
        if owner != project:
            return _failure(403, "PERMISSION_DENIED")
        if self.next_answers:
            return self.next_answers.pop(0)
        message = json.loads(request.body)["message"]
        token = message["token"]
        data_is_text = all(isinstance(value, str) for value in message["data"].values())
        if not data_is_text or len(json.dumps(message["data"])) > 4096:
            return _failure(400, "INVALID_ARGUMENT")
        if token in self.answers:
            return _failure(*self.answers[token])
        self.pushes.add(AndroidPush(project, token, message))
        return HttpAnswer(200, json.dumps({"name": f"projects/{project}/messages/1"}).encode())


def _failure(status: int, code: str) -> HttpAnswer:
    """An error as Google writes it: its own general code, and that of the messaging service among the details."""
    general = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
    details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]
    error = {"code": status, "message": code, "status": general.get(status, code), "details": details}
    return HttpAnswer(status, json.dumps({"error": error}).encode())


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.harness.fake_fcm", description="A stand-in for Google's.")
    parser.add_argument("directory", type=Path, help="for keys and certificates; made if missing")
    options = parser.parse_args()
    options.directory.mkdir(exist_ok=True)
    async with FakeFcm(options.directory, Authority(options.directory)) as service:
        place = options.directory.resolve()
        print(f"firebase-service-accounts=house:{service.account().resolve()}\npush-ca-file={place}/authority.pem")
        print(f"firebase-server={service.address}", flush=True)
        while True:
            push = await service.pushes.take(lambda _: True, "push", 1e9)
            print(push, flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
