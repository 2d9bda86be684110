"""Tasks that are done to whole boards: a row each, which says how far it is and what came of it.

Whoever works on one holds it until a time, and prolongs that. One that is not prolonged any more is taken up by whoever
comes next.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Final, cast

from homeserver.model import Act, Task, TaskKind, TaskState
from homeserver.storage.database import Reader, Row, Transaction

_COLUMNS: Final = "task, kind, board, wanted, actor, reason, state, done, total, result, started_ms, ended_ms"
KEPT: Final = 5_000
"""So many tasks that ended are kept, the newest."""


def _task(row: Row) -> Task:
    task, kind, board, wanted, actor, reason, state, done, total, result, started_ms, ended_ms = row
    return Task(
        task,
        TaskKind(kind),
        board,
        json.loads(wanted),
        actor,
        reason,
        TaskState(state),
        done,
        total,
        json.loads(result) if result else {},
        started_ms,
        ended_ms,
    )


async def add(tx: Transaction, kind: TaskKind, board_id: str, wanted: Mapping[str, object], act: Act) -> int:
    """Keep a task that waits; its number."""
    return cast(
        "int",
        await tx.fetch_value(
            "INSERT INTO board_tasks (kind, board, wanted, actor, reason, state, started_ms) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING task",
            kind.value,
            board_id,
            json.dumps(wanted),
            act.actor,
            act.reason,
            TaskState.WAITING.value,
            act.at_ms,
        ),
    )


async def find(reader: Reader, task: int) -> Task | None:
    """One task."""
    row = await reader.fetch_one(f"SELECT {_COLUMNS} FROM board_tasks WHERE task = $1", task)  # noqa: S608
    return None if row is None else _task(row)


async def of_board(reader: Reader, board_id: str, limit: int, before: int | None = None) -> list[Task]:
    """The last tasks of a board, newest first, before the one of this number."""
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM board_tasks WHERE board = $1 AND task < $2 ORDER BY task DESC LIMIT $3",  # noqa: S608
        board_id,
        2**63 - 1 if before is None else before,
        limit,
    )
    return [_task(row) for row in rows]


async def last(reader: Reader, board_id: str, kind: TaskKind, states: Collection[TaskState]) -> Task | None:
    """The last task of this kind that is in one of these states."""
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS} FROM board_tasks WHERE board = $1 AND kind = $2 "  # noqa: S608
        "AND state IN (SELECT s.value FROM each_text($3) AS s) ORDER BY task DESC LIMIT 1",
        board_id,
        kind.value,
        sorted(states),
    )
    return None if row is None else _task(row)


async def unfinished(reader: Reader) -> list[Task]:
    """Those that wait or are worked on, the oldest first."""
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM board_tasks WHERE ended_ms IS NULL ORDER BY task"  # noqa: S608
    )
    return [_task(row) for row in rows]


async def claim(tx: Transaction, task: int, holder: str, now_ms: int, until_ms: int) -> bool:
    """Take a task that nobody works on, or prolong one's own. False when it has ended, or is somebody else's."""
    changed = await tx.execute(
        "UPDATE board_tasks SET state = $2, holder = $3, until_ms = $4 WHERE task = $1 AND ended_ms IS NULL "
        "AND (until_ms <= $5 OR holder = $3)",
        task,
        TaskState.RUNNING.value,
        holder,
        until_ms,
        now_ms,
    )
    return changed == 1


async def progress(tx: Transaction, task: int, holder: str, until_ms: int, *, done: int, total: int) -> None:
    """Say how far it is."""
    await tx.execute(
        "UPDATE board_tasks SET done = $3, total = $4, until_ms = $5 WHERE task = $1 AND holder = $2",
        task,
        holder,
        done,
        total,
        until_ms,
    )


async def end(
    tx: Transaction, task: int, holder: str, state: TaskState, *, result: Mapping[str, object], now_ms: int
) -> bool:
    """Say what came of it. False where it is somebody else's by now, or has ended: that stands."""
    changed = await tx.execute(
        "UPDATE board_tasks SET state = $3, result = $4, ended_ms = $5, until_ms = 0 "
        "WHERE task = $1 AND holder = $2 AND ended_ms IS NULL",
        task,
        holder,
        state.value,
        json.dumps(result),
        now_ms,
    )
    return changed == 1


async def want(tx: Transaction, task: int, wanted: Mapping[str, object]) -> None:
    """Remember how far a task is that goes on where it was broken off."""
    await tx.execute("UPDATE board_tasks SET wanted = $2 WHERE task = $1", task, json.dumps(wanted))


async def let_go(tx: Transaction, task: int, holder: str) -> None:
    """Have it go on elsewhere, at once."""
    await tx.execute("UPDATE board_tasks SET until_ms = 0 WHERE task = $1 AND holder = $2", task, holder)


async def prune(tx: Transaction, now_ms: int) -> int:
    """Remove the oldest of those that ended, where there are many, but for acts of which something can be undone; how
    many went."""
    del now_ms
    return await tx.execute(
        "DELETE FROM board_tasks WHERE ended_ms IS NOT NULL AND task <= (SELECT max(task) FROM board_tasks) - $1 "
        "AND NOT EXISTS (SELECT 1 FROM bulk_changes AS c WHERE c.task = board_tasks.task)",
        KEPT,
    )
