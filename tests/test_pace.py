"""The container's rate, between those who may wait and those who are there. More: test_sync_engine.py."""

from __future__ import annotations

import asyncio

from homeserver.errors import RemoteResting, RemoteUnavailable
from homeserver.model import HttpReply
from homeserver.services.meter import Meter
from homeserver.services.pace import BLOCK_S, Pace
from homeserver.storage.database import Database
from tests.clock import Clock

PER_S = 20.0


async def _answered() -> HttpReply:
    return HttpReply(200, {}, b"{}")


async def test_whoever_is_present_goes_before_those_who_may_wait(database: Database, clock: Clock) -> None:
    waits_s: list[float] = []
    asleep = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits_s.append(seconds)
        asleep.set()
        await asyncio.Event().wait()

    pace = Pace(database, "orkut", clock.now_ms, per_s=PER_S, concurrency=1_000, sleep=sleep)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        background = [group.create_task(pace.through(_answered)) for _ in range(200)]
        while len(waits_s) < PER_S * BLOCK_S:  # all that the rate allows at once has been sent
            asleep.clear()
            await asleep.wait()
        already = len(waits_s)
        present = group.create_task(pace.once(_answered))
        while len(waits_s) == already:
            asleep.clear()
            await asleep.wait()
        for task in (*background, present):
            task.cancel()
    assert 0 < waits_s[-1] <= 2 * BLOCK_S + 1 / PER_S


async def test_what_must_not_be_repeated_is_sent_once_and_counted(database: Database, clock: Clock) -> None:
    """Its failures close the way as any others do; then nobody asks."""
    meter = Meter(database)
    pace = Pace(database, "orkut", clock.now_ms, meter=meter, break_after=2)
    sent = 0

    async def send() -> HttpReply:
        nonlocal sent
        sent += 1
        raise RemoteUnavailable("no answer", service="container")

    found: list[type[Exception]] = []
    for _ in range(3):
        try:
            await pace.once(send)
        except RemoteUnavailable as error:
            found.append(type(error))
    assert sent == 2
    assert found == [RemoteUnavailable, RemoteUnavailable, RemoteResting]
    assert (await meter.sums())["container_requests", "remote_unavailable"] == 2


async def test_what_was_counted_last_is_kept_when_the_process_ends(database: Database) -> None:
    meter = Meter(database)
    running = asyncio.create_task(meter.run())
    await asyncio.sleep(0)
    meter.add("sync_done", "whole", 3)
    running.cancel()
    await asyncio.wait({running})
    assert await Meter(database).sums() == {("sync_done", "whole"): 3}
