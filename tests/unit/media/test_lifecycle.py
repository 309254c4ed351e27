"""Ten thousand calls leave nothing behind."""

import asyncio
import gc
import os
import random
import sys
from typing import Any

from tests.harness.garbage import cycles_of

HOME = "127.0.0.1"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def live_a_call(relay: Any, rng: random.Random, expected: Any) -> None:
    call = relay.open("call")
    keys = ["a", "b", "c"][: rng.randrange(1, 4)]
    streams = rng.randrange(1, 3)
    for stream in range(streams):
        call.caller(stream, HOME).expect(expected)
        for key in keys:
            call.branch(key, stream, HOME).expect(expected)
    for _ in range(rng.randrange(6)):
        rng.choice([call.answered, call.answered, call.win, call.drop])(rng.choice(keys))
    if rng.random() < 0.1 and call.branches:
        call.branch(next(iter(call.branches)), 0, "127.0.0.2").expect(expected)
    if rng.random() < 0.5:
        call.close()


async def test_calls_leave_no_files_and_no_memory(start: Any, phone: Any) -> None:
    relay = start()
    rng = random.Random(1)
    expected = phone().expected()
    for _ in range(100):  # caches fill
        live_a_call(relay, rng, expected)
    for call in list(relay.calls):
        call.close()
    await asyncio.sleep(0)
    files = open_files()
    gc.collect()
    blocks = sys.getallocatedblocks()
    for number in range(4_000):
        live_a_call(relay, rng, expected)
        if number % 20 == 19:
            for call in list(relay.calls):
                call.close()
            await asyncio.sleep(0)  # uvloop frees what it held
    await asyncio.sleep(0)
    gc.collect()

    assert not relay.calls
    assert open_files() == files
    assert sys.getallocatedblocks() - blocks < 2_000  # half a block a call


async def test_a_closed_call_is_freed_without_the_collector_of_cycles(start: Any, phone: Any) -> None:
    relay = start()
    expected = phone().expected()

    def live() -> None:
        call = relay.open("call")
        call.caller(0, HOME).expect(expected)
        for key in ("a", "b"):
            call.branch(key, 0, HOME).expect(expected)
            call.answered(key)
        call.win("a")
        call.close()

    assert cycles_of(live) == set()
