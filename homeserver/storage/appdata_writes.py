"""AppData that is to be written at a time: once, or every year. Each is done once, by whoever has taken it by lease."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from homeserver.storage.database import Reader, Row, Transaction

KEPT_MS: Final = 400 * 86_400_000
"""How long what was done, or failed, can be seen; longer than a year, so that nothing yearly is done twice."""


class State(StrEnum):
    """How far a write is."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


class Write(NamedTuple):
    """A value to be written; without one, the key is deleted."""

    id: int
    player: int
    key: str
    value: str | None
    rule: str | None
    """The rule of the settings that wanted it, or the day of the year (`05-28`) on which it returns."""
    occasion: str | None
    """Of which year it is, where it returns."""
    due_ms: int
    state: State
    attempts: int
    detail: str | None
    done_ms: int | None


_COLUMNS: Final = "write, player, key, value, rule, occasion, due_ms, state, attempts, detail, done_ms"


def _write(row: Row) -> Write:
    id_, player, key, value, rule, occasion, due_ms, state, attempts, detail, done_ms = row
    return Write(id_, player, key, value, rule, occasion, due_ms, State(state), attempts, detail, done_ms)


async def add(
    tx: Transaction,
    player: int,
    key: str,
    value: str | None,
    *,
    due_ms: int,
    rule: str | None = None,
    occasion: str | None = None,
) -> bool:
    """Plan a write. One of a rule, a player and an occasion that was planned before stays as it is, done or not.

    Returns:
        Whether it is a new one.
    """
    added = await tx.execute(
        "INSERT INTO appdata_writes (player, key, value, rule, occasion, due_ms, state, attempts, until_ms) "
        "VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0, 0) ON CONFLICT (rule, player, occasion) DO NOTHING",
        player,
        key,
        value,
        rule,
        occasion,
        due_ms,
    )
    return added == 1


async def claim(
    tx: Transaction, holder: str, *, now_ms: int, until_ms: int, limit: int, players: Collection[int] | None = None
) -> list[Write]:
    """Take what is due and nobody else's; of these players, or of all."""
    await tx.lock("appdata-writes-claim")
    among = "" if players is None else "AND player IN (SELECT w.value FROM each_bigint($3) AS w) "
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM appdata_writes WHERE state = 'waiting' AND due_ms <= $1 AND until_ms <= $1 "  # noqa: S608
        f"{among}ORDER BY due_ms, write LIMIT $2",
        now_ms,
        limit,
        *(() if players is None else (sorted(players),)),
    )
    await tx.execute_many(
        "UPDATE appdata_writes SET holder = $2, until_ms = $3 WHERE write = $1",
        sorted((row[0], holder, until_ms) for row in rows),
    )
    return [_write(row) for row in rows]


async def settle(
    tx: Transaction, holder: str, id_: int, state: State, *, due_ms: int, now_ms: int, detail: str | None = None
) -> bool:
    """Say how far a write is that this process has taken: done, failed, or due again then. False: it is not ours."""
    changed = await tx.execute(
        "UPDATE appdata_writes SET state = $3, due_ms = $4, detail = $5, holder = NULL, until_ms = 0, "
        "attempts = attempts + 1, done_ms = $6 "
        "WHERE write = $1 AND holder = $2",
        id_,
        holder,
        state.value,
        due_ms,
        detail,
        now_ms if state is State.DONE else None,
    )
    return changed == 1


async def release(tx: Transaction, holder: str) -> None:
    """Give back all that this process has taken, as it was."""
    await tx.execute("UPDATE appdata_writes SET holder = NULL, until_ms = 0 WHERE holder = $1", holder)


async def cancel(tx: Transaction, id_: int) -> bool:
    """Take back a write that waits; whether there was one that nobody has begun."""
    return (
        await tx.execute("DELETE FROM appdata_writes WHERE write = $1 AND state = 'waiting' AND holder IS NULL", id_)
        == 1
    )


async def recent(reader: Reader, limit: int, *, player: int | None = None) -> list[Write]:
    """What waits, first what is due first, then what was done or failed, newest first."""
    among = "" if player is None else "WHERE player = $2 "
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM appdata_writes {among}"  # noqa: S608
        "ORDER BY CASE WHEN state = 'waiting' THEN 0 ELSE 1 END, "
        "CASE WHEN state = 'waiting' THEN due_ms ELSE -due_ms END, write LIMIT $1",
        limit,
        *(() if player is None else (player,)),
    )
    return [_write(row) for row in rows]


async def waiting(reader: Reader, player: int) -> int:
    """How many wait for a player."""
    found: int = await reader.fetch_value(
        "SELECT COUNT(*) FROM appdata_writes WHERE player = $1 AND state = 'waiting'", player
    )
    return found


async def counts(reader: Reader) -> dict[State, int]:
    """How many are in each state."""
    rows = await reader.fetch("SELECT state, COUNT(*) FROM appdata_writes GROUP BY state")
    return dict.fromkeys(State, 0) | {State(state): count for state, count in rows}


async def prune(tx: Transaction, now_ms: int) -> int:
    """Forget what was done, or failed, long ago; how many."""
    return await tx.execute(
        "DELETE FROM appdata_writes WHERE state IN ('done', 'failed') AND due_ms < $1", now_ms - KEPT_MS
    )


# --- days of people ---------------------------------------------------------------------------------------------------


async def with_birthday(reader: Reader, container: str, days: Iterable[str]) -> list[tuple[int, str]]:
    """Players who have the application and were born on one of these days of the year: number and day."""
    rows = await reader.fetch(
        "SELECT player, birthday FROM players WHERE container = $1 AND (has_app IS NULL OR has_app = 1) "
        "AND birthday IN (SELECT w.value FROM each_text($2) AS w) ORDER BY player",
        container,
        sorted(days),
    )
    return [(row[0], row[1]) for row in rows]


async def birthday_of(reader: Reader, player: int) -> str | None:
    """The day of the year on which somebody was born, as `05-28`, where the container said so."""
    found: str | None = await reader.fetch_value("SELECT birthday FROM players WHERE player = $1", player)
    return found


async def without_birthday(reader: Reader, container: str, limit: int) -> tuple[int, list[int]]:
    """How many players who have the application have no known birthday, and the first of them."""
    where = "WHERE container = $1 AND (has_app IS NULL OR has_app = 1) AND birthday IS NULL"
    count: int = await reader.fetch_value(f"SELECT COUNT(*) FROM players {where}", container)  # noqa: S608
    rows = await reader.fetch(f"SELECT player FROM players {where} ORDER BY player LIMIT $2", container, limit)  # noqa: S608
    return count, [row[0] for row in rows]
