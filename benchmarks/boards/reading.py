"""Ranks, pages and friends, beside a lookup by primary key and plain counting."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks.boards.places import Place, fill, make, p50, p99, within
from benchmarks.report import Figure
from homeserver.model import Board, Position, Span, Ties
from homeserver.storage import standings
from homeserver.storage.database import Database, Reader, open_database

LIMIT: Final = 20
ROUNDS: Final = 4

RANK_TO_LOOKUP: Final = 15.0
PAGE_TO_RANK: Final = 4.0
DENSE_TO_RANK: Final = 3.0
PAGE_P99_US: Final = 2_000.0
TIED_P99_US: Final = 1_000.0
FRIENDS_P50_US: Final = 3_000.0
FRIENDS_P99_US: Final = 10_000.0
COLD_US: Final = 50_000.0


async def measure(place: Place, engine: str, size: int, distribution: str, *, times: int) -> list[Figure]:
    """All figures of reading one list."""
    prefix = f"ranks.{engine}.{size:.0e}.{distribution}"
    chance = random.Random(7)
    async with place.fresh() as database:
        lists = {
            ties: (await make(database, Board(f"{ties}", "B", "score", ties=ties, spans=(Span.ALL,))))[Span.ALL]
            for ties in (Ties.COMPETITION, Ties.DENSE)
        }
        list_, dense = lists.values()
        began = time.perf_counter()
        await fill(database, place, [(number, distribution, size, number == dense) for number in lists.values()])
        filled_s = time.perf_counter() - began
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
        last = await timed(lambda db, _: standings.run_at_rank(db, list_, competition, size - LIMIT, LIMIT))
        around = await timed(lambda db, player: standings.run_around(db, list_, competition, found[player], LIMIT))
        dense_rank = await timed(lambda db, player: standings.standing(db, dense, Ties.DENSE, same[player]))
        count = await timed(lambda db, player: _plain_rank(db, list_, found[player]), often=10)
        figures = [
            Figure(f"{prefix}.lookup.p50", p50(lookup), "us"),
            Figure(f"{prefix}.rank.p50", p50(rank), "us", p50(rank) / p50(lookup), RANK_TO_LOOKUP),
            within(f"{prefix}.rank.p99", p99(rank), TIED_P99_US if distribution == "tied" else None),
            Figure(f"{prefix}.page.p50", p50(page), "us", p50(page) / p50(rank), page_to_rank),
            within(f"{prefix}.page.p99", p99(page), PAGE_P99_US),
            within(f"{prefix}.last_page.p99", p99(last), PAGE_P99_US),
            Figure(f"{prefix}.around.p50", p50(around), "us", p50(around) / p50(rank), page_to_rank),
            Figure(f"{prefix}.dense_rank.p50", p50(dense_rank), "us", p50(dense_rank) / p50(rank), DENSE_TO_RANK),
            Figure(f"{prefix}.plain_count.p50", p50(count), "us", p50(count) / p50(rank)),
            Figure(f"{prefix}.filled", 2 * size / filled_s, "entries/s"),
        ]
        for friends, median_us, worst_us in ((100, FRIENDS_P50_US, None), (200, None, FRIENDS_P99_US)):
            groups = {player: chance.sample(range(1, size + 1), friends) for player in players}
            many = await timed(lambda db, player, groups=groups: _friends(db, list_, groups[player]), often=100)  # type: ignore[misc]
            figures.append(within(f"{prefix}.friends_{friends}.p50", p50(many), median_us))
            figures.append(within(f"{prefix}.friends_{friends}.p99", p99(many), worst_us))
        for name, number_of_bytes in (await _bytes(database, place)).items():
            figures.append(Figure(f"{prefix}.bytes.{name}", number_of_bytes / (2 * size), "bytes/entry"))
    figures.append(within(f"{prefix}.cold", await _cold(place, list_, found[players[0]]), COLD_US))
    return figures


async def _friends(db: Reader, list_: int, players: list[int]) -> object:
    """Who of these has an entry, and the rank of each in the whole list."""
    return await standings.standings(db, list_, Ties.COMPETITION, await standings.among(db, list_, players))


async def _plain_rank(db: Reader, list_: int, position: Position) -> object:
    return await db.fetch_value("SELECT 1 + count(*) FROM entries WHERE list = $1 AND key < $2", list_, position.key)


async def _bytes(database: Database, place: Place) -> dict[str, int]:
    """What entries take with their indexes, and what is counted of them."""
    if place.postgres is not None:
        sql = "SELECT pg_total_relation_size($1::text::regclass)"
        sizes = [
            await database.look(lambda db, table=table: db.fetch_value(sql, table))  # type: ignore[misc]
            for table in ("entries", "entries_by_player", "blocks", "scores")
        ]
        return {"entries": sum(sizes[:2]), "counts": sum(sizes[2:])}
    connection = sqlite3.connect(place.folder / "ranks.sqlite3")
    pages, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    connection.close()
    return {"file": pages * page}


async def _cold(place: Place, list_: int, position: Position) -> float:
    """Microseconds from opening the database to the first rank, with the file out of the system's memory."""
    for path in place.folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.perf_counter()
    async with open_database(place.url()) as database:
        await database.look(lambda db: standings.standing(db, list_, Ties.COMPETITION, position))
        return 1e6 * (time.perf_counter() - began)
