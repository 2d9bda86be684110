"""What is still to be asked of a container: one row for each player and kind of question, taken by lease.

A row lives from the wish to the commit of its answer, so a process that dies loses nothing: when its lease ends, others
take the row over. An answer is applied only by whoever holds the row, in the transaction that removes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from homeserver.storage.database import Reader, Transaction


class Kind(StrEnum):
    """What is asked."""

    WHOLE = "whole"
    """Everything: profile, friends, AppData of both."""
    FRIENDS = "friends"
    """The list of friends."""
    AROUND = "around"
    """The AppData of their friends."""
    ALONE = "alone"
    """Their own AppData."""


class Priority(IntEnum):
    """Whose turn it is; lower goes first."""

    PRESENT = 0
    """They are looking, or somebody at a terminal is."""
    ACTIVE = 1
    ROUND = 2
    LISTS = 3


class Task(NamedTuple):
    """A question that this process has taken."""

    player: int
    kind: Kind
    attempts: int
    user_id: str | None
    """The player's at the container; None of somebody who is not there, or was erased meanwhile."""


class Waiting(NamedTuple):
    """A question that is not answered yet."""

    kind: Kind
    due_ms: int
    until_ms: int


MAX_PRESENT: Final = 10_000
"""How many may wait whom people asked for. The plans of rounds are bounded by the number of players."""


async def add(
    tx: Transaction, container: str, wanted: Iterable[tuple[int, Kind]], *, priority: Priority, now_ms: int
) -> None:
    """Have these asked from now on. What waits already keeps its place, unless this one is better.

    What waits for another attempt is due at once when it is wanted anew.
    """
    await tx.execute_many(
        "INSERT INTO sync_tasks (player, kind, container, priority, due_ms, added_ms, attempts, until_ms) "
        "VALUES ($1, $2, $3, $4, $5, $5, 0, 0) ON CONFLICT (player, kind) DO UPDATE SET "
        "priority = CASE WHEN excluded.priority < sync_tasks.priority THEN excluded.priority "
        "ELSE sync_tasks.priority END, "
        "due_ms = CASE WHEN sync_tasks.due_ms < $5 THEN sync_tasks.due_ms ELSE $5 END",
        [(player, kind.value, container, int(priority), now_ms) for player, kind in sorted(set(wanted))],
    )


async def waiting_of(reader: Reader, player: int) -> list[Waiting]:
    """What waits, or is being asked, about one player."""
    rows = await reader.fetch("SELECT kind, due_ms, until_ms FROM sync_tasks WHERE player = $1", player)
    return [Waiting(Kind(kind), due_ms, until_ms) for kind, due_ms, until_ms in rows]


async def is_any_due(reader: Reader, container: str, now_ms: int) -> bool:
    """Whether there is anything to take, for a look before the lock that taking needs."""
    found = await reader.fetch_value(
        "SELECT 1 FROM sync_tasks WHERE container = $1 AND due_ms <= $2 AND until_ms <= $2 LIMIT 1", container, now_ms
    )
    return found is not None


async def claim(
    tx: Transaction, container: str, holder: str, *, limit: int, now_ms: int, until_ms: int, kinds: Sequence[Kind]
) -> list[Task]:
    """Take up to `limit` questions that are due and that nobody else holds, the most urgent first."""
    await tx.lock(f"sync-claim:{container}")  # or two would choose the same rows, and one of them come away with none
    rows = await tx.fetch(
        "SELECT t.player, t.kind, t.attempts, p.user_id FROM sync_tasks AS t "
        "LEFT JOIN players AS p ON p.player = t.player AND p.container = t.container "
        "WHERE t.container = $1 AND t.due_ms <= $2 AND t.until_ms <= $2 "
        "AND t.kind IN (SELECT k.value FROM each_text($3) AS k) "
        "ORDER BY t.priority, t.due_ms, t.player, t.kind LIMIT $4",
        container,
        now_ms,
        [kind.value for kind in kinds],
        limit,
    )
    await tx.execute_many(
        "UPDATE sync_tasks SET holder = $3, until_ms = $4 WHERE player = $1 AND kind = $2",
        sorted((player, kind, holder, until_ms) for player, kind, *_ in rows),
    )
    return [Task(player, Kind(kind), attempts, user_id) for player, kind, attempts, user_id in rows]


async def prolong(tx: Transaction, holder: str, until_ms: int) -> None:
    """Keep what this process holds until then."""
    await tx.execute("UPDATE sync_tasks SET until_ms = $2 WHERE holder = $1", holder, until_ms)


async def finish(tx: Transaction, holder: str, tasks: Iterable[Task]) -> set[Task]:
    """Remove these, answered or given up; those that were still ours. What another took over meanwhile stays."""
    ours: set[Task] = set()
    by_kind: dict[Kind, dict[int, Task]] = {}
    for task in tasks:
        by_kind.setdefault(task.kind, {})[task.player] = task
    for kind, of_player in sorted(by_kind.items()):
        rows = await tx.fetch(
            "DELETE FROM sync_tasks WHERE kind = $1 AND holder = $2 "
            "AND player IN (SELECT w.value FROM each_bigint($3) AS w) RETURNING player",
            kind.value,
            holder,
            sorted(of_player),
        )
        ours |= {of_player[row[0]] for row in rows}
    return ours


async def put_back(tx: Transaction, holder: str, task: Task, *, due_ms: int, tried: bool = True) -> None:
    """Have it asked again later."""
    await tx.execute(
        "UPDATE sync_tasks SET holder = NULL, until_ms = 0, due_ms = $4, attempts = attempts + $5 "
        "WHERE player = $1 AND kind = $2 AND holder = $3",
        task.player,
        task.kind.value,
        holder,
        due_ms,
        int(tried),
    )


async def release(tx: Transaction, holder: str) -> None:
    """Give back all that this process holds, as it was."""
    await tx.execute("UPDATE sync_tasks SET holder = NULL, until_ms = 0 WHERE holder = $1", holder)


async def count_present(reader: Reader, container: str) -> int:
    """How many wait whom people asked for."""
    found: int = await reader.fetch_value(
        "SELECT COUNT(*) FROM sync_tasks WHERE container = $1 AND priority = $2", container, int(Priority.PRESENT)
    )
    return found


class Queue(NamedTuple):
    """How long the queue is."""

    kind: Kind
    waiting: int
    running: int
    oldest_ms: int


async def queues(reader: Reader, container: str, now_ms: int) -> list[Queue]:
    """What waits, by kind."""
    rows = await reader.fetch(
        "SELECT kind, COUNT(*), SUM(CASE WHEN until_ms > $2 THEN 1 ELSE 0 END), MIN(added_ms) FROM sync_tasks "
        "WHERE container = $1 GROUP BY kind ORDER BY kind",
        container,
        now_ms,
    )
    return [Queue(Kind(kind), total - (running or 0), running or 0, oldest) for kind, total, running, oldest in rows]


async def under_way(reader: Reader, container: str) -> dict[Kind, set[int]]:
    """Whom something is to be asked about, by kind."""
    found: dict[Kind, set[int]] = {kind: set() for kind in Kind}
    for player, kind in await reader.fetch("SELECT player, kind FROM sync_tasks WHERE container = $1", container):
        found[Kind(kind)].add(player)
    return found
