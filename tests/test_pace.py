"""The container's rate, between those who may wait and those who are there. More: test_sync_engine.py."""

from __future__ import annotations

import asyncio

from homeserver.errors import RemoteResting, RemoteUnavailable
from homeserver.model import HttpReply
from homeserver.services.meter import Meter
from homeserver.services.pace import Pace
from homeserver.storage.database import Database
from tests.clock import Clock

PER_S = 20.0


async def _answered() -> HttpReply:
    return HttpReply(200, {}, b"{}")


async def test_whoever_is_present_waits_for_no_turn_and_takes_one_of_the_others(
    database: Database, clock: Clock
) -> None:
    waits_s: list[float] = []

    async def sleep(seconds: float) -> None:
        waits_s.append(seconds)
        clock.advance(ms=round(seconds * 1000))

    pace = Pace(database, "orkut", clock.now_ms, per_s=PER_S, sleep=sleep)

    async def waited_s() -> float:
        """What one request that may wait has to."""
        before = len(waits_s)
        await pace.through(_answered)
        return sum(waits_s[before:])

    while not waits_s:  # all that the rate allows at once
        await pace.through(_answered)
    assert [round(await waited_s(), 3) for _ in range(3)] == [1 / PER_S] * 3
    found = []
    for _ in range(5):  # a process takes several turns out of the database at a time, and has none left now and then
        before = len(waits_s)
        await pace.once(_answered)
        assert len(waits_s) == before
        found.append(round(await waited_s(), 3))
    assert set(found) == {1 / PER_S, 2 / PER_S}


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
