"""What is done every few seconds or minutes, or looked at often, finds its rows by indexes: no table is looked through
that grows with players, their uploads or what was done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, cast

import pytest

from homeserver.model import Board, StorageLeg
from homeserver.storage import (
    accounts,
    admin_views,
    appdata_writes,
    leaderboards,
    moderation,
    sessions,
    sync_tasks,
    uploads,
    uploads_kept,
)
from homeserver.storage.database import Database, Transaction
from homeserver.storage.sync_tasks import Kind, Task
from tests.clock import Clock
from tests.leaderboards_kit import make_players
from tests.moderation_kit import WHY, Scene
from tests.test_leaderboards_store import Explaining

BOARD: Final = Board("letters", "Letters", "letters")
TASK: Final = Task(1, Kind.WHOLE, 0, None)
SENDING: Final = [StorageLeg.SENDING]


class ExplainingWrites(Explaining):
    """The same of what is written. Nothing is."""

    def __init__(self, tx: Transaction) -> None:
        super().__init__(tx)
        self.lock = tx.lock

    async def execute(self, sql: str, *values: object) -> int:
        plan = await self._reader.fetch(f"EXPLAIN QUERY PLAN {sql}", *values)
        self.plans.append((sql, [row[3] for row in plan]))
        return 0

    async def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        for row in rows:
            await self.execute(sql, *row)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("table", "by", "work"),
    [
        ("moderation", "(board=?)", lambda tx: moderation.note(tx, ["letters"])),
        ("moderation", "(board=? AND state=?)", lambda tx: admin_views.decided(tx, "letters")),
        ("players", "players_withdrawn (player>?)", lambda tx: admin_views.withdrawn(tx, 1, 20)),
        (
            "moderation",
            "(board=? AND state=? AND player>?)",
            lambda tx: admin_views.states(tx, "letters", "removed", 0, 10),
        ),
        ("appdata_writes", "(state=? AND due_ms<?)", lambda tx: appdata_writes.prune(tx, 1)),
        (
            "players",
            "(container=? AND birthday=?)",
            lambda tx: appdata_writes.with_birthday(tx, "orkut", ["05-28", "05-29"]),
        ),
        ("page_sessions", "(expires_ms<?)", lambda tx: sessions.prune(tx, 1)),
        ("decisions", "(player=?)", lambda tx: accounts.forget_decisions(tx, 1)),
        ("sync_tasks", "(holder=?)", lambda tx: sync_tasks.prolong(tx, "holder", 1)),
        ("sync_tasks", "(holder=?)", lambda tx: sync_tasks.release(tx, "holder")),
        ("sync_tasks", "(player=? AND kind=?)", lambda tx: sync_tasks.put_back(tx, "holder", TASK, due_ms=1)),
        ("uploads", "uploads_open_created (created_ms<?)", lambda tx: uploads_kept.outdated(tx, "", 1, 10)),
        (
            "uploads",
            "uploads_open_created (created_ms<?)",
            lambda tx: uploads.listed(tx, legs=SENDING, user=None, before=(1, ""), limit=10),
        ),
    ],
)
async def test_rows_are_found_by_indexes(
    database: Database, table: str, by: str, work: Callable[[Transaction], Awaitable[Any]]
) -> None:
    async def explain(tx: Transaction) -> list[tuple[str, list[str]]]:
        explaining = ExplainingWrites(tx)
        await work(cast("Transaction", explaining))
        return explaining.plans

    plans = [(sql, plan) for sql, plan in await database.write(explain) if f" {table} " in sql]
    assert plans
    for sql, plan in plans:
        assert not any(step.startswith(f"SCAN {table}") for step in plan), (sql, plan)
        assert any(step.startswith("SEARCH") and by in step for step in plan), (sql, plan)


async def test_each_kind_of_decision_is_counted_for_itself(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are of the other."""
    await database.write(lambda tx: leaderboards.seed(tx, [BOARD]))
    scene = Scene(database, clock, await make_players(database, *"ABCDE"))
    for player in scene.players:
        await scene.give(player, "7")
    for player in scene.players[:3]:
        await scene.moderation.hide(player, **WHY)
    await scene.moderation.remove(scene.players[3], **WHY)
    assert await database.read(lambda reader: admin_views.decided(reader, "letters")) == {"hidden": 3, "removed": 1}
    monkeypatch.setattr(admin_views, "COUNTED_AT_MOST", 2)
    assert await database.read(lambda reader: admin_views.decided(reader, "letters")) == {"hidden": 2, "removed": 1}
