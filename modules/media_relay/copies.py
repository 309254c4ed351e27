"""The caller's media for every device that rings, by rtpengine's subscriptions.

Each branch is a call of its own to the engine, and the caller's media enter that of the branch whose description he got
last. All other branches that have described themselves subscribe to him there. Such a copy comes from another port than
the branch was told; encrypted media are not copied, as the engine would use keys that the branch does not know.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from flexipy.modules.media_relay.ng import Engine, EngineError
from flexipy.modules.media_relay.rewriting import relayed
from flexipy.proxy.api import SipError
from flexipy.sip.sdp import Sdp

logger = logging.getLogger(__name__)

# A branch need not take every format that the caller offers.
_FLAGS: Final = (b"allow transcoding",)
_numbers = itertools.count(1)


class Branch(Protocol):
    """A branch as the engine knows it."""

    @property
    def name(self) -> str:
        """The engine's call-id."""

    @property
    def caller_tag(self) -> bytes:
        """From tag of the INVITE."""

    @property
    def engine(self) -> Engine | None:
        """Who relays it."""


@dataclass(slots=True, eq=False)
class Copies:
    """The branches of one INVITE that have described themselves.

    Attributes:
        members: of all branches, how many live.
    """

    members: int = 0
    _leader: Branch | None = None
    _described: dict[Branch, bytes] = field(default_factory=dict)
    _tags: dict[Branch, str] = field(default_factory=dict)  # of subscriptions within the leader's call
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _settled: bool = False

    async def lead(self, branch: Branch, description: bytes) -> None:
        """The caller was given a branch's description: his media go there, and copies to the others.

        Args:
            branch: that described itself.
            description: as it came from there.
        """
        async with self._lock:
            if self._settled or self._described.get(branch) == description:
                return
            await self._end_copies()
            self._described[branch] = description
            self._leader = branch
            for other, theirs in list(self._described.items()):
                if other is not branch and _may_be_copied(theirs):
                    await self._copy(branch, other, theirs)

    async def leave(self, branch: Branch) -> None:
        """A branch is gone."""
        async with self._lock:
            self._described.pop(branch, None)
            await self._end_copy(branch)
            if self._leader is branch:
                self._leader = None
                self._tags.clear()  # they end with the engine's call

    async def settle(self) -> None:
        """A branch has answered: nobody else gets anything."""
        async with self._lock:
            self._settled = True
            await self._end_copies()
            self._described.clear()
            self._leader = None

    async def _copy(self, leader: Branch, other: Branch, description: bytes) -> None:
        tag = f"copy-{next(_numbers)}"
        who: Mapping[str, str | bytes] = {"call_id": leader.name, "from_tag": leader.caller_tag, "to_tag": tag}
        if leader.engine is None:
            return
        try:
            await leader.engine.ask("subscribe request", **who)
            await leader.engine.ask("subscribe answer", sdp=description, flags=_FLAGS, **who)
        except EngineError as error:
            logger.info("%s: no copy for %s: %s", leader.name, other.name, error)
            return
        self._tags[other] = tag

    async def _end_copies(self) -> None:
        for branch in list(self._tags):
            await self._end_copy(branch)

    async def _end_copy(self, branch: Branch) -> None:
        tag = self._tags.pop(branch, None)
        leader = self._leader
        if tag is None or leader is None or leader.engine is None:
            return
        try:
            await leader.engine.ask("unsubscribe", call_id=leader.name, from_tag=leader.caller_tag, to_tag=tag)
        except EngineError as error:
            logger.info("%s: a copy is not ended: %s", leader.name, error)


def _may_be_copied(description: bytes) -> bool:
    try:
        sections = relayed(Sdp.parse(description))
    except SipError:
        return False
    return bool(sections) and not any(media.is_secure for _, media in sections)
