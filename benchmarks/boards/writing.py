"""Accepted writes into one board, beside the same writer without counts: two boards alike, in turn."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Final

from benchmarks.boards.places import NOW_MS, Place, fill, make, p50, p99, within
from benchmarks.report import Figure
from homeserver.domain.boards import BoardInForce
from homeserver.model import Board, Keep, Origin, Span
from homeserver.services.score_writes import ScoreWrites
from homeserver.storage import appdata, blocks
from homeserver.storage import leaderboards as store
from homeserver.storage.appdata import Observation
from homeserver.storage.database import Database, Reader, Transaction, open_database

# Parts of the whole list that month, week and day hold, when all four periods are written.
PARTS: Final = {Span.ALL: 1, Span.MONTH: 3, Span.WEEK: 10, Span.DAY: 30}
WRITES_OF_WITHOUT: Final = {"sqlite": 0.65, "postgresql": 0.5}
LONGEST_US: Final = 250_000.0
PROCESSES: Final = 4
GROUP: Final = 256


@dataclass(slots=True)
class Timed:
    """A database that notes how long each of its transactions takes."""

    database: Database
    took_us: list[float] = field(default_factory=list)

    @property
    def most_together(self) -> int:
        return self.database.most_together

    async def write(self, work: Any) -> Any:
        began = time.perf_counter()
        try:
            return await self.database.write(work)
        finally:
            self.took_us.append(1e6 * (time.perf_counter() - began))


@dataclass(slots=True)
class Writer:
    """Writes random scores of random players into one board, as a sync does."""

    database: Any
    in_force: BoardInForce
    size: int
    counts: bool
    chance: random.Random
    clock_ms: int = NOW_MS

    def _observed(self) -> Observation:
        """Half of the writes are by the few who are in every period."""
        self.clock_ms += 1
        player = 1 + self.chance.randrange(self.size // 30 if self.chance.random() < 0.5 else self.size)
        values = {self.in_force.board.field: str(self.chance.randrange(1_000 * self.size))}
        return Observation(player, values, self.clock_ms, NOW_MS, Origin.SUBMITTED)

    async def batch(self, changes: int) -> None:
        """One transaction of so many changes."""
        observed = [self._observed() for _ in range(changes)]

        async def work(tx: Transaction) -> None:
            boards = await store.begin(tx, [self.in_force.board.field])
            found = await appdata.observe_all(tx, observed)
            await store.record(tx, boards, [change for changes in found for change in changes], NOW_MS)

        await self.database.write(work)

    async def batches(self, *, each: int, transactions: int) -> None:
        """So many transactions, one after the other."""
        with counting(self.counts):
            for _ in range(transactions):
                await self.batch(each)

    async def grouped(self, *, callers: int, each: int) -> list[float]:
        """So many callers at once, who write one score after the other: how long each waited, in microseconds."""
        writes = ScoreWrites(self.database)
        waited: list[float] = []

        async def caller() -> None:
            for _ in range(each):
                observed = self._observed()
                began = time.perf_counter()

                async def prepare(*_: object, observed: Observation = observed) -> list[Observation]:
                    return [observed]

                await writes.write(prepare, fields=[self.in_force.board.field])
                waited.append(1e6 * (time.perf_counter() - began))

        with counting(self.counts):
            await asyncio.gather(*(caller() for _ in range(callers)))
        return sorted(waited)


@contextmanager
def counting(counts: bool) -> Iterator[None]:
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


def _board(counts: bool, spans: Sequence[Span]) -> Board:
    return Board(f"counts-{counts}".lower(), "B", f"score-{counts}", keep=Keep.LATEST, spans=tuple(spans))


def _in_force(board: Board) -> BoardInForce:
    return BoardInForce(board, store.FIRST_REVISION, store.FIRST_GENERATION)


def _one_process(url: str, board: Board, size: int, counts: bool, transactions: int, seed: int) -> tuple[float, ...]:  # noqa: PLR0917
    """What one of several processes does, in batches of 16: when it began and ended, and how long each took."""

    async def run() -> tuple[float, ...]:
        async with open_database(url) as database:
            timed = Timed(database)
            writer = Writer(timed, _in_force(board), size, counts, random.Random(seed), NOW_MS + seed * 10**6)
            await writer.batch(1)  # opens a connection
            timed.took_us.clear()
            began = time.perf_counter()
            await writer.batches(each=16, transactions=transactions)
            return began, time.perf_counter(), *timed.took_us

    return asyncio.run(run())


class _Processes:
    """Processes that write at the same time."""

    def __init__(self, place: Place, pool: ProcessPoolExecutor) -> None:
        self._place = place
        self._pool = pool
        self._seeds = iter(range(1, 10**6))

    async def write(self, writer: Writer, transactions: int) -> tuple[float, float]:
        """Microseconds a change, all processes together; and of the longest transaction."""
        loop = asyncio.get_running_loop()
        arguments = (self._place.url(), writer.in_force.board, writer.size, writer.counts, transactions)
        done = await asyncio.gather(
            *(loop.run_in_executor(self._pool, _one_process, *arguments, next(self._seeds)) for _ in range(PROCESSES))
        )
        wall_us = 1e6 * (max(one[1] for one in done) - min(one[0] for one in done))
        return wall_us / (PROCESSES * transactions * 16), max(max(one[2:]) for one in done)


async def measure(place: Place, engine: str, size: int, spans: Sequence[Span], *, quick: bool) -> list[Figure]:
    """All figures of writing into lists of these periods."""
    prefix = f"ranks.{engine}.{size:.0e}.writes.{len(spans)}_periods"
    figures: list[Figure] = []
    async with place.fresh() as database:
        timed = Timed(database)
        writers: list[Writer] = []
        lists: list[tuple[int, str, int, bool]] = []
        for counts in (True, False):
            board = _board(counts, spans)
            for span, number in (await make(database, board)).items():
                lists.append((number, "uniform", size // PARTS[span], False))
            writers.append(Writer(timed, _in_force(board), size, counts, random.Random(11)))
        await fill(database, place, lists)
        longest = 0.0
        waited: list[float] = []
        with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
            processes = _Processes(place, pool)

            async def load(name: str, writer: Writer, *, warm: bool) -> float:
                """Microseconds a change; notes the longest transaction with counts, once all is warm."""
                nonlocal longest
                timed.took_us.clear()
                began = time.perf_counter()
                match name:
                    case "single":
                        changes = 60
                        await writer.batches(each=1, transactions=changes)
                    case "group_commit_256":
                        changes = GROUP * 8
                        seen = await writer.grouped(callers=GROUP, each=8)
                        waited[:] = seen if writer.counts else waited
                    case "4_processes_by_16":
                        us, most = await processes.write(writer, 24)
                        # On SQLite a process waits until it finds the others asleep: that is no transaction's length.
                        if writer.counts and not warm and engine != "sqlite":
                            longest = max(longest, most)
                        return us
                us = 1e6 * (time.perf_counter() - began) / changes
                longest = max(longest, *timed.took_us) if writer.counts and not warm else longest
                return us

            for name in ("single", "group_commit_256", "4_processes_by_16"):
                pairs = await _pairs(name, writers, load, rounds=3 if quick else 9)
                if place.postgres is not None:
                    await place.settle("ANALYZE")
                ratio = statistics.median(mine / without for mine, without in pairs)
                mine = statistics.median(mine for mine, _ in pairs)
                decides = name == ("group_commit_256" if engine == "sqlite" else "4_processes_by_16")
                target = 1 / WRITES_OF_WITHOUT[engine] if decides else None
                figures.append(Figure(f"{prefix}.{name}.us_a_change", mine, "us", ratio, target))
                figures.append(Figure(f"{prefix}.{name}.changes_a_second", 1e6 / mine, "1/s"))
        figures.append(Figure(f"{prefix}.group_commit_256.caller.p50", p50(waited), "us"))
        figures.append(Figure(f"{prefix}.group_commit_256.caller.p99", p99(waited), "us"))
        figures.append(within(f"{prefix}.longest_transaction", longest, LONGEST_US))
        wrong = await database.read(lambda db: _wrong_counts(db, [list_ for list_, *_ in lists[: len(spans)]]))
        figures.append(Figure(f"{prefix}.wrong_counts", wrong, "blocks", wrong, 0.0))
    return figures


async def _pairs(name: str, writers: Sequence[Writer], load: Any, *, rounds: int) -> list[tuple[float, float]]:
    """With counts and without, in turn; the first round warms."""
    pairs = []
    for number in range(rounds + 1):
        in_turn = writers if number % 2 else [*reversed(writers)]
        seen = {writer.counts: await load(name, writer, warm=not number) for writer in in_turn}
        if number:
            pairs.append((seen[True], seen[False]))
    return pairs


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
