"""PostgreSQL by asyncpg: everything lies in one schema, found by search_path; nothing is schema-qualified."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, cast

import asyncpg
import structlog

from homeserver.errors import BadSettings
from homeserver.storage.database import LostRaceError, ReadWork, Row, WriteWork, check_revision

T = TypeVar("T")

_log = structlog.get_logger(__name__)

MAX_CONNECTIONS: Final = 10
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


@functools.cache
def translated(sql: str) -> str:
    """Our SQL as PostgreSQL reads it."""

    def columns(match: re.Match[str]) -> str:
        numbers = re.findall(r"\d+", match[1])
        lists = ", ".join(f"${number}::bigint[]" for number in numbers)
        names = ", ".join(f"c{index}" for index, _ in enumerate(numbers, 1))
        return f"(SELECT * FROM unnest({lists}) AS lists ({names}))"  # noqa: S608 - numbers alone

    sql = re.sub(r"\beach_bigints\(([$\d, ]+)\)", columns, sql)
    return re.sub(r"\beach_(bigint|text)\(\$(\d+)\)", r"(SELECT unnest($\2::\1[]) AS value)", sql)


@functools.cache
def together(sql: str) -> str:
    """An UPDATE of one row with the values $1, $2, ..., as one of all rows that lists of such values say."""
    numbers = sorted({int(number) for number in re.findall(r"\$(\d+)", sql)})
    rows = f"each_bigints({', '.join(f'${number}' for number in numbers)}) AS w"
    change, where = re.sub(r"\$(\d+)", r"w.c\1", sql).split(" WHERE ", 1)
    return f"{change} FROM {rows} WHERE {where}"


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


class PostgresDatabase:
    """`Database` over a pool of connections."""

    def __init__(self, pool: Any, schema: str) -> None:
        self._pool = pool
        self._schema = schema

    async def write(self, work: WriteWork[T]) -> T:
        result, follow_ups = await self._write(work)
        for follow_up in follow_ups:
            try:
                await self.write(follow_up)
            except Exception:  # what was asked for is done, and stays done
                _log.exception("follow_up_failed")
        return result

    async def _write(self, work: WriteWork[T]) -> tuple[T, list[WriteWork[object]]]:
        for attempt in range(RETRIES):
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    tx = PostgresTransaction(connection, self._schema)
                    return await work(tx), tx.follow_ups
            except LOST_RACES:
                if attempt == RETRIES - 1:
                    raise
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - jitter, not a secret
        raise AssertionError("unreachable")

    async def read(self, work: ReadWork[T]) -> T:
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await work(PostgresTransaction(connection, self._schema))

    async def look(self, work: ReadWork[T]) -> T:
        return await self.read(work)


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


@asynccontextmanager
async def open_postgres(url: str, schema: str) -> AsyncIterator[PostgresDatabase]:
    """Open a migrated schema; see `database.open_database`."""
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=MAX_CONNECTIONS,
            server_settings={"search_path": schema, "timezone": "UTC", **PLANNING},
        )
    except CONNECT_FAILURES as error:
        raise cannot_connect(error) from None
    async with pool:
        async with pool.acquire() as connection:
            check_revision(await stored_revision(connection))
        yield PostgresDatabase(pool, schema)
