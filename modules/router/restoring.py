"""Messages that an earlier process accepted: whom they wait for is found anew, and woken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from flexipy.proxy.api import MessageFork, ModuleContext
from flexipy.sip.uri import SipUri

from .late import LateDevices
from .pending import PendingMessage
from .targets import Destination, TargetFinder

WAKE_AFTER = 5.0  # seconds after the start that devices get to come back by themselves


def keys_of(key: str, destinations: list[Destination]) -> set[str]:
    """Where those come back who are called by an address.

    A static record leads to people with addresses of their own.
    """
    return {key, *(each.key for each in destinations if each.key)}


async def deliver_restored(
    context: ModuleContext, targets: TargetFinder, late: LateDevices, restored: list[tuple[MessageFork, PendingMessage]]
) -> None:
    """Watch for the devices that messages wait for, and send each the newest, which wakes it.

    The others are delivered when it registers.

    Args:
        context: the Router's.
        targets: finds the devices.
        late: watches for them; it does already for those of the messages' own addresses.
        restored: oldest first.
    """
    found: list[list[Destination]] = []
    for fork, message in restored:
        uri = SipUri.parse(message.target)
        waiting = targets.find(uri, time.time(), True)
        destinations = await waiting if isinstance(waiting, Awaitable) else waiting
        found.append(destinations)
        more = keys_of(message.key, destinations) - {message.key}
        if more and fork.event is not None:
            late.watch(fork, more, message.request, uri)
    await asyncio.sleep(WAKE_AFTER)
    woken: set[str] = set()
    for (fork, message), destinations in zip(reversed(restored), reversed(found), strict=True):
        for each in destinations:
            if each.uid in woken or each.uid in fork.delivered:
                continue
            woken.add(each.uid)
            request = each.request_from(message.request)
            fork.deliver(request, each.uid, each.flow_token, context.agent.clock(), each.key)
        await asyncio.sleep(0)
