"""The database as the rest of the house sees it: three ways to run a piece of work, and one SQL for both engines.

SQL is written once, with PostgreSQL's `$1` placeholders and three table functions of ours (give them an alias):
`each_bigint($n)` and `each_text($n)` turn a list given as one value into rows with the single column `value`,
`each_bigints($n, $m, ...)` turns lists of the same length, one for each column, into rows with the columns `c1`, `c2`
and so on. An aggregate of ours goes the other way: `list_of(column)` is a group's values, numbers and texts, which
`listed` reads; lists beside each other are in the same order. Rows come back as plain sequences in the order of the
selected columns.

A piece of *work* is an `async def` that takes a `Reader` or a `Transaction` and awaits nothing but its methods. On
SQLite such a coroutine never really suspends, so the writer thread (and, for bounded reads, the event loop) drives it
to its end in one go; on PostgreSQL it is awaited as usual. Awaiting anything else inside is an error, said at once on
SQLite.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, cast

import orjson

from homeserver.errors import BadSettings, OutdatedSchema

T = TypeVar("T")
Row = Sequence[Any]


class LostRaceError(Exception):
    """Work found, once it could lock, that what it had read was changed meanwhile. It leaves no trace and is run again.

    Never where there is one writer at a time (SQLite): there it is a bug.
    """


SCHEMA_REVISION: Final = "0001"
"""The newest revision in `migrations/`: the one that this version of the code reads and writes."""


class Reader(Protocol):
    """One consistent snapshot."""

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        """All rows."""

    async def fetch_one(self, sql: str, *values: object) -> Row | None:
        """The first row, or None."""

    async def fetch_value(self, sql: str, *values: object) -> Any:
        """The first column of the first row, or None."""


class Transaction(Reader, Protocol):
    """A transaction that commits when its work returns and leaves no trace when the work raises."""

    async def execute(self, sql: str, *values: object) -> int:
        """Run a statement; how many rows it changed."""

    async def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of values, none of which is a list."""

    async def load(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert many new rows in the fastest way there is; each has these columns' values, in this order."""

    async def update_each(self, sql: str, rows: Sequence[Sequence[int]]) -> list[Row]:
        """Run one `UPDATE .. WHERE .. RETURNING ..` for each row of whole numbers; what all of them return.

        No two of them meet the same row of the table. On PostgreSQL it is one statement for all, which is several times
        faster than one each; on SQLite it is the other way round.
        """

    async def change_each(self, sql: str, rows: Sequence[Sequence[int]]) -> int:
        """Run one `INSERT .. VALUES (..)`, `UPDATE .. WHERE ..` or `DELETE .. WHERE ..` for each row of whole numbers.

        The same as `update_each`, for statements that return nothing; how many rows of the table changed.
        """

    async def lock(self, *names: str, shared: bool = False) -> None:
        """Hold these names until the end, among all processes; always in sorted order. Before any row is read.

        Alone, or with others who hold the same name `shared`. What was read before may be out of date: only statements
        after this one see what those wrote who held it until then.

        SQLite has one writer at a time anyway, so there it does nothing. The names are this application's own: two
        schemas in one PostgreSQL do not meet.
        """

    async def lock_rows(self, sql: str, *values: object) -> None:
        """Hold the rows that this query finds until the end, taken in the order in which it finds them.

        The query ends with ORDER BY. SQLite has one writer at a time anyway, so there it does nothing.
        """

    async def afterwards(self, work: WriteWork[object]) -> None:
        """Have `work` run in a transaction of its own when this one is committed; never if it is not.

        It is upkeep: without it everything is as right as with it. It runs before `write` returns; what it raises is
        logged. On SQLite it runs here and now, in this transaction, where nobody else can be.
        """

    def announce(self) -> None:
        """Have those who listen (`WatchedDatabase.listen`), in any process, told that a list has changed, once that is
        committed: a hint, at least `HINT_S` apart from each process, and never in this transaction.

        On SQLite whoever listens sees every commit anyway, so there it does nothing.
        """


def listed(cell: Any) -> list[Any]:
    """What `list_of` gathered, NULL as None. One row with a list costs a fraction of a row for each value."""
    return cast("list[Any]", orjson.loads(cell) if isinstance(cell, str) else cell)


ReadWork = Callable[[Reader], Awaitable[T]]
WriteWork = Callable[[Transaction], Awaitable[T]]


class Database(Protocol):
    """An open database whose schema is the one that this code knows."""

    most_together: int
    """So many changes of scores are worth to share one transaction."""

    async def write(self, work: WriteWork[T]) -> T:
        """Run `work` in a transaction; return after it is durable.

        A connection that is lost during COMMIT is no reason to run it twice: the database is asked what became of it.

        Writes that wait at the same time may share a commit, but one that raises undoes only itself. On PostgreSQL
        `work` is run again when it lost a race (deadlock, serialisation, unique key), so it must change nothing but the
        database.

        Raises:
            DatabaseUnavailable: Nothing was kept, unless it is `uncertain`.
        """

    async def read(self, work: ReadWork[T]) -> T:
        """Run `work` in a read-only snapshot, away from the event loop. For reads of any size."""

    async def look(self, work: ReadWork[T]) -> T:
        """Run `work` in a read-only snapshot, the fastest way there is.

        On SQLite that is on the event loop itself: only for reads that touch a bounded number of indexed rows.
        """

    async def glance(self, work: ReadWork[T]) -> T:
        """As `look`, for work that asks one question alone: what a single statement reads is one snapshot anyway.

        On PostgreSQL that is one round trip instead of three.
        """


class OneQuestion:
    """A `Reader` for a single statement."""

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader: Reader | None = reader

    def _taken(self) -> Reader:
        reader, self._reader = self._reader, None
        if reader is None:
            raise RuntimeError("a glance asks one question; what asks more is a look")
        return reader

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        return await self._taken().fetch(sql, *values)

    async def fetch_one(self, sql: str, *values: object) -> Row | None:
        return await self._taken().fetch_one(sql, *values)

    async def fetch_value(self, sql: str, *values: object) -> Any:
        return await self._taken().fetch_value(sql, *values)


class WatchedDatabase(Database, Protocol):
    """A database that says when something has changed, whoever did it."""

    def stamp(self) -> int | None:
        """A number that stays the same as long as nobody commits anything, in any process. None where the database
        cannot say so without being asked: what was read before has to be read again."""

    async def listen(self, told: Callable[[], None]) -> None:
        """Call `told` soon after something was announced, without end. A hint may be lost, and may come for nothing."""


HINT_S: Final = 1.0
"""So long a process waits between two announcements: whatever changes meanwhile is in the next one."""

POLL_S: Final = 0.25
"""How often SQLite is asked whether anybody has committed anything."""

CONNECTIONS: Final = 10
"""To a PostgreSQL, where nothing else is asked for."""


def open_database(
    url: str, schema: str = "public", *, connections: int = CONNECTIONS
) -> AbstractAsyncContextManager[WatchedDatabase]:
    """Open `sqlite:///path` or `postgresql://...` (whose tables lie in `schema`) and check its schema.

    Args:
        connections: To a PostgreSQL, at most so many at once.

    Raises:
        BadSettings: Neither of the two kinds of address.
        OutdatedSchema: The tables are missing, older or newer; the message names the command.
    """
    return _open(url, schema, connections)


@asynccontextmanager
async def _open(url: str, schema: str, connections: int) -> AsyncIterator[WatchedDatabase]:
    # Imported here: each engine imports this module, and asyncpg is not needed where SQLite is used.
    opened: AbstractAsyncContextManager[WatchedDatabase]
    if is_sqlite(url):
        from homeserver.storage.sqlite import open_sqlite  # noqa: PLC0415

        opened = open_sqlite(sqlite_path(url))
    else:
        from homeserver.storage.postgres import open_postgres  # noqa: PLC0415

        opened = open_postgres(url, schema, connections)
    async with opened as database:
        yield database


async def is_open_elsewhere(url: str, schema: str = "public") -> bool:
    """Whether anybody has this database open: a server, or a command.

    Raises:
        BadSettings: Neither of the two kinds of address, or no connection.
    """
    if is_sqlite(url):
        from homeserver.storage import sqlite  # noqa: PLC0415

        path = sqlite_path(url)
        return await asyncio.to_thread(lambda: Path(path).exists() and sqlite.is_open_elsewhere(path))
    from homeserver.storage import postgres  # noqa: PLC0415

    return await postgres.is_open_elsewhere(url, schema)


async def ping(reader: Reader) -> None:
    """Ask the database for nothing, to see that it answers."""
    await reader.fetch_value("SELECT 1")


def is_sqlite(url: str) -> bool:
    """Whether this is the address of an SQLite file; if not, it is that of a PostgreSQL.

    Raises:
        BadSettings: Neither of the two.
    """
    if url.startswith(("postgresql://", "postgres://")):
        return False
    if url.startswith("sqlite:///"):
        return True
    raise BadSettings(f"database.url: {url.split(':', 1)[0]!r} is not known; use sqlite:///path or postgresql://...")


def sqlite_path(url: str) -> str:
    """The path in `sqlite:///path` (relative) or `sqlite:////path` (absolute)."""
    return url.removeprefix("sqlite:///")


def check_revision(found: str | None) -> None:
    """Compare the revision stored in the database with the one that this code needs.

    Raises:
        OutdatedSchema: They differ.
    """
    if found == SCHEMA_REVISION:
        return
    if found is None:
        raise OutdatedSchema("The database has no tables yet. Run `homeserver migrate` first.")
    if found > SCHEMA_REVISION:
        raise OutdatedSchema(
            f"The database is at revision {found}; this version of homeserver knows none newer than {SCHEMA_REVISION}. "
            "Install the newer version that migrated it."
        )
    raise OutdatedSchema(
        f"The database is at revision {found}, this version needs {SCHEMA_REVISION}. "
        "Stop the servers, then run `homeserver migrate`."
    )
