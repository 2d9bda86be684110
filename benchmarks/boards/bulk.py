"""Rebuilding a board from its events, and importing a file: rows of one period a second."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from benchmarks.boards.places import NOW_MS, ROWS, Place, at_least
from benchmarks.report import Figure
from homeserver.domain.score_files import FileFormat
from homeserver.model import Board, Span
from homeserver.services.board_import import BoardImport
from homeserver.services.rebuilds import Rebuilds
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database

BOARD = Board("letters", "Letters", "letters", spans=(Span.ALL,))
ROWS_A_SECOND = 150_000


def _now_ms() -> int:
    return NOW_MS


def _quiet(*_: object) -> None:
    """Nobody watches."""


async def rebuilding(place: Place, engine: str, size: int) -> list[Figure]:
    """A board with one event a player, rebuilt beside its empty list, and again beside the full one."""
    prefix = f"ranks.{engine}.{size:.0e}"
    async with place.fresh() as database:
        await database.write(lambda tx: store.seed(tx, [BOARD]))
        await _events(database, size)
        await place.settle()
        figures = []
        for name in ("rebuild", "rebuild_again"):
            rebuilds = Rebuilds(database, _now_ms)
            began = time.perf_counter()
            swept_s = 0.0
            original = rebuilds.sweep

            async def sweep() -> None:
                nonlocal swept_s
                swept = time.perf_counter()
                await original()  # noqa: B023 - called within this round
                swept_s = time.perf_counter() - swept

            vars(rebuilds)["sweep"] = sweep
            done = await rebuilds.rebuild(BOARD, revision=store.FIRST_REVISION, progress=_quiet)
            took_s = time.perf_counter() - began - swept_s
            figures.append(at_least(f"{prefix}.{name}", done.entries / took_s, "rows/s", ROWS_A_SECOND))
        figures.append(Figure(f"{prefix}.rebuild_again.swept", size / swept_s, "rows/s"))
    return figures


async def _events(database: Database, size: int) -> None:
    chance = random.Random(size)
    columns = ("player", "key", "new", "at_ms", "origin")
    for begin in range(0, size, ROWS):
        rows = [
            (player, BOARD.field, str(chance.randrange(10**9)), NOW_MS - chance.randrange(10**10), "imported")
            for player in range(begin + 1, min(begin + ROWS, size) + 1)
        ]
        await database.write(lambda tx, rows=rows: tx.load("events", columns, rows))  # type: ignore[misc]
    await database.write(
        lambda tx: tx.execute(
            "INSERT INTO players (player, public_id, container, user_id) VALUES ($1, 'last', 'c', 'last')", size
        )
    )


async def importing(place: Place, engine: str, size: int) -> list[Figure]:
    """A file of new players with one score each, the rebuild that follows included."""

    def lines() -> Iterator[bytes]:
        chance = random.Random(size)
        yield b"player,value,time\n"
        for number in range(size):
            yield b"%d,%d,%d\n" % (10**9 + number, chance.randrange(10**9), NOW_MS - chance.randrange(10**10))

    async with place.fresh() as database:
        await database.write(lambda tx: store.seed(tx, [BOARD]))
        imports = BoardImport(database, Rebuilds(database, _now_ms), "c", _now_ms)
        began = time.perf_counter()
        done = await imports.load(
            BOARD.id, lines(), FileFormat.CSV, verified=False, expected=size, progress=_quiet, rebuilding=_quiet
        )
        took_s = time.perf_counter() - began
    return [at_least(f"ranks.{engine}.{size:.0e}.import", done.new / took_s, "rows/s", ROWS_A_SECOND)]
