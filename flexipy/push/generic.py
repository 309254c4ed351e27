"""A push service of one's own, asked by HTTP GET or POST: ntfy, UnifiedPush, home automation, a gateway.

The address is a template in which `$name` stands for a fact of the push (Flexisip's `external-push-uri`). What
strangers wrote is put in percent-encoded, and never where it could decide which host is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from flexipy.push.http import HttpClient, HttpError
from flexipy.push.parameters import PushTarget
from flexipy.push.provider import ProviderError
from flexipy.push.request import Outcome, PushEvent, PushRequest, PushResult

ANY: Final = "*"
"""Stands for every name in `features`: the service takes all apps."""

_FIELD: Final = re.compile(r"\$([a-z][a-z-]*)")
_LONGEST_URL: Final = 8000
_EVENTS: Final = {PushEvent.CALL: "call", PushEvent.MESSAGE: "message"}
_FIELDS: Final = frozenset(
    {"type", "token", "app-id", "from-name", "from-uri", "from-tag", "call-id", "callid", "to-uri", "api-key", "event"}
    | {"sound", "msgid", "uid"}
)


def _facts(request: PushRequest) -> dict[str, str]:
    target = request.target
    return {
        "type": target.legacy_type,
        "token": request.token or target.token,
        "app-id": target.app,
        "from-name": request.from_name,
        "from-uri": request.from_uri,
        "from-tag": request.from_tag,
        "call-id": request.call_id,
        "callid": request.call_id,
        "to-uri": request.to_uri,
        "api-key": "",  # of Google's former interface, which is gone
        "event": _EVENTS.get(request.event, request.event.value),
        "sound": request.sound,
        "msgid": request.text,
        "uid": request.device,
    }


class Generic:
    """An HTTP service.

    Args:
        template: its address.
        method: GET or POST.
        http: reaches it.

    Raises:
        ProviderError: the template is no address.
    """

    name = "external"
    features: Mapping[str, str] = {ANY: ""}

    def __init__(self, template: str, method: str, http: HttpClient) -> None:
        self._template = template
        self._method = method
        self._http = http
        parts = urlsplit(template)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ProviderError(f"external-push-uri: '{template}' does not begin with http:// or https:// and a host")
        if "$" in parts.netloc:
            raise ProviderError("external-push-uri: the host cannot be taken from what a stranger sends")
        if any(not "!" <= character <= "~" for character in template):
            raise ProviderError("external-push-uri: only printable ASCII without spaces, the rest as %hh")
        unknown = set(_FIELD.findall(template)) - _FIELDS
        if unknown:
            raise ProviderError(f"external-push-uri: no field ${min(unknown)}; there are ${' $'.join(sorted(_FIELDS))}")

    def refusal(self, target: PushTarget) -> str:
        """It takes every app."""
        return ""

    def url(self, request: PushRequest) -> str:
        """The address for one push."""
        facts = _facts(request)
        return _FIELD.sub(lambda found: quote(facts[found[1]], safe="", errors="replace"), self._template)

    async def send(self, request: PushRequest) -> PushResult:
        """Ask the service once."""
        url = self.url(request)
        if len(url) > _LONGEST_URL:
            return PushResult(Outcome.REFUSED, "", "the address would be too long")
        body = request.body.encode("utf-8", "replace") if self._method == "POST" else b""
        headers = {"content-type": "text/plain; charset=utf-8"} if body else {}
        try:
            response = await self._http.request(self._method, url, headers, body)
        except HttpError as error:
            return PushResult(Outcome.LATER, "", str(error))
        said = str(response.status)
        if 200 <= response.status < 300:
            return PushResult(Outcome.SENT, said, "the service took the push")
        if response.status in (404, 410):
            # Of a service of one's own nobody knows whether it means the token or its own address.
            return PushResult(Outcome.REFUSED, said, "the service has nothing at this address")
        if response.status in (408, 425, 429) or response.status >= 500:
            return PushResult(Outcome.LATER, said, "the service asks for patience", response.retry_after)
        return PushResult(Outcome.REFUSED, said, "the service refused the push")

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()
