"""The order in which modules see requests; Flexisip's, but that trust is settled before authentication asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flexipy.proxy.module import Module

ORDER: Final = (
    "DoSProtection",
    "SanityChecker",
    "GarbageIn",
    "Capabilities",
    "NatHelper",
    "AuthTrustedHosts",
    "Authentication",
    "Authorization",
    "Redirect",
    "RegEvent",
    "GatewayAdapter",
    "Presence",
    "Registrar",
    "StatisticsCollector",
    "ContactRouteInserter",
    "Router",
    "PushNotification",
    "LoadBalancer",
    "MediaRelay",
    "Transcoder",
    "Forward",
)


def in_order(modules: Iterable[type[Module]]) -> list[type[Module]]:
    """Module classes in pipeline order; those of other packages stand before the one their `position` names."""
    found = {module.name: module for module in modules}
    names: list[str] = [name for name in ORDER if name in found]
    for name in sorted(found.keys() - set(ORDER)):
        names.insert(_place(names, found[name].position or "Forward"), name)
    return [found[name] for name in names]


def _place(names: list[str], wanted: str) -> int:
    """Where to stand before a module; where it is not there, before those that would come after it."""
    behind = ORDER[ORDER.index(wanted) :] if wanted in ORDER else (wanted, "Forward")
    return next((names.index(name) for name in behind if name in names), len(names))
