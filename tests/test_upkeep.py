"""The clean-up: what has ended goes, what is in force stays."""

from __future__ import annotations

import asyncio

import pytest

from homeserver.model import Act, Action, GadgetSession
from homeserver.services.moderation import Moderation
from homeserver.services.upkeep import Upkeep
from homeserver.storage import leases, moderation, nonces, sessions
from homeserver.storage.database import Database, Transaction
from tests.clock import Clock

HOUR_MS = 3_600_000


async def test_what_has_ended_goes_and_what_is_in_force_stays(database: Database, clock: Clock) -> None:
    now_ms = clock.now_ms()

    async def fill(tx: Transaction) -> None:
        await sessions.add_gadget_session(tx, "ends", GadgetSession(None, None, now_ms + HOUR_MS))
        await sessions.add_gadget_session(tx, "stays", GadgetSession(None, None, now_ms + 3 * HOUR_MS))
        await leases.acquire(tx, "ends", "somebody", now_ms=now_ms, until_ms=now_ms + HOUR_MS)
        await nonces.use(tx, "key", now_ms // 1000, "ends")

    await database.write(fill)
    upkeep = Upkeep(database, clock.now_ms)
    assert await upkeep.tidy() == 0
    clock.advance(ms=2 * HOUR_MS)
    assert await upkeep.tidy() == 3
    assert await upkeep.tidy() == 0
    assert await database.read(lambda reader: sessions.find_gadget_session(reader, "stays", clock.now_ms()))


async def test_the_log_of_acts_is_kept_as_long_as_it_is_said(database: Database, clock: Clock) -> None:
    old, new = (
        Act(Action.HIDE, clock.now_ms() + days * 24 * HOUR_MS, "maria", f"day {days}", None, None) for days in (0, 1)
    )

    async def fill(tx: Transaction) -> None:
        for act in [old] * 2_001 + [new]:
            await moderation.log(tx, act)

    await database.write(fill)
    upkeep = Upkeep(database, clock.now_ms, audit_ms=30 * 24 * HOUR_MS)
    clock.advance(days=30)
    assert await upkeep.forget_acts() == 0
    clock.advance(ms=1)
    assert await upkeep.forget_acts() == 2_001
    log = await Moderation(database, clock.now_ms).log()
    assert [act.reason for act in log] == ["day 1"]


async def test_a_database_that_is_away_for_a_while_does_not_end_it(database: Database, clock: Clock) -> None:
    """Here the clock is what fails, inside the transaction; the third look would never come."""
    now_ms = clock.now_ms()
    await database.write(lambda tx: nonces.use(tx, "key", now_ms // 1000 - 2 * HOUR_MS, "old"))
    looks = 0

    def failing_once() -> int:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OSError("the database went away")
        return now_ms

    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Upkeep(database, failing_once, sleep=sleep).run()
    assert slept == [600.0, 600.0]
    assert await database.read(lambda reader: reader.fetch_value("SELECT COUNT(*) FROM nonces")) == 0
