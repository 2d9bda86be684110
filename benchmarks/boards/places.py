"""Databases to measure in, and lists of any size in them."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import islice
from math import gcd
from pathlib import Path
from typing import Final

import asyncpg

from benchmarks.report import Figure
from homeserver.domain import periods
from homeserver.model import Board, Span, Ties
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, open_database
from homeserver.storage.leaderboards import ListName, NewList
from homeserver.storage.migrate import migrate
from tests.embedded_postgres import embedded_postgres
from tests.recounting import recount

NOW_MS: Final = 1_795_348_800_000
ROWS: Final = 20_000
"""Stored at once."""

Row = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where databases of one engine are made, one after the other."""

    folder: Path
    postgres: str | None

    def url(self) -> str:
        return self.postgres or f"sqlite:///{self.folder / 'ranks.sqlite3'}"

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[Database]:
        """An empty, migrated database."""
        if self.postgres is None:
            for path in self.folder.iterdir():
                path.unlink()
        else:
            connection = await asyncpg.connect(self.postgres)
            await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            await connection.close()
        await asyncio.to_thread(migrate, self.url())
        async with open_database(self.url()) as database:
            yield database

    async def settle(self, statement: str = "VACUUM ANALYZE") -> None:
        """What PostgreSQL's autovacuum does within a minute."""
        if self.postgres is not None:
            server = await asyncpg.connect(self.postgres)
            await server.execute(statement, timeout=3_600)
            await server.close()


@contextmanager
def place_of(engine: str) -> Iterator[Place]:
    """A place for this engine, which is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="homeserver-ranks-"))
    try:
        if engine == "sqlite":
            yield Place(folder, None)
        else:
            with embedded_postgres() as url:
                yield Place(folder, url)
    finally:
        shutil.rmtree(folder)


def entries(distribution: str, size: int, list_: int) -> Iterator[Row]:
    """So many entries, best first: list, key, time, player. Players have the numbers from 1 on, in no order."""
    chance = random.Random(size)
    stride = next(stride for stride in range(size * 6 // 10 | 1, 2 * size, 2) if gcd(stride, size) == 1)
    key, left, nth = 0, 0, 0
    for index in range(size):
        match distribution:
            case "uniform":
                key += 1 + int(chance.expovariate(1 / 1_000))
            case "ties":
                key = index * 1_000 // size
            case "zipf":  # the most frequent score is anywhere among the others
                if not left:
                    nth += 1
                    key, left = key + 1, max(1, size // (15 * (1 + nth * 7_919 % 1_000)))
                left -= 1
        yield list_, key, NOW_MS + index, 1 + index * stride % size


def pages(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """So many at a time as are stored at once."""
    while page := list(islice(rows, ROWS)):
        yield page


async def fill(database: Database, place: Place, wanted: Sequence[tuple[int, str, int, bool]]) -> None:
    """Put entries into lists, which are given as number, distribution, size and whether they are dense; count them."""
    columns = ("list", "key", "reached_ms", "player")
    for list_, distribution, size, dense in sorted(wanted):
        for page in pages(entries(distribution, size, list_)):
            await database.write(lambda tx, page=page: tx.load("entries", columns, page))  # type: ignore[misc]
        await database.write(lambda tx, list_=list_, dense=dense: recount(tx, list_, dense=dense))  # type: ignore[misc]
    # Sorted, so that they grow at the end; in one go, as nobody waits.
    await database.write(
        lambda tx: tx.execute(
            "INSERT INTO entries_by_player (player, list, key, reached_ms) "
            "SELECT player, list, key, reached_ms FROM entries ORDER BY player, list"
        )
    )
    await place.settle()


async def make(database: Database, board: Board) -> dict[Span, int]:
    """The board with its current lists, empty."""
    await database.write(lambda tx: store.seed(tx, [board]))
    wanted = {
        ListName(board.id, period.id, store.FIRST_GENERATION): NewList(period, board.ties is Ties.DENSE)
        for period in periods.current(board, NOW_MS)
    }
    numbers = await database.write(lambda tx: store.make_lists(tx, wanted))
    return {wanted[name].period.span: number for name, number in numbers.items()}


def p50(times: Sequence[float]) -> float:
    """The median of sorted times."""
    return times[len(times) // 2]


def p99(times: Sequence[float]) -> float:
    """What all but one in a hundred stay below."""
    return times[len(times) * 99 // 100]


def within(name: str, value_us: float, limit_us: float | None) -> Figure:
    """A time that is to be at most so much."""
    return Figure(name, value_us, "us", value_us / limit_us, 1.0) if limit_us else Figure(name, value_us, "us")


def at_least(name: str, value: float, unit: str, target: float) -> Figure:
    """Something that is to be so much or more: the ratio is that of the target to it."""
    return Figure(name, value, unit, target / value, 1.0)
