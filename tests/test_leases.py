"""A lease has one holder at a time, among any number of processes; on both engines."""

from __future__ import annotations

import asyncio

from homeserver.storage import leases
from homeserver.storage.database import Database, open_database
from tests.conftest import Place


async def acquire(database: Database, holder: str, *, now_ms: int = 0, until_ms: int = 100) -> bool:
    return await database.write(lambda tx: leases.acquire(tx, "job", holder, now_ms=now_ms, until_ms=until_ms))


async def held(database: Database, now_ms: int) -> bool:
    return await database.look(lambda reader: leases.is_held(reader, "job", now_ms))


async def test_of_many_who_ask_at_the_same_time_one_gets_it(place: Place) -> None:
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as other:
        got = await asyncio.gather(*(acquire(one if n % 2 else other, f"holder {n}") for n in range(20)))
        assert got.count(True) == 1


async def test_a_lease_is_prolonged_by_its_holder_alone(database: Database) -> None:
    assert await acquire(database, "a", until_ms=100)
    assert not await acquire(database, "b", now_ms=99, until_ms=500)
    assert await acquire(database, "a", now_ms=99, until_ms=200)
    assert await held(database, 199)
    assert not await acquire(database, "b", now_ms=199, until_ms=500)


async def test_a_lease_that_ended_goes_to_whoever_asks(database: Database) -> None:
    await acquire(database, "dead", until_ms=100)
    assert not await held(database, 100)
    assert await acquire(database, "b", now_ms=100, until_ms=200)
    assert not await acquire(database, "dead", now_ms=150, until_ms=300)


async def test_only_its_holder_releases_a_lease(database: Database) -> None:
    await acquire(database, "late", until_ms=100)
    await acquire(database, "b", now_ms=100, until_ms=200)
    await database.write(lambda tx: leases.release(tx, "job", "late"))
    assert await held(database, 150)
    await database.write(lambda tx: leases.release(tx, "job", "b"))
    assert await acquire(database, "c", now_ms=150, until_ms=200)


async def test_pruning_removes_what_ended(database: Database) -> None:
    await acquire(database, "a", until_ms=100)
    assert await database.write(lambda tx: leases.prune(tx, 99)) == 0
    assert await database.write(lambda tx: leases.prune(tx, 100)) == 1
