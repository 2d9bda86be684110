"""Ranks from counted blocks, beside a lookup by primary key, plain counting, and the same writer without counts.

Each figure's ratio is to what stands behind it in its name's last part or in `TARGETS`. On SQLite a time is that of the
whole question as the event loop asks it; PostgreSQL is the tests' embedded one, over a Unix socket, without fsync.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks.report import Figure
from homeserver.domain import periods
from homeserver.domain.boards import BoardInForce
from homeserver.model import Board, Keep, Origin, Position, Span, Ties
from homeserver.storage import appdata, blocks, standings
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Reader, Transaction, open_database
from homeserver.storage.leaderboards import ListName, NewList
from homeserver.storage.migrate import migrate
from homeserver.storage.recount import recount
from tests.embedded_postgres import embedded_postgres

NOW_MS: Final = 1_795_348_800_000
LIMIT: Final = 20
ROUNDS: Final = 4
# Parts of the whole list that month, week and day hold, when all four periods are written.
PARTS: Final = {Span.ALL: 1, Span.MONTH: 3, Span.WEEK: 10, Span.DAY: 30}
DISTRIBUTIONS: Final = ("uniform", "ties", "zipf", "tied")
ENGINES: Final = ("sqlite", "postgresql")

RANK_TO_LOOKUP: Final = 15.0
RANK_TO_RANK_AT_1E5: Final = 2.0
PAGE_TO_RANK: Final = 4.0
DENSE_TO_RANK: Final = 3.0
PAGE_P99_US: Final = 2_000.0
TIED_P99_US: Final = 1_000.0
FRIENDS_P50_US: Final = 3_000.0
COLD_US: Final = 50_000.0
WRITES_OF_WITHOUT: Final = {"sqlite": 0.65, "postgresql": 0.5}
LONGEST_US: Final = 250_000.0


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure, engine by engine, size by size."""
    for engine in ENGINES:
        with _place(engine) as place:
            ranks: dict[tuple[str, int], float] = {}
            for size in (10**5, 10**6) if quick else (10**5, 10**6, 10**7):
                for distribution in DISTRIBUTIONS:
                    figures = asyncio.run(_reading(place, engine, size, distribution, quick=quick))
                    yield from figures
                    rank = next(figure.value for figure in figures if figure.name.endswith(".rank.p50"))
                    ranks[distribution, size] = rank
                    if size > 10**5:
                        ratio = rank / ranks[distribution, 10**5]
                        name = f"ranks.{engine}.{size:.0e}.{distribution}.rank.to_1e5"
                        yield Figure(name, rank, "us", ratio, RANK_TO_RANK_AT_1E5)
            for size in (10**5, 10**6):
                yield from asyncio.run(_writing(place, engine, size, quick=quick))


# --- lists of any size ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where databases of one engine are made, one after the other."""

    folder: Path
    postgres: str | None

    def url(self) -> str:
        return self.postgres or f"sqlite:///{self.folder / 'ranks.sqlite3'}"

    def clean(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[Database]:
        """An empty, migrated database."""
        if self.postgres is None:
            self.clean()
        else:
            connection = await asyncpg.connect(self.postgres)
            await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            await connection.close()
        await asyncio.to_thread(migrate, self.url())
        async with open_database(self.url()) as database:
            yield database


@contextmanager
def _place(engine: str) -> Iterator[_Place]:
    folder = Path(tempfile.mkdtemp(prefix="homeserver-ranks-"))
    try:
        if engine == "sqlite":
            yield _Place(folder, None)
        else:
            with embedded_postgres() as url:
                yield _Place(folder, url)
    finally:
        shutil.rmtree(folder)


def _entries(distribution: str, size: int, list_: int) -> Iterator[tuple[int, int, int, int]]:
    """So many entries, best first. Players have the numbers from 1 on, in no order."""
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


async def _fill(
    database: Database, place: _Place, lists: Sequence[tuple[int, bool, Iterator[tuple[int, ...]]]]
) -> float:
    """Put entries into lists and count them; how many seconds the counting took."""
    columns = ("list", "key", "reached_ms", "player")
    index = "CREATE UNIQUE INDEX entries_player ON entries (player, list)"
    if place.postgres is None:
        connection = sqlite3.connect(place.folder / "ranks.sqlite3")
        connection.execute("DROP INDEX entries_player")
        for _, _, entries in lists:
            connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", entries)
        connection.execute(index)
        connection.commit()
        connection.close()
    else:
        server = await asyncpg.connect(place.postgres)
        await server.execute("DROP INDEX entries_player")
        for _, _, entries in lists:
            await server.copy_records_to_table("entries", records=entries, columns=columns, timeout=3_600)
        await server.execute(index, timeout=3_600)
    began = time.perf_counter()
    for list_, dense, _ in lists:
        await database.write(lambda tx, list_=list_, dense=dense: recount(tx, list_, dense=dense))  # type: ignore[misc]
    took = time.perf_counter() - began
    if place.postgres is not None:
        await server.execute("VACUUM ANALYZE", timeout=3_600)
        await server.close()
    return took


async def _make(database: Database, board: Board) -> dict[Span, int]:
    """The board with its current lists, empty."""
    await database.write(lambda tx: store.seed(tx, [board]))
    wanted = {
        ListName(board.id, period.id, store.FIRST_GENERATION): NewList(period, board.ties is Ties.DENSE)
        for period in periods.current(board, NOW_MS)
    }
    numbers = await database.write(lambda tx: store.make_lists(tx, wanted))
    return {wanted[name].period.span: number for name, number in numbers.items()}


# --- reading ----------------------------------------------------------------------------------------------------------


async def _reading(place: _Place, engine: str, size: int, distribution: str, *, quick: bool) -> list[Figure]:
    prefix = f"ranks.{engine}.{size:.0e}.{distribution}"
    times = 100 if quick else 300
    chance = random.Random(7)
    async with place.fresh() as database:
        lists = {
            ties: (await _make(database, Board(f"{ties}", "B", "score", ties=ties, spans=(Span.ALL,))))[Span.ALL]
            for ties in (Ties.COMPETITION, Ties.DENSE)
        }
        list_, dense = lists.values()
        counted_s = await _fill(
            database,
            place,
            [(number, number == dense, _entries(distribution, size, number)) for number in lists.values()],
        )
        players = chance.sample(range(1, size + 1), times)
        found = {each.player: each for each in await database.read(lambda db: standings.among(db, list_, players))}
        same = {each.player: each for each in await database.read(lambda db: standings.among(db, dense, players))}

        async def timed(question: Callable[[Reader, int], Awaitable[object]], often: int = times) -> list[float]:
            """Microseconds of a question about each player, sorted. The best of some answers: its own cost."""

            async def work(db: Reader) -> list[float]:
                took = []
                for player in players[:often]:
                    began = time.perf_counter()
                    await question(db, player)
                    took.append(1e6 * (time.perf_counter() - began))
                return took

            rounds = [await database.look(work) for _ in range(ROUNDS)]
            return sorted(min(answers) for answers in zip(*rounds, strict=True))

        competition = Ties.COMPETITION
        # Where all are equal, everybody's rank is counted in the first block, so it is no measure for a page.
        page_to_rank = None if distribution == "tied" else PAGE_TO_RANK
        lookup = await timed(lambda db, player: standings.entry_of(db, list_, player))
        rank = await timed(lambda db, player: standings.standing(db, list_, competition, found[player]))
        page = await timed(lambda db, player: standings.run_at_rank(db, list_, competition, player, LIMIT))
        around = await timed(lambda db, player: standings.run_around(db, list_, competition, found[player], LIMIT))
        dense_rank = await timed(lambda db, player: standings.standing(db, dense, Ties.DENSE, same[player]))
        count = await timed(lambda db, player: _plain_rank(db, list_, found[player]), often=10)
        figures = [
            Figure(f"{prefix}.lookup.p50", _p50(lookup), "us"),
            Figure(f"{prefix}.rank.p50", _p50(rank), "us", _p50(rank) / _p50(lookup), RANK_TO_LOOKUP),
            _within(f"{prefix}.rank.p99", _p99(rank), TIED_P99_US if distribution == "tied" else None),
            Figure(f"{prefix}.page.p50", _p50(page), "us", _p50(page) / _p50(rank), page_to_rank),
            _within(f"{prefix}.page.p99", _p99(page), PAGE_P99_US),
            Figure(f"{prefix}.around.p50", _p50(around), "us", _p50(around) / _p50(rank), page_to_rank),
            Figure(f"{prefix}.dense_rank.p50", _p50(dense_rank), "us", _p50(dense_rank) / _p50(rank), DENSE_TO_RANK),
            Figure(f"{prefix}.plain_count.p50", _p50(count), "us", _p50(count) / _p50(rank)),
            Figure(f"{prefix}.recount", 2 * size / counted_s, "entries/s"),
        ]
        friends = 200 if size >= 10**7 else 100
        groups = [chance.sample(list(found.values()), friends) for _ in range(len(players[:20]))]
        many = await timed(
            lambda db, player: standings.standings(db, list_, competition, groups[players.index(player)]), often=20
        )
        figures.append(_within(f"{prefix}.friends_{friends}.p50", _p50(many), FRIENDS_P50_US * friends / 100))
        figures.append(Figure(f"{prefix}.friends_{friends}.p99", _p99(many), "us"))
        for name, number_of_bytes in (await _bytes(database, place)).items():
            figures.append(Figure(f"{prefix}.bytes.{name}", number_of_bytes / (2 * size), "bytes/entry"))
    figures.append(_within(f"{prefix}.cold", await _cold(place, list_, found[players[0]]), COLD_US))
    return figures


async def _plain_rank(db: Reader, list_: int, position: Position) -> object:
    return await db.fetch_value("SELECT 1 + count(*) FROM entries WHERE list = $1 AND key < $2", list_, position.key)


async def _bytes(database: Database, place: _Place) -> dict[str, int]:
    """What entries take with their indexes, and what is counted of them."""
    if place.postgres is not None:
        sql = "SELECT pg_total_relation_size($1::text::regclass)"
        entries, *counts = [
            await database.look(lambda db, table=table: db.fetch_value(sql, table))  # type: ignore[misc]
            for table in ("entries", "blocks", "scores")
        ]
        return {"entries": entries, "counts": sum(counts)}
    connection = sqlite3.connect(place.folder / "ranks.sqlite3")
    pages, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    connection.close()
    return {"file": pages * page}


async def _cold(place: _Place, list_: int, position: Position) -> float:
    """Microseconds from opening the database to the first rank, with the file out of the system's memory."""
    for path in place.folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.perf_counter()
    async with open_database(place.url()) as database:
        await database.look(lambda db: standings.standing(db, list_, Ties.COMPETITION, position))
        return 1e6 * (time.perf_counter() - began)


# --- writing ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Writer:
    """Writes random scores of random players into one board, as a sync does."""

    database: Database
    in_force: BoardInForce
    size: int
    counts: bool
    chance: random.Random
    clock_ms: int = NOW_MS

    async def write(self, changes: int) -> float:
        """One transaction of so many changes; microseconds until it was acknowledged."""
        self.clock_ms += 1
        at_ms, field = self.clock_ms, self.in_force.board.field
        values = {self._player(): {field: str(self.chance.randrange(1_000 * self.size))} for _ in range(changes)}

        async def work(tx: Transaction) -> None:
            boards = await store.begin(tx, [field])
            observed = await appdata.observe_many(tx, values, observed_ms=at_ms, at_ms=NOW_MS, origin=Origin.SUBMITTED)
            await store.record(tx, boards, observed, NOW_MS)

        began = time.perf_counter()
        await self.database.write(work)
        return 1e6 * (time.perf_counter() - began)

    def _player(self) -> int:
        """Half of the writes are by the few who are in every period."""
        return 1 + self.chance.randrange(self.size // 30 if self.chance.random() < 0.5 else self.size)

    async def writes(self, *, at_once: int, each: int, transactions: int) -> list[float]:
        """So many transactions, so many of them at once."""
        took: list[float] = []

        async def lane() -> None:
            took.extend([await self.write(each) for _ in range(transactions // at_once)])

        with _counting(self.counts):
            await asyncio.gather(*(lane() for _ in range(at_once)))
        return sorted(took)


@contextmanager
def _counting(counts: bool) -> Iterator[None]:
    """Count as always, or write entries alone."""
    original: Any = blocks.count
    if not counts:

        async def nothing(*_: object) -> None:
            """Leave the blocks as they are."""

        vars(blocks)["count"] = nothing
    try:
        yield
    finally:
        vars(blocks)["count"] = original


async def _writing(place: _Place, engine: str, size: int, *, quick: bool) -> list[Figure]:
    """Two boards alike, one written with counts and one without, in turn."""
    prefix = f"ranks.{engine}.{size:.0e}.writes"
    rounds = 3 if quick else 9
    figures: list[Figure] = []
    async with place.fresh() as database:
        writers: list[_Writer] = []
        filled: list[tuple[int, bool, Iterator[tuple[int, ...]]]] = []
        for counts in (True, False):
            board = Board(f"counts-{counts}".lower(), "B", f"score-{counts}", keep=Keep.LATEST)
            for span, number in (await _make(database, board)).items():
                filled.append((number, False, _entries("uniform", size // PARTS[span], number)))
            in_force = BoardInForce(board, store.FIRST_REVISION, store.FIRST_GENERATION)
            writers.append(_Writer(database, in_force, size, counts, random.Random(11)))
        await _fill(database, place, sorted(filled, key=lambda one: one[0]))
        loads = {"single": (1, 1, 60), "batch_256": (1, 256, 6), "4_by_16": (4, 16, 24)}
        if engine == "sqlite":
            loads["group_commit_256"] = (256, 1, 1_024)
        longest = 0.0
        for name, (at_once, each, transactions) in loads.items():
            pairs = []
            for number in range(rounds + 1):
                seen = {}
                for writer in writers if number % 2 else reversed(writers):
                    began = time.perf_counter()
                    took = await writer.writes(at_once=at_once, each=each, transactions=transactions)
                    seen[writer.counts] = 1e6 * (time.perf_counter() - began) / (len(took) * each)
                    if writer.counts and number:
                        longest = max(longest, took[-1])
                if number:  # the first warms
                    pairs.append((seen[True], seen[False]))
                elif place.postgres is not None:  # as its autovacuum does within a minute
                    await database.write(lambda tx: tx.execute("ANALYZE"))
            ratio = statistics.median(mine / without for mine, without in pairs)
            mine = statistics.median(mine for mine, _ in pairs)
            target = 1 / WRITES_OF_WITHOUT[engine]
            figures.append(Figure(f"{prefix}.{name}.us_a_change", mine, "us", ratio, target))
            figures.append(Figure(f"{prefix}.{name}.changes_a_second", 1e6 / mine, "1/s"))
        figures.append(_within(f"{prefix}.longest", longest, LONGEST_US))
        wrong = await database.read(lambda db: _wrong_counts(db, [number for number, _, _ in filled[:4]]))
        figures.append(Figure(f"{prefix}.wrong_counts", wrong, "blocks", wrong, 0.0))
    return figures


async def _wrong_counts(db: Reader, lists: Sequence[int]) -> int:
    """Blocks of either level that hold another number of entries than they say."""
    wrong = 0
    for list_ in lists:
        for level in (1, 2):
            rows = await db.fetch(
                "SELECT key, reached_ms, player, n FROM blocks WHERE list = $1 AND level = $2 "
                "ORDER BY key, reached_ms, player",
                list_,
                level,
            )
            firsts = [tuple(row[:3]) for row in rows]
            held = [0] * len(rows)
            at = 0
            for row in await db.fetch(
                "SELECT key, reached_ms, player FROM entries WHERE list = $1 ORDER BY key, reached_ms, player", list_
            ):
                while at + 1 < len(firsts) and tuple(row) >= firsts[at + 1]:
                    at += 1
                held[at] += 1
            wrong += sum(number != row[3] for number, row in zip(held, rows, strict=True))
    return wrong


def _p50(times: Sequence[float]) -> float:
    return times[len(times) // 2]


def _p99(times: Sequence[float]) -> float:
    return times[len(times) * 99 // 100]


def _within(name: str, value_us: float, limit_us: float | None) -> Figure:
    """A time that is to be at most so much."""
    return Figure(name, value_us, "us", value_us / limit_us, 1.0) if limit_us else Figure(name, value_us, "us")
