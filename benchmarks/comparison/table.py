"""The table: both servers' medians, their ratio, and whether flexipy keeps its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Figures = Callable[[str, str], float | None]
"""The median of a server's figure; None where it wasn't measured."""


@dataclass(slots=True, frozen=True)
class Row:
    """A line of the table.

    Attributes:
        what: the name of the figure among the samples.
        title: what it is, and its unit.
        ratio_limit: flexipy may be so many times Kamailio's.
        limit: flexipy's own figure must be below it.
        decimals: to show.
    """

    what: str
    title: str
    ratio_limit: float | None = None
    limit: float | None = None
    decimals: int = 0


ROWS = (
    Row("registration", "registration, us", ratio_limit=2.5),
    Row("call", "call, us", ratio_limit=2.5),
    Row("message", "MESSAGE, us"),
    Row("idle-cpu", "idle, us each second"),
    Row("start", "start to first answer, s", limit=0.5, decimals=3),
    Row("help", "flexipy --help, s", limit=0.25, decimals=3),
    Row("pss-registration", "registering, MiB PSS", decimals=1),
    Row("pss-call", "calling, MiB PSS", decimals=1),
    Row("pss-message", "sending MESSAGEs, MiB PSS", decimals=1),
    Row("rss-idle", "idle, MiB RSS", limit=45, decimals=1),
    Row("pss-idle", "idle, MiB PSS", decimals=1),
    Row("rss-1k", "1 000 bindings, MiB RSS", decimals=1),
    Row("pss-1k", "1 000 bindings, MiB PSS", decimals=1),
    Row("rss-10k", "10 000 bindings, MiB RSS", limit=80, decimals=1),
    Row("pss-10k", "10 000 bindings, MiB PSS", decimals=1),
)
# Flexisip 2.x as published, closed loop; not measured here.
_FLEXISIP = "Flexisip, as published: registration 98-126 us, call 290-410 us, 10 000 bindings 282 MB"
_WIDTHS = (28, 10, 10, 8, 16)


def render(figures: Figures) -> list[str]:
    """The table's lines."""
    lines = [_line("", "flexipy", "Kamailio", "ratio", "limit")]
    for row in ROWS:
        ours, theirs = figures("flexipy", row.what), figures("kamailio", row.what)
        if ours is not None:
            lines.append(_row(row, ours, theirs))
    return [*lines, _FLEXISIP]


def exceeded(figures: Figures) -> list[Row]:
    """The rows whose limit flexipy does not keep."""
    return [row for row in ROWS if _verdict(row, figures("flexipy", row.what), figures("kamailio", row.what)) is False]


def _verdict(row: Row, ours: float | None, theirs: float | None) -> bool | None:
    if ours is None:
        return None
    if row.limit is not None:
        return ours < row.limit
    if row.ratio_limit is not None and theirs:
        return ours / theirs <= row.ratio_limit
    return None


def _row(row: Row, ours: float, theirs: float | None) -> str:
    limit = ""
    if row.limit is not None:
        limit = f"< {row.limit:g}"
    elif row.ratio_limit is not None:
        limit = f"<= {row.ratio_limit:g}x"
    verdict = _verdict(row, ours, theirs)
    if verdict is not None:
        limit += "  pass" if verdict else "  FAIL"
    shown = "" if theirs is None else f"{theirs:.{row.decimals}f}"
    ratio = f"{ours / theirs:.2f}x" if theirs else ""
    return _line(row.title, f"{ours:.{row.decimals}f}", shown, ratio, limit)


def _line(title: str, *cells: str) -> str:
    first, *rest = _WIDTHS
    return (title.ljust(first) + "".join(cell.rjust(width) for cell, width in zip(cells, rest, strict=True))).rstrip()
