"""Backups of a full board while somebody writes, and the way back: how long, how large, and how long writers wait."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.boards.places import NOW_MS, Place, fill, make, p50, p99, place_of
from benchmarks.report import Figure
from homeserver.model import Board, Span
from homeserver.services.backups import Backups
from homeserver.storage import counters
from homeserver.storage.database import Database, is_sqlite

ENGINES: Final = ("sqlite", "postgresql")
BOARD: Final = Board("letters", "Letters", "letters", spans=(Span.ALL,))


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure, engine by engine. Of n entries there are 2 n rows, as each is kept in order and by player."""
    size = 10**5 if quick else 10**6
    for engine in ENGINES:
        with place_of(engine) as place, tempfile.TemporaryDirectory(prefix="homeserver-backups-") as folder:
            yield from asyncio.run(_measure(place, f"backups.{engine}.{size:.0e}", size, Path(folder) / "backup"))


async def _measure(place: Place, name: str, size: int, file: Path) -> list[Figure]:
    async with place.fresh() as database:
        lists = await make(database, BOARD)
        await fill(database, place, [(lists[Span.ALL], "uniform", size, False)])
        alone_ms: list[float] = []
        await _write(database, alone_ms, 100)
        during_ms: list[float] = []
        writing = asyncio.create_task(_write(database, during_ms, 10**9))
        began_s = time.perf_counter()
        head = await _backups(place, database).make(file, _quiet)
        made_s = time.perf_counter() - began_s
        writing.cancel()
        await asyncio.wait({writing})
    async with place.fresh() as database:
        began_s = time.perf_counter()
        await _backups(place, database).restore(file, _quiet)
        restored_s = time.perf_counter() - began_s
    alone_ms.sort()
    during_ms.sort()
    return [
        Figure(f"{name}.rows", head.rows, "rows"),
        Figure(f"{name}.size", (await asyncio.to_thread(file.stat)).st_size / 1e6, "MB"),
        Figure(f"{name}.make", made_s, "s"),
        Figure(f"{name}.restore", restored_s, "s"),
        Figure(f"{name}.write_alone.p50", p50(alone_ms), "ms"),
        Figure(f"{name}.write_alone.p99", p99(alone_ms), "ms"),
        Figure(f"{name}.write_during.p50", p50(during_ms), "ms"),
        Figure(f"{name}.write_during.p99", p99(during_ms), "ms"),
    ]


def _backups(place: Place, database: Database) -> Backups:
    return Backups(database, lambda: NOW_MS, sqlite=is_sqlite(place.url()))


async def _write(database: Database, took_ms: list[float], times: int) -> None:
    """Short transactions, one after the other."""
    for _ in range(times):
        began_s = time.perf_counter()
        await database.write(lambda tx: counters.add(tx, {("benchmark", ""): 1}))
        took_ms.append((time.perf_counter() - began_s) * 1000)


def _quiet(*_: object) -> None:
    """Nobody watches."""
