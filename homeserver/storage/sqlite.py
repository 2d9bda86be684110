"""SQLite: WAL, one writer thread with group commit, a pool of readers, one connection for bounded reads on the loop.

Why a thread of our own for writing: 1,000 statements through aiosqlite cost 25 to 35 ms of thread hops, here 3 to 5 ms,
and whatever waits while a commit runs shares the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import aiosqlite
import orjson

from homeserver.errors import BadSettings, DatabaseUnavailable
from homeserver.storage.database import POLL_S, OneQuestion, ReadWork, Row, WriteWork, check_revision

T = TypeVar("T")

MAX_BATCH: Final = 256
MAX_WAITING: Final = 4_096
READERS: Final = 3
BUSY_TIMEOUT_MS: Final = 30_000
MAX_VALUES: Final = 32_000
"""In one statement; SQLite takes 32,766. One long statement takes half the time of a row each, and lets other threads
run meanwhile: after each statement the writer would wait for them, which may be 5 ms."""
SOME_ROWS: Final = 200
CHECKPOINT_AT: Final = 4_000
"""Rows that the writer has changed, each about a page, when it copies the log into the file: 0.1 s, in which whoever
comes next waits. Not at a commit, which would be told later."""
QUIET_CHECKPOINT_AT: Final = 500
"""The same, where nobody waits."""

# synchronous=FULL costs nothing measurable under group commit; secure_delete is on in Debian's build and only costs.
PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=OFF",
    "PRAGMA wal_autocheckpoint=16000",  # for who commits elsewhere; the writer does it before, see CHECKPOINT_AT
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
)


_OURS: Final = re.compile(r"\beach_bigints\(([$\d, ]+)\)|\beach_(?:bigint|text)\(\$(\d+)\)|\$(\d+)")
_Pick = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class _Statement:
    """Our SQL as SQLite reads it, and how it is given our values."""

    sql: str
    lists: tuple[int | tuple[int, ...], ...]
    """Which of our values go as one text of JSON, counted from 0; several go together as a list of rows."""
    pick: _Pick
    """What each placeholder stands for, out of our values and those texts behind them."""
    is_in_order: bool
    """Whether that is what our values are anyway."""

    def bound(self, values: Sequence[object]) -> Sequence[Any]:
        """The values of the placeholders."""
        return self.pick((*values, *[_json(each, values) for each in self.lists]) if self.lists else values)


def _json(which: int | tuple[int, ...], values: Sequence[object]) -> str:
    if isinstance(which, int):
        listed: object = values[which]
    else:
        listed = list(zip(*(cast("Sequence[int]", values[each]) for each in which), strict=True))
    return orjson.dumps(listed).decode()  # SQLite reads JSON from text, not from bytes


@functools.cache
def translated(sql: str) -> _Statement:
    """Our SQL for SQLite.

    `$2` would be a *name* to SQLite, bound by first appearance; and Python 3.12 warns of `?2` with a sequence. So each
    becomes a plain `?`, whose value is found by the order.
    """
    lists: list[int | tuple[int, ...]] = []
    places: list[tuple[bool, int]] = []

    def of_list(which: int | tuple[int, ...]) -> None:
        if which not in lists:
            lists.append(which)
        places.append((True, lists.index(which)))

    def replace(match: re.Match[str]) -> str:
        columns, listed, plain = match.groups()
        if plain:
            places.append((False, int(plain) - 1))
            return "?"
        if listed:
            of_list(int(listed) - 1)
            return "json_each(?)"
        numbers = tuple(int(number) - 1 for number in re.findall(r"\d+", columns))
        of_list(numbers)
        selected = ", ".join(f"json_extract(value, '$[{index}]') AS c{index + 1}" for index in range(len(numbers)))
        return f"(SELECT {selected} FROM json_each(?))"  # noqa: S608 - numbers alone

    text = _OURS.sub(replace, sql.replace(" list_of(", " json_group_array("))
    order = [place - len(lists) if is_list else place for is_list, place in places]
    return _Statement(text, tuple(lists), _picking(order), not lists and order == list(range(len(order))))


def _picking(order: Sequence[int]) -> _Pick:
    if len(order) > 1:
        return itemgetter(*order)
    return lambda values: [values[place] for place in order]


class SqliteTransaction:
    """A `Transaction` (and `Reader`) over a plain connection. Its methods never suspend."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def _run(self, sql: str, values: Sequence[object]) -> sqlite3.Cursor:
        statement = translated(sql)
        return self._connection.execute(statement.sql, statement.bound(values))

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        return self._run(sql, values).fetchall()

    async def fetch_one(self, sql: str, *values: object) -> Row | None:
        return cast("Row | None", self._run(sql, values).fetchone())

    async def fetch_value(self, sql: str, *values: object) -> Any:
        row = await self.fetch_one(sql, *values)
        return None if row is None else row[0]

    async def execute(self, sql: str, *values: object) -> int:
        return self._run(sql, values).rowcount

    async def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        statement = translated(sql)
        self._connection.executemany(statement.sql, rows if statement.is_in_order else map(statement.pick, rows))

    async def load(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - names of ours
        row = f"({', '.join('?' * len(columns))})"
        begin = 0
        # Two lengths alone, as each makes a statement that is kept; what is left goes row by row.
        for each in (MAX_VALUES // len(columns), SOME_ROWS):
            while len(rows) - begin >= each:
                some = rows[begin : begin + each]
                self._connection.execute(into + ", ".join([row] * each), list(chain.from_iterable(some)))
                begin += each
        self._connection.executemany(into + row, rows[begin:])

    async def update_each(self, sql: str, rows: Sequence[Sequence[int]]) -> list[Row]:
        statement = translated(sql)
        text, pick, execute = statement.sql, statement.pick, self._connection.execute
        return [row for values in rows for row in execute(text, pick(values)).fetchall()]

    async def change_each(self, sql: str, rows: Sequence[Sequence[int]]) -> int:
        statement = translated(sql)
        in_order = rows if statement.is_in_order else map(statement.pick, rows)
        return self._connection.executemany(statement.sql, in_order).rowcount

    async def lock(self, *names: str, shared: bool = False) -> None:
        """Nothing to do: BEGIN IMMEDIATE has made us the only writer."""

    async def lock_rows(self, sql: str, *values: object) -> None:
        """Nothing to do, either."""

    async def afterwards(self, work: WriteWork[object]) -> None:
        await work(self)

    def announce(self) -> None:
        """Nothing to do: a commit is to be seen, see `SqliteDatabase.listen`."""


class PooledReader:
    """A `Reader` over an aiosqlite connection, for reads of any size."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        statement = translated(sql)
        return list(await self._connection.execute_fetchall(statement.sql, statement.bound(values)))

    async def fetch_one(self, sql: str, *values: object) -> Row | None:
        rows = await self.fetch(sql, *values)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, *values: object) -> Any:
        row = await self.fetch_one(sql, *values)
        return None if row is None else row[0]


def _driven(work: Awaitable[T]) -> T:
    """Run a coroutine that never suspends to its end, here and now."""
    coroutine = cast("Coroutine[Any, Any, T]", work)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    coroutine.close()
    raise RuntimeError("database work may await nothing but its reader or transaction")


@dataclass(slots=True)
class _Job:
    work: WriteWork[Any]
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop

    def settle(self, value: object, error: BaseException | None) -> None:
        """Hand the outcome to the event loop that waits for it."""

        def deliver() -> None:
            if self.answer.done():  # the caller went away
                return
            if error is None:
                self.answer.set_result(value)
            else:
                self.answer.set_exception(error)

        with contextlib.suppress(RuntimeError):  # the loop was closed before the answer came
            self.loop.call_soon_threadsafe(deliver)


class Writer:
    """The one writing connection, in a thread of its own. Each batch of waiting jobs is one commit."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """Finish what waits, then end."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    async def run(self, work: WriteWork[T]) -> T:
        loop = asyncio.get_running_loop()
        async with self._room:
            job = _Job(work, loop.create_future(), loop)
            self._jobs.put(job)
            return cast("T", await job.answer)

    def _run(self) -> None:
        connection = connect(self._path)
        copied = 0
        try:
            while batch := self._next_batch():
                self._commit(connection, batch)
                at = QUIET_CHECKPOINT_AT if self._jobs.empty() else CHECKPOINT_AT
                if connection.total_changes - copied >= at:
                    with contextlib.suppress(sqlite3.Error):  # then another time, or at a commit
                        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                    copied = connection.total_changes
        finally:
            connection.close()

    def _next_batch(self) -> list[_Job]:
        """The next job and whatever waits behind it; empty when it is time to end."""
        job = self._jobs.get()
        batch: list[_Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == MAX_BATCH:
                return batch
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            self._jobs.put(None)  # seen too early: end after this batch
        return batch

    @staticmethod
    def _commit(connection: sqlite3.Connection, batch: list[_Job]) -> None:
        outcomes: list[tuple[_Job, object, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in batch:
                if job.answer.cancelled():
                    continue
                connection.execute("SAVEPOINT job")
                try:
                    outcomes.append((job, _driven(job.work(SqliteTransaction(connection))), None))
                except BaseException as error:  # whatever it is, it belongs to whoever asked for the write
                    connection.execute("ROLLBACK TO job")
                    outcomes.append((job, None, error))
                connection.execute("RELEASE job")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failed: Exception = error
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                failed = DatabaseUnavailable("Another process has been writing all the time.")
                failed.__cause__ = error
            outcomes = [(job, None, failed) for job in batch]
        for job, value, failure in outcomes:
            job.settle(value, failure)


def connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are begun and ended by words, never behind our back."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in PRAGMAS:
        connection.execute(pragma)
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    return connection


class SqliteDatabase:
    """`Database` over one file. Several processes may have it open."""

    most_together = MAX_BATCH

    def __init__(self, writer: Writer, near: sqlite3.Connection, pool: asyncio.Queue[aiosqlite.Connection]) -> None:
        self._writer = writer
        self._near = near
        self._pool = pool

    async def write(self, work: WriteWork[T]) -> T:
        return await self._writer.run(work)

    async def read(self, work: ReadWork[T]) -> T:
        connection = await self._pool.get()
        try:
            await connection.execute("BEGIN")
            return await work(PooledReader(connection))
        finally:
            # Whoever is cancelled while BEGIN is under way leaves a transaction behind: this ends it in its turn, and
            # does nothing where there is none. It is handed on all the same: the next one's BEGIN waits behind this.
            try:
                await connection.rollback()
            finally:
                self._pool.put_nowait(connection)

    async def look(self, work: ReadWork[T]) -> T:
        self._near.execute("BEGIN")
        try:
            return _driven(work(SqliteTransaction(self._near)))
        finally:
            self._near.execute("ROLLBACK")

    async def glance(self, work: ReadWork[T]) -> T:
        return _driven(work(OneQuestion(SqliteTransaction(self._near))))

    def stamp(self) -> int:
        # It tells commits of other connections from each other; this one only reads.
        return cast("int", self._near.execute("PRAGMA data_version").fetchone()[0])

    async def listen(self, told: Callable[[], None]) -> None:
        seen = self.stamp()
        while True:
            await asyncio.sleep(POLL_S)
            now = self.stamp()
            if now != seen:
                seen = now
                told()


def is_open_elsewhere(path: str) -> bool:
    """Whether any connection to the file is open, of this process or another. What is in the log is in the file then.

    Whoever has such a file open keeps it from leaving the mode with a log; the next who opens it brings it back there.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA journal_mode=DELETE").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return True
    return False


def stored_revision(connection: sqlite3.Connection) -> str | None:
    """The schema revision in the file, or None before the first migration."""
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    return None if row is None else str(row[0])


@asynccontextmanager
async def open_sqlite(path: str) -> AsyncIterator[SqliteDatabase]:
    """Open an existing, migrated file; see `database.open_database`."""
    if not await asyncio.to_thread(Path(path).exists):
        check_revision(None)
    try:
        near = connect(path, read_only=True)
    except sqlite3.Error as error:
        raise BadSettings(f"database.url: cannot open {path}: {error}") from error
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(near.close)
        check_revision(stored_revision(near))
        pool: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        for _ in range(READERS):
            reader = await stack.enter_async_context(aiosqlite.connect(path, isolation_level=None))
            for pragma in (*PRAGMAS, "PRAGMA query_only=ON"):
                await reader.execute(pragma)
            pool.put_nowait(reader)
        writer = Writer(path)
        writer.start()
        stack.push_async_callback(writer.stop)
        yield SqliteDatabase(writer, near, pool)
