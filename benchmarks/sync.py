"""The sync: how few requests its plans need, and how fast its engine asks, reads and stores."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.report import Figure
from benchmarks.syncing import engine, plans


def run(*, quick: bool) -> Iterator[Figure]:
    """Plans first, then the engine."""
    yield from plans.run(quick=quick)
    yield from engine.run(quick=quick)
