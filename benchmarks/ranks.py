"""Ranks from counted blocks, beside a lookup by primary key, plain counting, Redis, and the same writer without counts.

Each figure's ratio is to what stands behind it in its name's last part or in the part's own list of targets. On SQLite
a time is that of the whole question as the event loop asks it; PostgreSQL is the tests' embedded one, over a Unix
socket, without fsync. Redis is measured where redis-server is installed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.boards import bulk, reading, redis_sets, writing
from benchmarks.boards.places import place_of
from benchmarks.report import Figure
from homeserver.model import Span

ENGINES: Final = ("sqlite", "postgresql")
DISTRIBUTIONS: Final = ("uniform", "ties", "zipf", "tied")
SPANS: Final = ((Span.ALL, Span.MONTH, Span.WEEK, Span.DAY), (Span.ALL,))

RANK_TO_RANK_AT_1E5: Final = 2.0
RANK_TO_REDIS: Final = 1.0
ONLY: Final = "RANKS_ONLY"
"""Environment: words with blanks between, of which each figure's part is to hold one: `sqlite:1e+07 redis:1e+07`."""


def run(*, quick: bool) -> Iterator[Figure]:
    """Every figure, engine by engine, size by size."""
    sizes = (10**5, 10**6) if quick else (10**5, 10**6, 10**7)
    times = 100 if quick else 300
    redis = dict[tuple[str, int], float]()
    if redis_sets.installed():
        for size in sizes:
            # Ten million take Redis some minutes to hold and are all the same to it.
            for distribution in DISTRIBUTIONS[: 3 if size < 10**7 else 1]:
                if _wanted("redis", size):
                    redis[distribution, size], figures = redis_sets.measure(distribution, size, times=times)
                    yield from figures
    for engine in ENGINES:
        with place_of(engine) as place:
            ranks = dict[tuple[str, int], float]()
            for size in sizes:
                if not _wanted(engine, size):
                    continue
                for distribution in DISTRIBUTIONS:
                    figures = asyncio.run(reading.measure(place, engine, size, distribution, times=times))
                    yield from figures
                    rank = next(figure.value for figure in figures if figure.name.endswith(".rank.p50"))
                    ranks[distribution, size] = rank
                    name = f"ranks.{engine}.{size:.0e}.{distribution}.rank"
                    if (distribution, 10**5) in ranks and size > 10**5:
                        ratio = rank / ranks[distribution, 10**5]
                        yield Figure(f"{name}.to_1e5", rank, "us", ratio, RANK_TO_RANK_AT_1E5)
                    if (distribution, size) in redis:
                        target = RANK_TO_REDIS if engine == "sqlite" else None
                        yield Figure(f"{name}.to_redis", rank, "us", rank / redis[distribution, size], target)
                yield from asyncio.run(bulk.rebuilding(place, engine, size))
                if size < 10**7:
                    yield from asyncio.run(bulk.importing(place, engine, size))
                    for spans in SPANS:
                        yield from asyncio.run(writing.measure(place, engine, size, spans, quick=quick))


def _wanted(engine: str, size: int) -> bool:
    only: Sequence[str] = os.environ.get(ONLY, "").split()
    return not only or f"{engine}:{size:.0e}" in only
