"""What the answer to a REGISTER tells an app about pushes (RFC 8599 sections 4.1, 5.6.1 and 6.2.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from flexipy.proxy.api import Request, Response
from flexipy.push.generic import ANY
from flexipy.push.provider import Pusher
from flexipy.registrar.binding import Binding
from flexipy.registrar.purr import Purrs
from flexipy.registrar.registration import RegistrationError
from flexipy.sip import names as H

_FEATURE_CAPS: Final = b"feature-caps"
_MARK: Final = b"pn-provider"
_TOKEN: Final = b";pn-prid="
_REFRESHES: Final = b"+sip.pnsreg"
_PROVIDER: Final = re.compile(rb"[;]pn-provider(?:=([A-Za-z0-9._-]*))?", re.IGNORECASE)
_REFRESH_BEFORE: Final = 120  # seconds before a registration ends at which its app has to have renewed it


class Capabilities:
    """Answers apps that speak of pushes.

    Args:
        pusher: gives what sends pushes.
        purrs: names bindings.
    """

    def __init__(self, pusher: Callable[[], Pusher], purrs: Purrs) -> None:
        self._pusher = pusher
        self._purrs = purrs

    def edit(self, request: Request, response: Response, bindings: list[Binding]) -> None:
        """Add `Feature-Caps` to the answer.

        An app that names a service hears whether it can be reached by it; one that names none hears of all there are.
        """
        for name in self._supported(_named(request)):
            more = self._pusher().features.get(name, "")
            line = f'Feature-Caps: *;+sip.pns="{name}"{more}{self._of_binding(request, bindings)}'
            response.append(_FEATURE_CAPS, line.encode())

    def refuse_unsupported(self, request: Request) -> None:
        """Refuse a REGISTER whose app wants pushes by a service that is not there (RFC 8599 sections 5.6.1 and 8.1).

        Raises:
            RegistrationError: 555, with the services that are there.
        """
        named = _named(request) - {""}
        if not self._pusher().can_push or not named or self._supported(named):
            return
        there = tuple((b"Feature-Caps", f'*;+sip.pns="{name}"'.encode()) for name in self._supported({""}))
        raise RegistrationError(555, "Push Notification Service Not Supported", there)

    def _supported(self, named: set[str]) -> list[str]:
        features = self._pusher().features
        if "" in named:
            return [name for name in features if name != ANY]
        return sorted(name for name in named if name in features or ANY in features)

    def _of_binding(self, request: Request, bindings: list[Binding]) -> str:
        """The indicators for one binding: how it is named within calls, and when it has to be renewed."""
        own = [each for each in bindings if each.call_id == request.call_id and _TOKEN in each.uri.raw]
        if len(own) != 1:
            return ""
        binding = own[0]
        text = f';+sip.pnspurr="{self._purrs.make(binding.key, binding.unique_id)}"'
        if _REFRESHES in binding.contact_params:
            lifetime = int(binding.expires_at - binding.updated_at)
            text += f';+sip.pnsreg="{min(_REFRESH_BEFORE, lifetime // 2)}"'
        return text


def _named(request: Request) -> set[str]:
    """The services that the contacts name, "" for the question which there are."""
    if H.CONTACT not in request.names:
        return set()
    contact = request.lines[request.names.index(H.CONTACT)]
    if _MARK not in contact:
        return set()
    return {(found[1] or b"").decode("ascii").lower() for found in _PROVIDER.finditer(contact)}
