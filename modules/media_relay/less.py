"""Who gets less than all media: `h264-filtering-bandwidth` and `drop-telephone-event`."""

from __future__ import annotations

from dataclasses import dataclass

from flexipy.media.thinning import Thinner
from flexipy.proxy.api import ModuleContext
from flexipy.sip.sdp import Media


@dataclass(frozen=True, slots=True)
class LessMedia:
    """The module's parameters about it.

    Attributes:
        bandwidth: kbit/s below which a receiver gets key frames alone; 0 for never.
        every: of the key frames every n-th.
        only_last: not toward receivers behind another proxy.
        no_digits: no telephone-event for anybody.
    """

    bandwidth: int
    every: int
    only_last: bool
    no_digits: bool

    @staticmethod
    def of(context: ModuleContext) -> LessMedia:
        """As configured."""
        values = context.values
        return LessMedia(
            values.integer("h264-filtering-bandwidth"),
            values.integer("h264-iframe-decim"),
            values.boolean("h264-decim-only-last-proxy"),
            values.boolean("drop-telephone-event"),
        )

    def toward(self, media: Media, behind_proxy: bool) -> Thinner | None:
        """What to take out toward the side that described itself so; None for nothing.

        Args:
            media: that side's own section.
            behind_proxy: whether another proxy stands between.
        """
        pictures: frozenset[int] = frozenset()
        allowed = media.bandwidth or media.session.bandwidth
        if allowed is not None and allowed < self.bandwidth and not (self.only_last and behind_proxy):
            pictures = media.types_of(b"H264")
        digits = media.types_of(b"telephone-event") if self.no_digits else frozenset()
        return Thinner(pictures, self.every, digits) if pictures or digits else None
