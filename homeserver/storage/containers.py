"""How it stands between us and a container, for all processes together: our rate, its rest, its refusals."""

from __future__ import annotations

from typing import Final, NamedTuple

from homeserver.storage.database import Reader, Transaction


class State(NamedTuple):
    """What is known of a container."""

    closed_until_ms: int = 0
    """Nothing is asked before, but for one probe at a time behind it while `failures` lasts."""
    failures: int = 0
    """In a row, among all processes."""
    halted_ms: int | None = None
    """Since when it has refused everybody (401)."""
    probed_until_ms: int = 0
    """Until when somebody is trying whether it answers again."""


_NEW: Final = (
    "INSERT INTO containers (container, next_us, closed_until_ms, failures, probed_until_ms, planned_ms) "
    "VALUES ($1, 0, 0, 0, 0, 0) ON CONFLICT (container) DO NOTHING"
)


async def ensure(tx: Transaction, container: str) -> None:
    """Make the container's row where there is none."""
    await tx.execute(_NEW, container)


async def state(reader: Reader, container: str) -> State:
    """How it stands now."""
    row = await reader.fetch_one(
        "SELECT closed_until_ms, failures, halted_ms, probed_until_ms FROM containers WHERE container = $1", container
    )
    return State() if row is None else State(*row)


async def reserve(tx: Transaction, container: str, *, requests: int, now_us: int, each_us: int, burst: int) -> int:
    """Take that many requests out of the container's rate; when the first of them may go, in microseconds.

    The others follow at distances of `each_us`. A bucket of `burst` requests refills at this rate while nobody asks. A
    reservation further ahead than a minute (a clock was set back) is forgotten.
    """
    rows = await tx.fetch(
        "UPDATE containers SET next_us = "
        "(CASE WHEN next_us BETWEEN $3 AND $4 THEN next_us ELSE $3 END) + $2 WHERE container = $1 RETURNING next_us",
        container,
        requests * each_us,
        now_us - burst * each_us,
        now_us + max(60_000_000, burst * each_us),
    )
    after: int = rows[0][0]
    return after - requests * each_us


async def close(tx: Transaction, container: str, until_ms: int) -> None:
    """Let nobody ask before that time."""
    await tx.execute(
        "UPDATE containers SET closed_until_ms = $2 WHERE container = $1 AND closed_until_ms < $2", container, until_ms
    )


async def count_failure(tx: Transaction, container: str) -> int:
    """Count one more failure; how many there were in a row."""
    rows = await tx.fetch(
        "UPDATE containers SET failures = failures + 1, probed_until_ms = 0 WHERE container = $1 RETURNING failures",
        container,
    )
    found: int = rows[0][0]
    return found


async def count_success(tx: Transaction, container: str) -> None:
    """It answers: forget all that was against it."""
    await tx.execute(
        "UPDATE containers SET failures = 0, closed_until_ms = 0, halted_ms = NULL, probed_until_ms = 0 "
        "WHERE container = $1 AND (failures > 0 OR halted_ms IS NOT NULL OR closed_until_ms > 0)",
        container,
    )


async def halt(tx: Transaction, container: str, now_ms: int, until_ms: int) -> bool:
    """It refuses everybody: stop, and try again then. Whether this is news."""
    fresh = await tx.execute(
        "UPDATE containers SET halted_ms = $2 WHERE container = $1 AND halted_ms IS NULL", container, now_ms
    )
    await tx.execute(
        "UPDATE containers SET closed_until_ms = $2, probed_until_ms = 0 WHERE container = $1", container, until_ms
    )
    return fresh == 1


async def begin_probe(tx: Transaction, container: str, now_ms: int, until_ms: int) -> bool:
    """Be the one who tries whether it answers again."""
    changed = await tx.execute(
        "UPDATE containers SET probed_until_ms = $3 WHERE container = $1 AND probed_until_ms <= $2",
        container,
        now_ms,
        until_ms,
    )
    return changed == 1


async def begin_plan(tx: Transaction, container: str, now_ms: int, every_ms: int) -> bool:
    """Be the one who plans, unless somebody did since `every_ms` ago."""
    changed = await tx.execute(
        "UPDATE containers SET planned_ms = $2 WHERE container = $1 AND planned_ms NOT BETWEEN $3 AND $2",
        container,
        now_ms,
        now_ms - every_ms + 1,
    )
    return changed == 1
