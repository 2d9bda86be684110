"""Counted blocks under several writers: at rest equal to the entries and to the model, and nobody waits in a circle."""

from __future__ import annotations

import asyncio
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import asyncpg
import pytest

from homeserver.model import Position, Ties
from homeserver.storage import postgres, standings
from homeserver.storage.database import Database, Reader, Row, Transaction, open_database
from tests.blocks_kit import BOARDS, apply, change, check_all, check_blocks, seed, settle, stored
from tests.blocks_writer import AT_ONCE, SIZES, history, write
from tests.clock import NOON_MS
from tests.conftest import Place
from tests.patience import PATIENCE_S
from tests.writing import apply_changes

ROOT: Final = Path(__file__).resolve().parent.parent
PROCESSES: Final = {"sqlite": 2, "postgresql": 4}
only_postgres = pytest.mark.parametrize(
    "database_kind", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


async def check_at_rest(database: Database) -> None:
    for board in BOARDS:
        found = await database.read(lambda reader, board=board: stored(reader, board))  # type: ignore[misc]
        assert found is not None
        check_blocks(found)


# --- processes --------------------------------------------------------------------------------------------------------


async def events_in_order(reader: Reader) -> list[Row]:
    return await reader.fetch("SELECT player, new, at_ms FROM events ORDER BY event")


async def test_several_processes_leave_every_count_right(place: Place, database_kind: str) -> None:
    """Each writes its own players, all of them the same lists, cutting and joining blocks all the time.

    None of them takes a deadlock, or any other lost race, for a reason to try again.
    """
    processes = PROCESSES[database_kind]
    async with open_database(place.url, place.schema) as database:
        await seed(database)
        writers = [await started(place, number) for number in range(processes)]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write(b"go\n")
        running = asyncio.gather(*(finished(writer) for writer in writers))
        compared = 0
        while not running.done():
            compared += await database.read(ranks_equal_what_is_counted)
        await running
        assert compared > 5
        model: dict[int, tuple[int, int]] = {}
        for number in range(processes):
            for lane in range(AT_ONCE):
                for at_ms, values in history(number, lane):
                    settle(model, [change(player, score, at_ms) for player, score in values.items()])
        # Each lane has a clock of its own, and one that is behind the others counts as theirs: the events say when.
        seen: dict[int, tuple[int, int]] = {}
        for player, value, at_ms in await database.read(events_in_order):
            settle(seen, [change(player, None if value is None else int(value), at_ms)])
        assert {player: score for player, (score, _) in seen.items()} == {
            player: score for player, (score, _) in model.items()
        }
        assert all(seen[player][1] >= at_ms for player, (_, at_ms) in model.items())
        await check_all(database, seen, limit=7, sample=random.Random(1))


async def started(place: Place, number: int) -> Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.blocks_writer", place.url, place.schema, str(number)),
        cwd=ROOT,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    if await process.stdout.readline() != b"ready\n":
        await finished(process)
    return process


async def finished(process: Process) -> None:
    async with asyncio.timeout(PATIENCE_S):
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert not said, said.decode()


async def ranks_equal_what_is_counted(reader: Reader) -> int:
    """While others write: in one snapshot, a rank from blocks is the rank that plain counting gives."""
    compared = 0
    for list_, board in await reader.fetch("SELECT list, board FROM lists"):
        rows = await reader.fetch("SELECT key, reached_ms, player FROM entries WHERE list = $1", list_)
        entries = sorted(Position(*row) for row in rows)
        if not entries:
            continue
        keys = [entry.key for entry in entries]
        index = len(entries) // 2
        expected = {
            Ties.COMPETITION: keys.index(keys[index]),
            Ties.DENSE: len(set(keys[:index]) - {keys[index]}),
            Ties.ORDINAL: index,
        }[Ties(board)]
        standing = await standings.standing(reader, list_, Ties(board), entries[index])
        assert (standing.rank, await standings.total(reader, list_)) == (1 + expected, len(entries))
        compared += 1
    return compared


# --- one moment at a time ---------------------------------------------------------------------------------------------


class Halting:
    """A transaction that halts before it counts, when its boundaries are already read."""

    def __init__(self, tx: Transaction, reached: asyncio.Event, go_on: asyncio.Event, *, locks: bool) -> None:
        self._tx = tx
        self._reached = reached
        self._go_on = go_on
        self._locks = locks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    async def lock(self, *names: str, shared: bool = False) -> None:
        if self._locks:
            await self._tx.lock(*names, shared=shared)

    async def lock_rows(self, sql: str, *values: object) -> None:
        self._reached.set()
        await self._go_on.wait()
        await self._tx.lock_rows(sql, *values)


@asynccontextmanager
async def one_halted_while_another_cuts(place: Place, *, locks: bool) -> AsyncIterator[Database]:
    """A writer halts with the boundaries in its hands, while another brings a block so many that it is cut."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def late(tx: Transaction) -> None:
        halting = cast("Transaction", Halting(tx, reached, go_on, locks=locks))
        await apply_changes(halting, [change(500, -500, NOON_MS)], NOON_MS * 2, SIZES)

    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as other:
        await seed(one)
        await apply(one, [change(player, player, NOON_MS) for player in range(1, 6)], SIZES)
        writing = asyncio.create_task(one.write(late))
        await reached.wait()
        cutting = asyncio.create_task(apply(other, [change(player, player, NOON_MS) for player in range(6, 20)], SIZES))
        try:
            if locks:
                await somebody_waits(place)
            else:
                await cutting
        finally:
            go_on.set()
            await asyncio.gather(writing, cutting)
        yield one


async def somebody_waits(place: Place) -> None:
    """Return when a lock of any kind is waited for."""
    connection = await asyncpg.connect(place.url)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                pass
    finally:
        await connection.close()


@only_postgres
async def test_who_cuts_a_block_waits_for_those_who_know_it_as_it_was(place: Place) -> None:
    async with one_halted_while_another_cuts(place, locks=True) as database:
        await check_at_rest(database)


@only_postgres
async def test_without_the_lock_the_same_leaves_wrong_counts_and_the_judge_sees_them(place: Place) -> None:
    async with one_halted_while_another_cuts(place, locks=False) as database:
        with pytest.raises(AssertionError):
            await check_at_rest(database)


@only_postgres
async def test_moves_between_the_same_blocks_in_both_directions_do_not_deadlock(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LOST_RACES", ())
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as other:
        await seed(one)
        await apply(one, [change(player, player, NOON_MS) for player in range(1, 30)], SIZES)

        async def move(database: Database, player: int) -> None:
            for step in range(25):
                await write(database, NOON_MS + 1 + step, {player: 1_000 * (-1) ** (step + player)})

        await asyncio.gather(*(move(each, player) for player in range(100, 112) for each in [(one, other)[player % 2]]))
        await check_at_rest(one)


@only_postgres
async def test_an_entry_that_another_took_away_meanwhile_is_not_counted_away_twice(place: Place) -> None:
    """Without the player's AppData row, which makes them wait for each other: the later one begins anew."""
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as other:
        await seed(one)
        await apply(one, [change(player, player, NOON_MS) for player in range(1, 9)], SIZES)
        reached, go_on = asyncio.Event(), asyncio.Event()
        attempts = 0

        async def late(tx: Transaction) -> None:
            nonlocal attempts
            attempts += 1
            halting = cast("Transaction", Halting(tx, reached, go_on, locks=True))
            await apply_changes(halting, [change(3, None, NOON_MS)], NOON_MS * 2, SIZES)

        first = asyncio.create_task(one.write(late))
        await reached.wait()  # it has deleted the entry, and not committed

        async def second_work(tx: Transaction) -> None:
            nonlocal attempts
            attempts += 1
            await apply_changes(tx, [change(3, None, NOON_MS)], NOON_MS * 2, SIZES)

        second = asyncio.create_task(other.write(second_work))
        try:
            await somebody_waits(place)
        finally:
            go_on.set()
            await asyncio.gather(first, second)
        assert attempts == 3
        await check_at_rest(one)
