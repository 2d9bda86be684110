"""Acts on many players of a board at once: whom they concern, and what was decided about each before, to undo it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from homeserver.model import Position, TaskKind
from homeserver.storage.database import Reader, Transaction
from homeserver.storage.moderation import Verdict

DAY_MS: Final = 86_400_000
UNDONE_MS: Final = 365 * DAY_MS
"""How long after its end an act can be undone."""
FORGOTTEN_AT_ONCE: Final = 10_000


class Changed(NamedTuple):
    """What a bulk act made of what was decided about a player."""

    player: int
    was: Verdict
    now: Verdict


async def listed(reader: Reader, list_: int, after: Position, last_key: int, limit: int) -> list[Position]:
    """The first entries of a list behind `after` whose key is at most `last_key`, in order."""
    rows = await reader.fetch(
        "SELECT key, reached_ms, player FROM entries WHERE list = $1 AND (key, reached_ms, player) > ($2, $3, $4) "
        "AND key <= $5 ORDER BY key, reached_ms, player LIMIT $6",
        list_,
        *after,
        last_key,
        limit,
    )
    return [Position(*row) for row in rows]


async def decided(reader: Reader, board_id: str, after: int, limit: int) -> list[int]:
    """The first players beyond this number about whom something was decided on a board, in order."""
    rows = await reader.fetch(
        "SELECT player FROM moderation WHERE board = $1 AND player > $2 ORDER BY player LIMIT $3",
        board_id,
        after,
        limit,
    )
    return [row[0] for row in rows]


async def newest_events(reader: Reader, players: Iterable[int], key: str) -> dict[int, int]:
    """The last event of each of these players under this key; whoever has none is left out."""
    rows = await reader.fetch(
        "SELECT w.value, (SELECT max(e.event) FROM events AS e WHERE e.player = w.value AND e.key = $2) "
        "FROM each_bigint($1) AS w",
        sorted(players),
        key,
    )
    return {player: event for player, event in rows if event is not None}


async def keep(tx: Transaction, task: int, changed: Sequence[Changed]) -> None:
    """Keep what a task changed."""
    await tx.execute_many(
        "INSERT INTO bulk_changes (task, player, was_hidden, was_until, now_hidden, now_until) "
        "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (task, player) DO UPDATE SET "
        "now_hidden = excluded.now_hidden, now_until = excluded.now_until",
        [
            (task, player, int(was.hidden), was.until_event, int(now.hidden), now.until_event)
            for player, was, now in sorted(changed, key=lambda each: each.player)
        ],
    )


async def kept(reader: Reader, task: int, limit: int) -> list[Changed]:
    """Some of what a task changed and is not undone."""
    rows = await reader.fetch(
        "SELECT player, was_hidden, was_until, now_hidden, now_until FROM bulk_changes "
        "WHERE task = $1 ORDER BY player LIMIT $2",
        task,
        limit,
    )
    return [
        Changed(player, Verdict(bool(was_hidden), was_until), Verdict(bool(now_hidden), now_until))
        for player, was_hidden, was_until, now_hidden, now_until in rows
    ]


async def count_kept(reader: Reader, task: int) -> int:
    """How many of what a task changed are not undone."""
    found: int = await reader.fetch_value("SELECT count(*) FROM bulk_changes WHERE task = $1", task)
    return found


async def set_undone(tx: Transaction, task: int, players: Iterable[int]) -> None:
    """What is undone has not to be known any more."""
    await tx.execute_many(
        "DELETE FROM bulk_changes WHERE task = $1 AND player = $2", [(task, player) for player in sorted(players)]
    )


async def prune(tx: Transaction, now_ms: int) -> int:
    """Forget, some at a time, what acts changed that cannot be undone any more; how many rows."""
    # A day later: what was begun in time is undone by then.
    return await tx.execute(
        "DELETE FROM bulk_changes WHERE (task, player) IN (SELECT c.task, c.player FROM board_tasks AS t "
        "CROSS JOIN bulk_changes AS c WHERE t.kind = $1 AND t.ended_ms < $2 AND c.task = t.task LIMIT $3)",
        TaskKind.BULK.value,
        now_ms - UNDONE_MS - DAY_MS,
        FORGOTTEN_AT_ONCE,
    )
