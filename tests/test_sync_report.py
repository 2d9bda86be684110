"""The sync's table for operators, on both engines: what it holds, and how old what it says of everybody may be."""

from __future__ import annotations

from homeserver.services.meter import Meter
from homeserver.services.sync_report import KEPT_TIMES, SyncReport
from homeserver.storage import leases, people
from homeserver.storage.database import Database, Transaction
from tests.clock import Clock


class Seconds:
    """A clock by which everything takes a tenth of a second."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 0.1
        return self.now_s


async def test_a_look_at_everybody_is_kept_for_some_times_as_long_as_it_took(database: Database, clock: Clock) -> None:
    seconds = Seconds()
    report = SyncReport(database, "orkut", clock.now_ms, Meter(database), lambda: 0.0, clock_s=seconds)
    before = (await report.table()).overview.players
    await database.write(lambda tx: people.player_of(tx, "orkut", "1"))
    assert (await report.table()).overview.players == before
    seconds.now_s += KEPT_TIMES * 0.2
    assert (await report.table()).overview.players == before + 1
    assert b'homeserver_players{state="all"}' in await report.metrics()


async def test_leases_that_are_held_are_told(database: Database, clock: Clock) -> None:
    now_ms = clock.now_ms()

    async def work(tx: Transaction) -> None:
        await leases.acquire(tx, "b", "one", now_ms=now_ms, until_ms=now_ms + 5)
        await leases.acquire(tx, "a", "one", now_ms=now_ms, until_ms=now_ms + 9)
        await leases.acquire(tx, "over", "one", now_ms=now_ms - 9, until_ms=now_ms)

    await database.write(work)
    report = SyncReport(database, "orkut", clock.now_ms, Meter(database), lambda: 0.0)
    table = await report.table()
    assert table.leases == (("a", now_ms + 9), ("b", now_ms + 5))
    assert table.now_ms == now_ms
