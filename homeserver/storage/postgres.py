"""PostgreSQL by asyncpg: everything lies in one schema, found by search_path; nothing is schema-qualified."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, cast

import asyncpg
import structlog

from homeserver.errors import BadSettings, DatabaseUnavailable
from homeserver.storage.database import LostRaceError, OneQuestion, ReadWork, Row, WriteWork, check_revision
from homeserver.storage.postgres_hints import LOST_CONNECTIONS, Hints

T = TypeVar("T")

_log = structlog.get_logger(__name__)

RETRIES: Final = 5
# Planning a rank anew costs twice what it takes to run, and no plan of ours depends on the values. A parallel or a
# compiled plan costs more to start than our bounded reads take.
PLANNING: Final = {
    "plan_cache_mode": "force_generic_plan",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
LOST_RACES: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
    LostRaceError,
)
ASKED_AT_MOST: Final = 15
"""How often a database that was lost at COMMIT is asked what became of it, in about ten seconds."""
_LOST: Final = "The database does not answer."


@functools.cache
def translated(sql: str) -> str:
    """Our SQL as PostgreSQL reads it."""

    def columns(match: re.Match[str]) -> str:
        numbers = re.findall(r"\d+", match[1])
        lists = ", ".join(f"${number}::bigint[]" for number in numbers)
        names = ", ".join(f"c{index}" for index, _ in enumerate(numbers, 1))
        return f"(SELECT * FROM unnest({lists}) AS lists ({names}))"  # noqa: S608 - numbers alone

    sql = sql.replace(" list_of(", " array_agg(")
    sql = re.sub(r"\beach_bigints\(([$\d, ]+)\)", columns, sql)
    return re.sub(r"\beach_(bigint|text)\(\$(\d+)\)", r"(SELECT unnest($\2::\1[]) AS value)", sql)


@functools.cache
def together(sql: str) -> str:
    """A change of one row with the values $1, $2, ..., as one of all rows that lists of such values say.

    It is an INSERT with VALUES, an UPDATE or a DELETE with WHERE.
    """
    numbers = sorted({int(number) for number in re.findall(r"\$(\d+)", sql)})
    rows = f"each_bigints({', '.join(f'${number}' for number in numbers)}) AS w"
    named = re.sub(r"\$(\d+)", r"w.c\1", sql)
    if sql.startswith("INSERT"):
        into, values = named.split(" VALUES ", 1)
        return f"{into} SELECT {values.removeprefix('(').removesuffix(')')} FROM {rows}"  # noqa: S608 - our own words
    change, where = named.split(" WHERE ", 1)
    return f"{change} {'USING' if sql.startswith('DELETE') else 'FROM'} {rows} WHERE {where}"


def lock_key(schema: str, name: str) -> int:
    """An advisory lock's number. Such locks are per database, so the schema is part of it."""
    digest = hashlib.blake2b(f"{schema}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class PostgresTransaction:
    """A `Transaction` (and `Reader`) over a connection that is in a transaction."""

    def __init__(self, connection: Any, schema: str) -> None:
        self._connection = connection
        self._schema = schema
        self.follow_ups: list[WriteWork[object]] = []
        self.announces = False

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        return cast("list[Row]", await self._connection.fetch(translated(sql), *values))

    async def fetch_one(self, sql: str, *values: object) -> Row | None:
        return cast("Row | None", await self._connection.fetchrow(translated(sql), *values))

    async def fetch_value(self, sql: str, *values: object) -> Any:
        return await self._connection.fetchval(translated(sql), *values)

    async def execute(self, sql: str, *values: object) -> int:
        status: str = await self._connection.execute(translated(sql), *values)
        count = status.rsplit(" ", 1)[-1]  # "UPDATE 3", "INSERT 0 1"
        return int(count) if count.isdigit() else 0

    async def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        await self._connection.executemany(translated(sql), list(rows))

    async def load(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        if rows:
            await self._connection.copy_records_to_table(table, records=rows, columns=columns)

    async def update_each(self, sql: str, rows: Sequence[Sequence[int]]) -> list[Row]:
        return await self.fetch(together(sql), *(list(column) for column in zip(*rows, strict=True)))

    async def change_each(self, sql: str, rows: Sequence[Sequence[int]]) -> int:
        return await self.execute(together(sql), *(list(column) for column in zip(*rows, strict=True)))

    async def lock(self, *names: str, shared: bool = False) -> None:
        keys = sorted(lock_key(self._schema, name) for name in names)
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        await self._connection.execute(
            f"SELECT {function}(k) FROM unnest($1::bigint[]) WITH ORDINALITY AS t(k, i) ORDER BY i",  # noqa: S608
            keys,
        )

    async def lock_rows(self, sql: str, *values: object) -> None:
        await self._connection.execute(translated(f"{sql} FOR UPDATE"), *values)

    async def afterwards(self, work: WriteWork[object]) -> None:
        self.follow_ups.append(work)

    def announce(self) -> None:
        self.announces = True


class _LostAtCommitError(Exception):
    """The connection was lost between COMMIT and its answer. `number`: the transaction's; None if it wrote nothing."""

    def __init__(self, number: str | None, result: Any) -> None:
        super().__init__("the connection was lost at COMMIT")
        self.number = number
        self.result = result


class PostgresDatabase:
    """`Database` over a pool of connections."""

    most_together = 64

    def __init__(self, pool: Any, schema: str, hints: Hints) -> None:
        self._pool = pool
        self._schema = schema
        self._hints = hints

    async def write(self, work: WriteWork[T]) -> T:
        result, tx = await self._write(work)
        if tx.announces:
            self._hints.announce()
        for follow_up in tx.follow_ups:
            try:
                await self.write(follow_up)
            except Exception:  # what was asked for is done, and stays done
                _log.exception("follow_up_failed")
        return result

    async def _write(self, work: WriteWork[T]) -> tuple[T, PostgresTransaction]:
        for attempt in range(RETRIES):
            try:
                return await self._write_once(work)
            except LOST_RACES:
                if attempt == RETRIES - 1:
                    raise
            except _LostAtCommitError as lost:
                if lost.number is None or await self._is_committed(lost.number):
                    return cast("tuple[T, PostgresTransaction]", lost.result)
                if attempt == RETRIES - 1:
                    raise DatabaseUnavailable(_LOST) from lost
            await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - jitter, not a secret
        raise AssertionError("unreachable")

    async def _write_once(self, work: WriteWork[T]) -> tuple[T, PostgresTransaction]:
        async with self._connected() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                tx = PostgresTransaction(connection, self._schema)
                result = await work(tx)
                # To ask for it by, should the connection be lost before the answer to COMMIT.
                number = await connection.fetchval("SELECT pg_current_xact_id_if_assigned()::text")
            except BaseException:
                if not connection.is_closed():
                    await transaction.rollback()
                raise
            try:
                await transaction.commit()
            except LOST_CONNECTIONS as error:
                raise _LostAtCommitError(number, (result, tx)) from error
            return result, tx

    async def _is_committed(self, number: str) -> bool:
        """Whether the transaction with this number has been committed.

        Raises:
            DatabaseUnavailable: The database did not come back in time to be asked, or does not know any more.
        """
        for attempt in range(ASKED_AT_MOST):
            # It is in progress until the server has noticed that we are gone.
            await asyncio.sleep(min(0.02 * 2**attempt, 1.0))
            try:
                async with self._connected() as connection:
                    status = await connection.fetchval("SELECT pg_xact_status($1::text::xid8)", number)
            except DatabaseUnavailable:
                continue
            if status in {"committed", "aborted"}:
                _log.warning("lost_at_commit", outcome=status)
                return bool(status == "committed")
        raise DatabaseUnavailable(
            "The database was lost while it was told to keep a change. Whether it did is not known.", uncertain=True
        )

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        """A connection of the pool; its loss is said in our words."""
        mistake = False
        try:
            async with self._pool.acquire() as connection:
                try:
                    yield connection
                except asyncpg.InterfaceError:  # it is also what asyncpg says of a mistake of ours
                    mistake = not connection.is_closed()
                    raise
        except LOST_CONNECTIONS as error:
            if mistake:
                raise
            raise DatabaseUnavailable(_LOST) from error

    async def read(self, work: ReadWork[T]) -> T:
        async with (
            self._connected() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await work(PostgresTransaction(connection, self._schema))

    async def look(self, work: ReadWork[T]) -> T:
        return await self.read(work)

    async def glance(self, work: ReadWork[T]) -> T:
        async with self._connected() as connection:
            return await work(OneQuestion(PostgresTransaction(connection, self._schema)))

    def stamp(self) -> None:
        """It would have to be asked."""

    async def listen(self, told: Callable[[], None]) -> None:
        await self._hints.listen(told)


CONNECT_FAILURES: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)


def cannot_connect(error: Exception) -> BadSettings:
    """One of `CONNECT_FAILURES` in words, without a piece of the address: there is a password in it."""
    if isinstance(error, ValueError) and not isinstance(error, asyncpg.InterfaceError):
        reason = "the address cannot be read. In a name or password, / is written %2F, ? %3F, # %23, @ %40 and % %25"
    else:
        reason = str(error)
    return BadSettings(f"database.url: cannot connect to PostgreSQL: {reason}")


async def stored_revision(connection: Any) -> str | None:
    """The schema revision in the database, or None before the first migration."""
    try:
        return cast("str | None", await connection.fetchval("SELECT version_num FROM alembic_version"))
    except asyncpg.UndefinedTableError:
        return None


def application_name(schema: str) -> str:
    """What our connections are called, by which they are told from those to other schemas of the same database."""
    return f"homeserver {schema}"[:63]  # PostgreSQL would cut it there


async def is_open_elsewhere(url: str, schema: str) -> bool:
    """Whether any of our connections to this schema is open, of this process or another."""
    try:
        connection = await asyncpg.connect(url)
    except CONNECT_FAILURES as error:
        raise cannot_connect(error) from None
    try:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
            application_name(schema),
        )
    finally:
        await connection.close()
    return found > 0


async def _nothing(_: object) -> None:
    """What has to be set back before a connection is used again: all that we set ends with its transaction, and whoever
    listens has a connection of their own. Asked for, it would be one more round trip each time."""


@asynccontextmanager
async def open_postgres(url: str, schema: str, connections: int) -> AsyncIterator[PostgresDatabase]:
    """Open a migrated schema; see `database.open_database`."""
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=connections,
            reset=_nothing,
            server_settings={
                "search_path": schema,
                "timezone": "UTC",
                "application_name": application_name(schema),
                **PLANNING,
            },
        )
    except CONNECT_FAILURES as error:
        raise cannot_connect(error) from None
    async with pool:
        async with pool.acquire() as connection:
            check_revision(await stored_revision(connection))
        hints = Hints(pool, functools.partial(asyncpg.connect, url), lock_key(schema, "hints"))
        try:
            yield PostgresDatabase(pool, schema, hints)
        finally:
            await hints.close()
