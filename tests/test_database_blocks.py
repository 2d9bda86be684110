"""What counted blocks need of a database: rows of numbers as one value, shared locks, rows held in order, upkeep."""

from __future__ import annotations

import asyncio

import pytest

from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.storage.database import Database, LostRaceError, Reader, Transaction, open_database
from tests.conftest import Place
from tests.patience import PATIENCE_S

only_postgres = pytest.mark.parametrize(
    "database_kind", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


class OnPurposeError(Exception):
    """Raised inside a transaction."""


async def put(tx: Transaction, name: str) -> None:
    await tx.execute("INSERT INTO meta (name, value) VALUES ($1, '1')", name)


async def names(database: Database) -> list[str]:
    rows = await database.look(lambda reader: reader.fetch("SELECT name FROM meta WHERE name <> 'erasure_key'"))
    return sorted(row[0] for row in rows)


async def test_lists_of_numbers_become_rows_of_columns(database: Database) -> None:
    async def work(reader: Reader) -> list[tuple[object, ...]]:
        rows = await reader.fetch(
            "SELECT w.c2, w.c1, $4 + 0 * w.c3 FROM each_bigints($3, $1, $2) AS w WHERE w.c1 <> $4 ORDER BY w.c1",
            [INT64_MAX, -1, 5],
            [1, 2, 3],
            (3, INT64_MIN, 0),
            0,
        )
        nothing: list[int] = []
        assert await reader.fetch("SELECT w.c1 FROM each_bigints($1, $2) AS w", nothing, nothing) == []
        return [tuple(row) for row in rows]

    expected = [(-1, INT64_MIN, 0), (INT64_MAX, 3, 0)]
    assert [await database.read(work), await database.look(work), await database.write(work)] == [expected] * 3


@only_postgres
async def test_a_shared_lock_is_shared_and_keeps_out_who_wants_it_alone(place: Place) -> None:
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as two:
        inside: list[str] = []
        entered, leave = asyncio.Event(), asyncio.Event()

        async def first(tx: Transaction) -> None:
            await tx.lock("a", "b", shared=True)
            inside.append("first in")
            entered.set()
            await leave.wait()
            inside.append("first out")

        async def beside(tx: Transaction) -> None:
            await tx.lock("b", shared=True)
            inside.append("beside in")

        async def alone(tx: Transaction) -> None:
            await tx.lock("a")
            inside.append("alone in")

        running = asyncio.create_task(one.write(first))
        await entered.wait()
        async with asyncio.timeout(PATIENCE_S):
            await two.write(beside)
        waiting = asyncio.create_task(two.write(alone))
        while not await one.look(lambda reader: reader.fetch_value("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            pass
        leave.set()
        await asyncio.gather(running, waiting)
        assert inside == ["first in", "beside in", "first out", "alone in"]


@only_postgres
async def test_rows_that_are_held_keep_others_waiting(place: Place) -> None:
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as two:
        await one.write(lambda tx: put(tx, "a"))
        held, leave = asyncio.Event(), asyncio.Event()

        async def holds(tx: Transaction) -> None:
            await tx.lock_rows("SELECT value FROM meta WHERE name = $1 ORDER BY name", "a")
            held.set()
            await leave.wait()
            await tx.execute("UPDATE meta SET value = value || 'x' WHERE name = 'a'")

        async def changes(tx: Transaction) -> None:
            await tx.execute("UPDATE meta SET value = value || 'y' WHERE name = 'a'")

        running = asyncio.create_task(one.write(holds))
        await held.wait()
        waiting = asyncio.create_task(two.write(changes))
        while not await one.look(lambda reader: reader.fetch_value("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            pass
        leave.set()
        await asyncio.gather(running, waiting)
        assert await one.look(lambda reader: reader.fetch_value("SELECT value FROM meta WHERE name = 'a'")) == "1xy"


async def test_upkeep_comes_after_what_asked_for_it(database: Database) -> None:
    async def upkeep(tx: Transaction) -> None:
        found = await tx.fetch_value("SELECT count(*) FROM meta WHERE name = 'asked'")
        await put(tx, f"kept up after {found}")

    async def work(tx: Transaction) -> str:
        await put(tx, "asked")
        await tx.afterwards(upkeep)
        return "done"

    assert await database.write(work) == "done"
    assert await names(database) == ["asked", "kept up after 1"]


async def test_upkeep_of_what_was_undone_never_comes(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await tx.afterwards(lambda again: put(again, "kept up"))
        raise OnPurposeError

    with pytest.raises(OnPurposeError):
        await database.write(work)
    assert await names(database) == []


@only_postgres
async def test_upkeep_that_fails_harms_nobody(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    async def upkeep(tx: Transaction) -> None:
        await put(tx, "half")
        raise OnPurposeError

    async def work(tx: Transaction) -> None:
        await put(tx, "asked")
        await tx.afterwards(upkeep)

    await database.write(work)
    assert await names(database) == ["asked"]
    assert "follow_up_failed" in capsys.readouterr().out


@only_postgres
async def test_work_that_lost_a_race_is_run_again(database: Database) -> None:
    attempts: list[int] = []

    async def work(tx: Transaction) -> int:
        attempts.append(1)
        await put(tx, "a")
        if len(attempts) < 3:
            raise LostRaceError
        return len(attempts)

    assert await database.write(work) == 3
    assert await names(database) == ["a"]


async def test_each_row_of_numbers_updates_its_own(database: Database) -> None:
    async def work(tx: Transaction) -> list[tuple[object, ...]]:
        await tx.execute_many(
            "INSERT INTO scores (list, key, n) VALUES ($1, $2, 1)", [(1, INT64_MIN), (1, 7), (2, 7), (2, INT64_MAX)]
        )
        rows = await tx.update_each(
            "UPDATE scores AS s SET n = s.n + $3 WHERE s.list = $2 AND s.key = $1 RETURNING list, key, n",
            [(INT64_MIN, 1, 5), (7, 2, -1), (8, 1, 100), (INT64_MAX, 2, 3)],
        )
        assert await tx.fetch_value("SELECT n FROM scores WHERE list = 1 AND key = 7") == 1
        return sorted(tuple(row) for row in rows)

    assert await database.write(work) == [(1, INT64_MIN, 6), (2, 7, 0), (2, INT64_MAX, 4)]
