"""SanityChecker: refuses requests that break the rules, so that the modules after it need not doubt them.

The rules are in `flexipy.sip.validation`.
"""

from __future__ import annotations

from flexipy.proxy.api import Module, RequestEvent
from flexipy.sip.validation import ExtensionError, check_thoroughly


class SanityChecker(Module):
    """Refuse what is malformed."""

    name = "SanityChecker"
    help = (
        "Answers 400 (416 for a scheme that is no SIP address) to requests that are malformed: addresses that cannot "
        "be read, header fields that stand twice or are missing, quotes that never close. Answers 420 to requests "
        "that demand extensions of proxies which this one lacks."
    )
    enabled_by_default = True

    def on_request(self, event: RequestEvent) -> None:
        """Look at the request; a fault found is its answer."""
        try:
            check_thoroughly(event.request)
        except ExtensionError as error:
            event.reply(420, headers=(("Unsupported", ", ".join(error.unsupported)),))
