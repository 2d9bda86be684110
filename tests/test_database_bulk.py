"""Many rows at once, sorting more than memory should hold, and when SQLite's log is copied."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import DatabaseUnavailable
from homeserver.storage import rebuild, sqlite
from homeserver.storage.database import Database, Transaction, open_database, ping, sqlite_path
from homeserver.storage.sorting import SOME_ROWS, Sorting
from homeserver.storage.sqlite import CHECKPOINT_AT, QUIET_CHECKPOINT_AT
from tests.conftest import Place
from tests.patience import until

COLUMNS = ("player", "key", "value", "observed_ms")
only_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


# --- loading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 8_000, 8_201, 16_001])
async def test_rows_that_are_loaded_are_all_there(database: Database, count: int) -> None:
    rows = [(number, f"key {number % 7}", None if number % 3 else "ü'\"", -number) for number in range(count)]
    await database.write(lambda tx: tx.load("appdata", COLUMNS, rows))
    found = await database.read(lambda db: db.fetch(f"SELECT {', '.join(COLUMNS)} FROM appdata ORDER BY player"))
    assert [tuple(row) for row in found] == rows


async def test_what_is_there_already_undoes_the_whole_load(database: Database) -> None:
    await database.write(lambda tx: tx.load("appdata", COLUMNS, [(250, "k", "there", 0)]))
    rows = [(number, "k", "new", 0) for number in range(300)]
    with pytest.raises((sqlite3.IntegrityError, asyncpg.UniqueViolationError)):
        await database.write(lambda tx: tx.load("appdata", COLUMNS, rows))
    assert await database.look(lambda db: db.fetch_value("SELECT count(*) FROM appdata")) == 1


# --- sorting ----------------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=8), max_size=5), st.integers(1, 9))
async def test_rows_come_back_sorted(parts: list[list[tuple[int, int, int, int]]], page: int) -> None:
    with Sorting() as sorting:
        for part in parts:
            sorting.add(part)
        pages = [rows async for rows in sorting.read(page)]
    assert [row for rows in pages for row in rows] == sorted(row for part in parts for row in part)
    assert all(len(rows) == page for rows in pages[:-1])


async def test_more_rows_than_one_statement_takes() -> None:
    rows = [(number * 7_919 % 100_003, 0, 0, number) for number in range(2 * SOME_ROWS + 3)]
    with Sorting() as sorting:
        sorting.add(rows)
        assert [row async for rows in sorting.read(100) for row in rows] == sorted(rows)


# --- deleting lists ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counted", [True, False], ids=["whole", "half done"])
@pytest.mark.parametrize("players", [3, 60])
async def test_a_list_is_deleted_part_by_part_and_no_other(database: Database, players: int, counted: bool) -> None:
    """Whether one player in twenty is in it, or everybody; also what a rebuild has left between its steps."""
    columns = ("list", "key", "reached_ms", "player")
    own = [(8, -player, 1, player) for player in range(1, 20 * players, 20)]
    others = [(list_, -player, 1, player) for list_ in (7, 9) for player in range(1, 200)]

    async def work(tx: Transaction) -> None:
        await tx.load("entries_by_player", columns, own + others)
        await tx.load("entries", columns, (own if counted else own[:2]) + others)
        await tx.load("scores", ("list", "key", "n"), [(list_, -key, 1) for list_ in (7, 8) for key in range(30)])
        await tx.execute("INSERT INTO blocks VALUES (8, 2, 0, 0, 0, $1, 0)", len(own) if counted else 0)

    await database.write(work)
    after: int | None = 0
    steps = 0
    while after is not None:
        so_far = after
        after = await database.write(lambda tx, so_far=so_far: rebuild.delete_some(tx, 8, so_far, 25))  # type: ignore[misc]
        steps += 1
    assert steps >= 3
    for table, left in (("entries_by_player", len(others)), ("entries", len(others)), ("scores", 30), ("blocks", 0)):
        assert await database.read(lambda db, table=table: db.fetch_value(f"SELECT count(*) FROM {table}")) == left  # type: ignore[misc]


# --- SQLite's log -----------------------------------------------------------------------------------------------------


def in_the_file(url: str, folder: Path) -> int:
    """How many rows the file has without its log."""
    copy = folder / "copy.sqlite3"
    shutil.copyfile(sqlite_path(url), copy)
    with closing(sqlite3.connect(copy)) as connection:
        return int(connection.execute("SELECT count(*) FROM appdata").fetchone()[0])


@only_sqlite
async def test_the_log_is_copied_when_nobody_waits(borrowed_place: Place, tmp_path: Path) -> None:
    async with open_database(borrowed_place.url) as database:

        async def put(begin: int, count: int) -> None:
            rows = [(begin + number, "k", "v", 0) for number in range(count)]
            await database.write(lambda tx: tx.load("appdata", COLUMNS, rows))

        await put(0, QUIET_CHECKPOINT_AT - 1)
        await database.write(ping)
        assert in_the_file(borrowed_place.url, tmp_path) == 0
        await put(CHECKPOINT_AT, 1)

        async def copied() -> int:
            with suppress(sqlite3.DatabaseError):  # our copy of the file was made half way
                return in_the_file(borrowed_place.url, tmp_path)
            return 0

        await until(copied, lambda rows: rows == QUIET_CHECKPOINT_AT)  # it comes after the answer
        await put(2 * CHECKPOINT_AT, CHECKPOINT_AT)
        await database.write(ping)  # so much is copied before the next write, whoever waits
        assert in_the_file(borrowed_place.url, tmp_path) == QUIET_CHECKPOINT_AT + CHECKPOINT_AT


@only_sqlite
async def test_who_is_kept_out_for_too_long_is_told_that_the_database_is_busy(
    borrowed_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PRAGMAS", (*sqlite.PRAGMAS, "PRAGMA busy_timeout=1"))
    async with open_database(borrowed_place.url) as database:
        with closing(sqlite3.connect(sqlite_path(borrowed_place.url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseUnavailable):
                await database.write(lambda tx: tx.execute("DELETE FROM meta"))
        await database.write(lambda tx: tx.execute("DELETE FROM meta WHERE name = 'x'"))
