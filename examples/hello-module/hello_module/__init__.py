"""QuietHours: at night, callers hear that nobody is disturbed now; some may call all the same.

An example of a flexipy module in a package of its own. Its section in the configuration:

    [module::QuietHours]
    enabled=true
    hours=22-7
    exempt=sip:door@myhouse
"""

from __future__ import annotations

from datetime import datetime

from flexipy.proxy.api import Module, ModuleContext, ModuleError, RequestEvent, string, string_list


class QuietHours(Module):
    """Refuse calls at night."""

    name = "QuietHours"
    help = "Answers calls with 480 during the quiet hours, but for callers who are exempt."
    position = "Router"  # after authentication, before anything rings
    methods = frozenset((b"INVITE",))
    parameters = (
        string("hours", "22-7", "From which full hour to which nobody is to be disturbed."),
        string_list("exempt", "", "Addresses that may call at any time."),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        first, dash, last = context.values.string("hours").partition("-")
        if not (dash and first.isdigit() and last.isdigit() and int(first) < 24 and int(last) < 24):
            raise ModuleError("[module::QuietHours] hours: expected something like 22-7")
        self._first, self._last = int(first), int(last)
        self._exempt = frozenset(context.values.strings("exempt"))

    def on_request(self, event: RequestEvent) -> None:
        """Refuse a new call at night; calls in progress go on."""
        if event.request.in_dialog or not self._is_quiet(datetime.now().hour):
            return
        if f"sip:{event.request.from_uri.aor}" in self._exempt:
            return
        self.context.counters["calls_kept_quiet"] += 1
        event.reply(480, "Quiet hours")

    def _is_quiet(self, hour: int) -> bool:
        if self._first <= self._last:
            return self._first <= hour < self._last
        return hour >= self._first or hour < self._last
