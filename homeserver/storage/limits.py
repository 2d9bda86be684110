"""How often somebody did something in the current window: counters that all processes share.

A window begins with the first use and lasts as long as its limit says. Counters are named by what they count and a hash
of whom, so that nobody's text from outside can grow a row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from homeserver.storage.database import Transaction

LONGEST_WINDOW_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `allowed` uses in `window_ms`, for each whom."""

    name: str
    allowed: int
    window_ms: int

    def __post_init__(self) -> None:
        if self.allowed < 1 or not 0 < self.window_ms <= LONGEST_WINDOW_MS:
            raise ValueError("a limit allows something, within a day")

    def row_name(self, who: str) -> str:
        """The counter's name."""
        return f"{self.name}:{hashlib.sha256(who.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


async def take(tx: Transaction, limit: Limit, who: str, now_ms: int) -> int:
    """Count one use. 0 when it is allowed, else how long to wait until the window ends, in milliseconds.

    What is refused is not counted. A window that begins in the future by more than its length (a clock was set back) is
    over.
    """
    rows = await tx.fetch(
        "INSERT INTO limits (name, starts_ms, used) VALUES ($1, $2, 1) "
        "ON CONFLICT (name) DO UPDATE SET "
        "starts_ms = CASE WHEN limits.starts_ms BETWEEN $3 AND $4 THEN limits.starts_ms ELSE $2 END, "
        "used = CASE WHEN limits.starts_ms BETWEEN $3 AND $4 THEN limits.used + 1 ELSE 1 END "
        "WHERE limits.used < $5 OR limits.starts_ms NOT BETWEEN $3 AND $4 "
        "RETURNING used",
        limit.row_name(who),
        now_ms,
        now_ms - limit.window_ms + 1,
        now_ms + limit.window_ms,
        limit.allowed,
    )
    if rows:
        return 0
    starts_ms: int | None = await tx.fetch_value("SELECT starts_ms FROM limits WHERE name = $1", limit.row_name(who))
    return max(1, (now_ms if starts_ms is None else starts_ms) + limit.window_ms - now_ms)


async def give_back(tx: Transaction, limit: Limit, who: str) -> None:
    """Uncount one use that turned out not to count."""
    await tx.execute("UPDATE limits SET used = used - 1 WHERE name = $1 AND used > 0", limit.row_name(who))


async def prune(tx: Transaction, now_ms: int) -> int:
    """Remove counters whose window is over, whatever its length; how many."""
    return await tx.execute("DELETE FROM limits WHERE starts_ms < $1", now_ms - LONGEST_WINDOW_MS)
