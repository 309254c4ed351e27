"""What the answer to a REGISTER tells an app about pushes (RFC 8599 sections 4.1 and 5.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from flexipy.proxy.api import Request, Response
from flexipy.sip import names as H

_FEATURE_CAPS: Final = b"feature-caps"
_MARK: Final = b"pn-provider"
_PROVIDER: Final = re.compile(rb"[;]pn-provider(?:=([A-Za-z0-9._-]*))?", re.IGNORECASE)


def feature_caps(features: Callable[[], Mapping[str, str]]) -> Callable[[Request, Response], None]:
    """What adds `Feature-Caps` to the answer for an app that speaks of pushes.

    An app that names a service hears whether it can be reached by it; one that names none hears of all there are.
    """

    def edit(request: Request, response: Response) -> None:
        if H.CONTACT not in request.names:
            return
        contact = request.lines[request.names.index(H.CONTACT)]
        if _MARK not in contact:
            return
        named = {(found[1] or b"").lower() for found in _PROVIDER.finditer(contact)}
        for name, more in features().items():
            if name.encode() in named or b"" in named:
                response.append(_FEATURE_CAPS, f'Feature-Caps: *;+sip.pns="{name}"{more}'.encode())

    return edit
