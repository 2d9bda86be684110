"""How many changes of each field came in each minute and hour, counted from the events; a bounded number of rows.

An event is counted once, by whoever counts next, as of the time when it was seen (imports, which bring times of their
own: when it is counted), if its minute or its hour is kept still. A transaction that is committed late, behind others
with higher numbers, is left out.
"""

from __future__ import annotations

from typing import Final, cast

from homeserver.model import Origin, Writes
from homeserver.storage.database import Reader, Transaction

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
KEPT_MS: Final = {"minute": 2 * 24 * HOUR_MS, "hour": 400 * 24 * HOUR_MS}
SIZE_MS: Final = {"minute": MINUTE_MS, "hour": HOUR_MS}
_COUNTED: Final = "writes_counted"


async def count_some(tx: Transaction, now_ms: int, settled_ms: int, limit: int) -> bool:
    """Count the next events, at most so many, that were seen before `settled_ms`; whether there may be more."""
    await tx.lock(_COUNTED)
    counted = await tx.fetch_value("SELECT value FROM meta WHERE name = $1", _COUNTED)
    after = int(counted or 0)
    until = cast(
        "int | None",
        await tx.fetch_value(
            "SELECT max(e.event) FROM (SELECT event, at_ms, origin FROM events WHERE event > $1 ORDER BY event "
            "LIMIT $2) AS e WHERE e.at_ms <= $3 OR e.origin IN ($4, $5)",
            after,
            limit,
            settled_ms,
            Origin.IMPORTED.value,
            Origin.VERIFIED.value,
        ),
    )
    if until is None:
        return False
    for span, size_ms in SIZE_MS.items():
        rows = await tx.fetch(
            "SELECT key, at_ms - at_ms % $4, count(*) FROM ("
            "SELECT key, CASE WHEN origin IN ($5, $6) OR at_ms > $7 THEN $7 ELSE at_ms END AS at_ms "
            "FROM events WHERE event > $1 AND event <= $2 AND (origin IN ($5, $6) OR at_ms >= $3)"
            ") AS e GROUP BY 1, 2 ORDER BY 1, 2",
            after,
            until,
            now_ms - KEPT_MS[span],
            size_ms,
            Origin.IMPORTED.value,
            Origin.VERIFIED.value,
            now_ms,
        )
        await tx.execute_many(
            "INSERT INTO field_writes (key, span, at_ms, n) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (key, span, at_ms) DO UPDATE SET n = field_writes.n + excluded.n",
            [(key, span, at_ms, n) for key, at_ms, n in rows],
        )
    await tx.execute(
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        _COUNTED,
        str(until),
    )
    return until - after >= limit


async def between(reader: Reader, key: str, span: str, from_ms: int, until_ms: int) -> list[Writes]:
    """The minutes or hours (`span`) in which there were any changes of this field, in order."""
    rows = await reader.fetch(
        "SELECT at_ms, n FROM field_writes WHERE key = $1 AND span = $2 AND at_ms >= $3 AND at_ms < $4 ORDER BY at_ms",
        key,
        span,
        from_ms,
        until_ms,
    )
    return [Writes(*row) for row in rows]


async def prune(tx: Transaction, now_ms: int) -> int:
    """Remove what is older than is kept; how many rows."""
    return sum(
        [
            await tx.execute("DELETE FROM field_writes WHERE span = $1 AND at_ms < $2", span, now_ms - kept_ms)
            for span, kept_ms in KEPT_MS.items()
        ]
    )
