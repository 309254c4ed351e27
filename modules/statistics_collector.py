"""StatisticsCollector: takes in the reports on call quality that telephones publish (RFC 6035)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from flexipy.proxy.api import Module, ModuleContext, ModuleError, Request, RequestEvent, SipError, SipUri, string
from flexipy.sip import names as H
from flexipy.sip.headers import MediaType
from flexipy.sip.params import encode

_REPORT_TYPE: Final = "application/vq-rtcpxr"
_HEADINGS: Final = (b"VQIntervalReport\r\n", b"VQSessionReport\r\n", b"VQSessionReport: CallTerm\r\n")
# What each report must hold, in this order (RFC 6035 section 4.6.1); the times are those of the local metrics.
_FIELDS: Final = (
    b"CallID:",
    b"LocalID:",
    b"RemoteID:",
    b"OrigID:",
    b"LocalGroup:",
    b"RemoteGroup:",
    b"LocalAddr:",
    b"IP=",
    b"PORT=",
    b"SSRC=",
    b"RemoteAddr:",
    b"IP=",
    b"PORT=",
    b"SSRC=",
    b"LocalMetrics:",
    b"Timestamps:",
    b"START=",
    b"STOP=",
)
_DAILY_LIMIT: Final = 64 * 1024 * 1024  # bytes; strangers must not fill the disk


class StatisticsCollector(Module):
    """Keep the reports that are addressed to the collector."""

    name = "StatisticsCollector"
    help = (
        "Takes in reports on call quality (RFC 6035) that are published to the collector's address, and keeps them in "
        "the folder `call-quality` of the state directory, one file a day."
    )
    default_filter = "is_request && request.method-name == 'PUBLISH'"
    parameters = (
        string(
            "collector-address",
            "",
            "SIP address of the collector. Reports sent there end here and go no further; empty for none.",
        ),
    )

    def __init__(self, context: ModuleContext) -> None:
        super().__init__(context)
        text = context.values.string("collector-address")
        try:
            self._collector = SipUri.parse(encode(text.strip("<>"))) if text else None
        except SipError as error:
            raise ModuleError(f"[module::StatisticsCollector] collector-address: '{text}': {error}") from error

    def on_request(self, event: RequestEvent) -> None:
        """Take a report in; anything else passes."""
        request = event.request
        kind = request.get(H.CONTENT_TYPE)
        if self._collector is None or kind is None or not _same_place(request.uri, self._collector):
            return
        if MediaType.parse(kind).type != _REPORT_TYPE:
            return
        good = is_complete(request.body)
        self.context.counters["quality_reports" if good else "quality_reports_refused"] += 1
        if good:
            try:
                self._keep(request)
            except OSError as error:
                self.context.logger.error("a report on call quality is lost: %s", error)
                event.reply(500)
                return
        event.reply(200 if good else 606)

    def _keep(self, request: Request) -> None:
        folder = self.context.state_file("call-quality")
        folder.mkdir(exist_ok=True)
        path = folder / time.strftime("%Y-%m-%d.log")
        if _size(path) + len(request.body) > _DAILY_LIMIT:
            raise OSError(f"{path} has reached {_DAILY_LIMIT} bytes")
        sender = request.require(H.FROM)
        with path.open("ab") as file:
            file.write(time.strftime("# %Y-%m-%dT%H:%M:%S%z from ").encode() + sender + b"\n")
            file.write(request.body.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n\n")


def is_complete(report: bytes) -> bool:
    """Whether a report begins as one and holds all that it must, the times before the remote end's metrics."""
    if not report.startswith(_HEADINGS):
        return False
    place = 0
    for field in _FIELDS:
        place = report.find(field, place)
        if place < 0:
            return False
    remote = report.find(b"RemoteMetrics:")
    return remote < 0 or place < remote


def _same_place(one: SipUri, other: SipUri) -> bool:
    # sip or sips is not told apart: a telephone may publish on either.
    return (one.user, one.host, one.port or 5060) == (other.user, other.host, other.port or 5060)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
